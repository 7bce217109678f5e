"""Tables that people send and fetch: XLSX (and old XLS) and CSV, read and written as a stream of rows of text.

What is read is what was meant: headings in any spelling that the caller lists, CSV in UTF-8 or GB18030 with any usual
separator, no invisible characters. What is written opens in a spreadsheet as it is, and nothing in it runs as a
formula. Reading what was written gives the same texts.
"""

import codecs
import csv
import io
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import xlsxwriter

from service import workbook
from service.errors import ServiceError

# A ZIP archive (XLSX) and an OLE file (XLS).
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
CHUNK_BYTES = 1 << 20
LINE = 1 << 20
SEPARATORS = ",\t;"
# What a spreadsheet may take for a formula, in whatever width; apostrophes before it have been put there by a writer.
FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")
# How a workbook keeps texts: none is a formula or a link, and no long number loses digits.
AS_IS = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is read; a larger table is refused, at the row that is too much."""

    file_bytes: int = 128 << 20
    rows: int = 300_000
    columns: int = 256
    cell: int = 2_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row by the caller's names of its columns; `number` is the row's in the sheet, where the headings are 1."""

    number: int
    cells: dict[str, str]


def read(
    file: Path, *, headings: Mapping[str, str], required: Iterable[str] = (), limits: Limits | None = None
) -> Iterator[Row]:
    """The rows below the headings, as they are read; empty ones are left out, an absent cell is "".

    `headings` maps each spelling of a heading to the caller's name of the column; other columns are passed over.
    ServiceError sheet_unreadable, sheet_too_large or sheet_columns, each with the row where there is one.
    """
    limits = limits or Limits()
    if file.stat().st_size > limits.file_bytes:
        raise ServiceError("sheet_too_large", most_bytes=limits.file_bytes)
    with opened(file) as lines:
        rows = cells(lines, limits)
        columns = located(next(rows, (1, []))[1], headings, required)
        for number, row in rows:
            found = {name: row[place] if place < len(row) else "" for name, place in columns.items()}
            if any(found.values()):
                yield Row(number, found)


@contextmanager
def opened(file: Path) -> Iterator[Iterator[str]]:
    """The lines of the table in `file` as a CSV, whatever it is kept as."""
    with file.open("rb") as source:
        is_workbook = source.read(8).startswith(WORKBOOKS)
        with closing(converted(source) if is_workbook else decoded(source)) as lines:
            yield lines


def converted(source: BinaryIO) -> Generator[str]:
    """The workbook in `source` as CSV, made by a process of its own; sheet_unreadable if that cannot read it."""
    command = [sys.executable, "-I", workbook.__file__]
    process = subprocess.Popen(
        command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    )
    with process:
        try:
            yield from process.stdout or ()
            process.wait()
        finally:
            process.kill()
    if process.returncode:
        raise ServiceError("sheet_unreadable", reason="workbook")


def decoded(source: BinaryIO) -> Generator[str]:
    """The lines of the CSV in `source`; a longer one than anybody writes comes in pieces."""
    encoding = encoding_of(source)
    source.seek(0)
    with io.TextIOWrapper(source, encoding=encoding, newline="") as stream:
        yield from iter(partial(stream.readline, LINE), "")


def encoding_of(source: BinaryIO) -> str:
    """UTF-8 if all of `source` is, else GB18030 if all of it is that; sheet_unreadable otherwise."""
    for encoding in ("utf-8-sig", "gb18030"):
        source.seek(0)
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            while chunk := source.read(CHUNK_BYTES):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    raise ServiceError("sheet_unreadable", reason="encoding")


def cells(lines: Iterator[str], limits: Limits) -> Iterator[tuple[int, list[str]]]:
    """Every row of the CSV in `lines` with its number, each cell cleaned."""
    first = next(lines, "")
    rows = csv.reader(chain([first], lines), delimiter=max(SEPARATORS, key=first.count))
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            cleaned = [clean(cell) for cell in row]
            refuse_excess(number, cleaned, limits)
            yield number, cleaned
    except csv.Error:
        raise ServiceError("sheet_unreadable", reason="csv", row=number + 1) from None


def refuse_excess(number: int, row: Sequence[str], limits: Limits) -> None:
    """sheet_too_large if this row, or this cell of it, is more than is read."""
    if number > limits.rows + 1:
        raise ServiceError("sheet_too_large", most_rows=limits.rows, row=number)
    if len(row) > limits.columns:
        raise ServiceError("sheet_too_large", most_columns=limits.columns, row=number)
    if max(map(len, row), default=0) > limits.cell:
        raise ServiceError("sheet_too_large", most_characters=limits.cell, row=number)


def clean(cell: str) -> str:
    """`cell` with single spaces, without what cannot be seen, and without the apostrophe against formulas."""
    text = " ".join(cell.split())
    if not text.isprintable():
        text = "".join(one for one in text if unicodedata.category(one) not in ("Cc", "Cf", "Cs")).strip()
    return text[1:] if text[:1] == "'" and FORMULA.match(text) else text


def located(row: Sequence[str], headings: Mapping[str, str], required: Iterable[str]) -> dict[str, int]:
    """Which column each of the caller's names is; sheet_columns if one is missing or there twice."""
    spelled = {folded(heading): name for heading, name in headings.items()}
    named = [spelled.get(folded(cell)) for cell in row]
    counted = Counter(name for name in named if name)
    missing = sorted(set(required) - set(counted))
    repeated = sorted(name for name, times in counted.items() if times > 1)
    if missing or repeated or not counted:
        raise ServiceError("sheet_columns", missing=missing, repeated=repeated, row=1)
    return {name: place for place, name in enumerate(named) if name}


def folded(heading: str) -> str:
    """A heading without what people vary: case, width, spaces, a mark that it is required."""
    return re.sub(r"[\s_*]", "", unicodedata.normalize("NFKC", heading)).casefold()


def write(target: BinaryIO, kind: str, *, headings: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    """A table of `kind` csv or xlsx; rows are taken one by one and not kept. CSV is UTF-8 with a byte order mark."""
    {"csv": write_csv, "xlsx": write_xlsx}[kind](target, headings, rows)


def write_csv(target: BinaryIO, headings: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    """Texts that look like formulas get an apostrophe, which `read` takes off again."""
    stream = io.TextIOWrapper(target, encoding="utf-8-sig", newline="", write_through=True)
    writer = csv.writer(stream)
    writer.writerow(headings)
    rows = iter(rows)
    while batch := list(islice(rows, 1000)):
        writer.writerows([harmless(value) for value in row] for row in batch)
    stream.detach()


def harmless(value: Value) -> Value:
    """`value`, with an apostrophe before it if a spreadsheet would take it for a formula."""
    return "'" + value if isinstance(value, str) and FORMULA.match(value) else value


def write_xlsx(target: BinaryIO, headings: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    """Texts are kept as texts."""
    with xlsxwriter.Workbook(target, {"constant_memory": True, **AS_IS}) as book:
        sheet = book.add_worksheet()
        sheet.freeze_panes(1, 0)
        sheet.write_row(0, 0, headings, book.add_format({"bold": True}))
        for number, row in enumerate(rows, 1):
            # The apostrophe is for files that become CSV later, and so that both kinds are read alike.
            sheet.write_row(number, 0, [harmless(value) for value in row])
