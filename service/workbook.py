"""Turns the first visible sheet of a workbook into CSV: `python workbook.py <file >table`, run by `service.sheets`.

It has a process of its own with bounded memory and time. A workbook of a few kilobytes can ask for all the memory
there is, by what it unpacks to or by two cells far apart, and the library that reads it ends its process then.
"""

import csv
import io
import resource
import sys
from datetime import date, datetime, time, timedelta

from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

MEMORY_BYTES = 2 << 30
CPU_SECONDS = 60
# A double tells whole numbers apart up to here; an identity number kept as a number has lost its last digits.
EXACT = 10**15

Cell = int | float | str | bool | date | datetime | time | timedelta


def text(cell: Cell) -> str:
    """A cell as a person would type it."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT:
        return str(int(cell))
    return str(cell)


def main() -> None:
    """Exit code 0 if the whole sheet was told."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whoever looked at the file's first bytes has moved the position that this process shares.
    sys.stdin.buffer.seek(0)
    book = CalamineWorkbook.from_filelike(sys.stdin.buffer)
    told = csv.writer(io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline=""))
    for index, sheet in enumerate(book.sheets_metadata):
        if sheet.visible == SheetVisibleEnum.Visible and sheet.typ == SheetTypeEnum.WorkSheet:
            told.writerows([text(cell) for cell in row] for row in book.get_sheet_by_index(index).iter_rows())
            return


if __name__ == "__main__":
    main()
