"""What an errand may be about, the roster or the organisations: comparing, applying and making its table."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from service import sheets
from service.clock import day_of
from service.labels import highest
from service.org.entries import Entry
from service.org.errands.models import Errand
from service.org.models import Member, Organisation
from service.org.people import enrolment, export
from service.org.people import fates as people
from service.org.people.enrolment import Progress
from service.org.people.entries import entries
from service.org.people.identity import keyring
from service.org.people.models import SealedNumber
from service.org.tree import exporting, importing
from service.org.tree import fates as tree

# So many differences are shown beside the counts; the report has all rows.
SHOWN = 200
TOLD = ("changed", "refused")


@dataclass(frozen=True)
class Found:
    """What becomes of the rows of a table: how many of each fate, by which to know it again, and each in words."""

    counts: dict[str, int]
    digest: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]
    differences: list[dict[str, Any]]

    def report(self) -> bytes:
        """Every row's fate as CSV."""
        return table("csv", self.headings, self.rows)


Finish = Callable[[Found], None]


def compared(errand: Errand, file: Path, progress: Progress, now: datetime) -> Found:
    """What would become of every row of `file`. Writes nothing."""
    scope = errand.organisation.path
    if errand.subject == "roster":
        return of_roster(errand, enrolment.judge(entries(file), scope=scope, ring=keyring(), progress=progress))
    fates = importing.import_organisations(file, on=errand.day, entry=entry(errand, now), scope=scope, dry_run=True)
    return of_organisations(errand, fates)


def applied(errand: Errand, file: Path, progress: Progress, finish: Finish, now: datetime) -> None:
    """Write what becomes of every row, if it is what was seen; `finish` is told before the commit. Commits."""
    scope, expected = errand.organisation.path, errand.outcome
    if errand.subject == "roster":
        finishing: Callable[[enrolment.Outcome], None] = lambda outcome: finish(of_roster(errand, outcome))  # noqa: E731
        more: dict[str, Any] = {"expected": expected, "progress": progress, "finish": finishing}
        enrolment.enrol(entries(file), scope=scope, ring=keyring(), now=now, **more)
        return
    importing.import_organisations(
        file,
        on=errand.day,
        entry=entry(errand, now),
        scope=scope,
        expected=expected,
        finish=lambda fates: finish(of_organisations(errand, fates)),
    )


def made(errand: Errand, progress: Progress) -> tuple[bytes, int]:
    """The table that was asked for, and how many rows it has; numbers of people as tails."""
    path, count = errand.organisation.path, 0

    def counted(rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        nonlocal count
        for row in rows:
            count += 1
            progress("make", count, None)
            yield row

    if errand.subject == "roster":
        rows = export.members(path, keyring(), reveal=False)
        return table(errand.format, export.HEADINGS, counted(rows)), count
    target = BytesIO()
    below = errand.organisation_id
    count = exporting.export_organisations(target, errand.format, below=below, day=errand.day, scope=path)
    return target.getvalue(), count


def label_of(subject: str) -> str:
    """How confidential a table, or a report on one, is: as its most confidential column."""
    models = (Member, SealedNumber, Organisation) if subject == "roster" else (Organisation,)
    told = {"name", "organisation_id", "place_code", "status", "category", "tail"}
    told |= {"level", "division_code", "code", "joint"}
    columns: list[Any] = [column for model in models for column in model.__table__.columns]
    return highest(column for column in columns if column.name in told)


def of_roster(errand: Errand, outcome: enrolment.Outcome) -> Found:
    """What became of people."""
    words = words_of(errand)
    headings, rows = people.table(outcome.fates, words)
    shown = [
        {"row": one.row, "fate": one.fate, "details": people.described(one, words)}
        for one in outcome.fates
        if one.fate in TOLD
    ]
    return Found(dict(outcome.counts), outcome.digest, headings, rows, shown[:SHOWN])


def of_organisations(errand: Errand, fates: Sequence[importing.Fate]) -> Found:
    """What became of organisations."""
    words, counts = words_of(errand), Counter(one.fate for one in fates)
    headings, rows = tree.table(fates, words)
    shown = [
        {"row": one.row, "fate": one.fate, "details": f"{one.name}: {tree.explained(one, words)}"}
        for one in fates
        if one.fate in TOLD
    ]
    return Found(dict(counts), importing.digest(fates), headings, rows, shown[:SHOWN])


def entry(errand: Errand, now: datetime) -> Entry:
    """By whom a change of the tree is entered."""
    return Entry(day_of(now), errand.accepted_by or errand.organiser_id)


def words_of(errand: Errand) -> people.Words:
    """The texts in the language that the errand was sent in."""
    return lambda chinese, english: english if errand.language == "en" else chinese


def table(kind: str, headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table as a file of `kind`."""
    target = BytesIO()
    sheets.write(target, kind, headings=headings, rows=rows)
    return target.getvalue()
