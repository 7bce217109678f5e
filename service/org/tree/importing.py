"""Loading organisations from a file: new ones, other names, other parents, as of a day.

Every row has a fate of its own; one that is refused leaves the others alone, except those below it. What the file does
not name stays, and nothing is closed. Loading the same file again changes nothing, and a dry run does all of it, so
that its fates are the very ones, and takes it back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from psycopg.types.range import Range
from sqlalchemy import func, select, text

from service import sheets
from service.errors import ServiceError
from service.extensions import db
from service.org.entries import Entry, refuse_future
from service.org.models import ORGANISATION_LEVELS, Division, Organisation, within
from service.org.tree.changes import join_within, rename_within, reparent
from service.org.tree.files import BETWEEN, HEADINGS, JOINTS, LEVELS, NUMBERED, REQUIRED, key_of
from service.org.tree.models import Affiliation
from service.org.tree.paths import PATIENCE, homes_on, lock, redraw, ties_of
from service.org.tree.settling import settle

# Autovacuum has not seen yet what has just been loaded: a full table is taken for an empty one, and read for every row.
LEARN = text("ANALYZE organisations, affiliations")
NUMBERS = text("SELECT nextval('organisations_id_seq') FROM generate_series(1, :most)")
DEEPEST = 50
ORGANISATIONS = "COPY organisations (id, parent_id, path, name, level, division_code, code, joint) FROM STDIN"
AFFILIATIONS = "COPY affiliations (organisation_id, parent_id, during) FROM STDIN"


@dataclass(slots=True)
class Fate:
    """What became of a row: added, changed, unchanged or refused; `what` changed, or the code of the refusal."""

    row: int
    code: str
    name: str
    fate: str = "unchanged"
    what: list[str] = field(default_factory=list)

    def refuse(self, code: str) -> None:
        """Refused, and why."""
        self.fate, self.what = "refused", [code]

    def change(self, what: str) -> None:
        """One thing more is other than it was."""
        self.fate = "changed"
        self.what.append(what)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A row that can be an organisation; parents by the keys of the file."""

    fate: Fate
    level: str
    parent: str
    division: str | None
    joint: str | None
    others: tuple[str, ...]


@dataclass(slots=True)
class Stored:
    """What the tree knows of an organisation, new ones of the file included."""

    id: int
    path: str
    name: str
    level: str
    joint: str | None = None
    division: str | None = None
    closed: bool = False


def import_organisations(
    file: Path,
    *,
    on: date,
    entry: Entry,
    dry_run: bool = False,
    scope: str = "",
    expected: str | None = None,
    finish: Callable[[Sequence[Fate]], None] = lambda _: None,
) -> list[Fate]:
    """The fate of every row, committed unless `dry_run`; ServiceError if the file cannot be read at all.

    `scope` is the path below which organisations may be added, changed and moved; "" is everywhere. `finish` is told
    the fates before the commit, in its transaction. ServiceError conflict unless their digest is the `expected` one.
    """
    refuse_future(on, entry.today)
    fates: list[Fate] = []
    wanted = read(file, fates)
    lock()
    db.session.execute(PATIENCE)
    stored = everything(scope)
    if scope:
        keep_within(wanted, stored, scope)
    refuse_unknown_divisions(wanted.values())
    add(wanted, stored, on=on)
    change(wanted, stored, on=on, entry=entry)
    settle(entry.today)
    if expected is not None and digest(fates) != expected:
        db.session.rollback()
        raise ServiceError("conflict", reason="the table or the organisations have changed meanwhile")
    if dry_run:
        db.session.rollback()
    else:
        finish(fates)
        db.session.commit()
    return fates


def digest(fates: Sequence[Fate]) -> str:
    """By which to know the same fates again."""
    return sha256("\n".join(map(repr, fates)).encode()).hexdigest()


def keep_within(wanted: dict[str, Wanted], stored: Mapping[str, Stored], scope: str) -> None:
    """Refuse what reaches beyond `scope`; the organisation at its top may be named, as it is, and is left alone."""
    known = select(Organisation.code).where(Organisation.code.in_(wanted))
    elsewhere = set(db.session.scalars(known)) - set(stored)
    for key, one in list(wanted.items()):
        own = stored.get(key)
        if own and own.path == scope:
            del wanted[key]
            if (own.name, own.level) != (one.fate.name, one.level):
                one.fate.refuse("forbidden")
        elif key in elsewhere:
            one.fate.refuse("conflict")
        elif not one.parent:
            one.fate.refuse("parent_unknown")


def read(file: Path, fates: list[Fate]) -> dict[str, Wanted]:
    """The rows by key, in the file's order; `fates` gets one for each row."""
    wanted: dict[str, Wanted] = {}
    for row in sheets.read(file, headings=HEADINGS, required=REQUIRED):
        fate = Fate(row.number, row.cells["code"], row.cells["name"])
        fates.append(fate)
        one = understood(row.cells, fate)
        if one and fate.code in wanted:
            fate.refuse("conflict")
        elif one:
            wanted[fate.code] = one
    return wanted


def understood(cells: Mapping[str, str], fate: Fate) -> Wanted | None:
    """The row as it is meant; None, and refused, if it cannot be an organisation."""
    level, joint = LEVELS.get(cells["level"]), JOINTS.get(cells.get("joint") or "")
    lengths = 0 < len(fate.code) <= 64 and 0 < len(fate.name) <= 200
    others = tuple(filter(None, map(str.strip, cells.get("others", "").split(BETWEEN))))
    unclear = (cells.get("joint") or others) and joint is None
    if not lengths or level is None or unclear:
        fate.refuse("validation")
        return None
    return Wanted(fate, level, cells["parent"], cells.get("division") or None, joint, others)


def everything(scope: str) -> dict[str, Stored]:
    """Every organisation within `scope` by the key that a file names it with."""
    columns = ("id", "path", "name", "level", "joint", "division_code", "closed_on", "code")
    question = select(*(getattr(Organisation, column) for column in columns))
    rows = db.session.execute(question.where(within(Organisation.path, scope)) if scope else question)
    return {key_of(row.code, row.id): as_stored(*row) for row in rows}


def as_stored(
    number: int,
    path: str,
    name: str,
    level: str,
    joint: str | None,
    division: str | None,
    end: date | None,
    _: str | None,
) -> Stored:
    """A row of the table."""
    return Stored(number, path, name, level, joint, division, closed=end is not None)


def refuse_unknown_divisions(wanted: Iterable[Wanted]) -> None:
    """A row that names a division which is in no register is refused."""
    named = {one.division for one in wanted if one.division}
    known = set(db.session.scalars(select(Division.code).where(Division.code.in_(named))))
    for one in wanted:
        if one.division and one.division not in known:
            one.fate.refuse("division_unknown")


def add(wanted: Mapping[str, Wanted], stored: dict[str, Stored], *, on: date) -> None:
    """Insert those that are not stored, parents first, and enter them in `stored`."""
    new = [one for one in parents_first(wanted, stored) if addable(one, wanted, stored)]
    if not new:
        return
    begun = begun_after(on)
    affiliations, rows = [], []
    for one, number in zip(new, db.session.scalars(NUMBERS, {"most": len(new)}).all(), strict=True):
        above = stored.get(one.parent)
        parent, path = (above.id, f"{above.path}.{number}") if above else (None, str(number))
        rows.append((number, parent, path, one.fate.name, one.level, one.division, one.fate.code, one.joint))
        if parent in begun:
            begun[number] = begun[parent]
        affiliations.append((number, parent, Range(begun.get(number, on), None)))
        stored[one.fate.code] = Stored(number, path, one.fate.name, one.level, one.joint, one.division)
        one.fate.fate = "added"
    copy(ORGANISATIONS, rows)
    copy(AFFILIATIONS, affiliations)
    db.session.execute(LEARN)
    redraw([number for number, *_ in rows])


def begun_after(on: date) -> dict[int | None, date]:
    """When those began that did not exist yet on the day of the file: nobody lies below them earlier."""
    begin = func.min(func.lower(Affiliation.during))
    question = select(Affiliation.organisation_id, begin.label("begin")).where(Affiliation.home)
    rows = db.session.execute(question.group_by(Affiliation.organisation_id).having(begin > on))
    return {row.organisation_id: row.begin for row in rows}


def copy(statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Rows into a table, as fast as it takes them."""
    driver: Any = db.session.connection().connection.driver_connection
    with driver.cursor().copy(statement) as into:
        for row in rows:
            into.write_row(row)


def parents_first(wanted: Mapping[str, Wanted], stored: Mapping[str, Stored]) -> Iterator[Wanted]:
    """The rows of new organisations, each behind the row of its parent; those in a circle are refused."""
    done: set[str] = set()
    for first in wanted:
        chain: dict[str, None] = {}
        key = first
        while key in wanted and key not in stored and key not in done and key not in chain:
            chain[key] = None
            key = wanted[key].parent
        if key in chain:
            for one in chain:
                wanted[one].fate.refuse("organisation_circle")
        done.update(chain)
        yield from (wanted[one] for one in reversed(chain))


def addable(one: Wanted, wanted: Mapping[str, Wanted], stored: Mapping[str, Stored]) -> bool:
    """Whether a new organisation may lie where the row says; refused otherwise."""
    above = stored.get(one.parent) or wanted.get(one.parent)
    if one.fate.fate == "refused":
        return False
    if one.fate.code.startswith(NUMBERED):
        one.fate.refuse("not_found")
    elif (above is None and (one.parent or one.level != ORGANISATION_LEVELS[0])) or refused(one.parent, wanted, stored):
        one.fate.refuse("parent_unknown")
    elif isinstance(above, Stored) and above.closed:
        one.fate.refuse("organisation_closed")
    elif above and (above.joint or rank(above.level) > rank(one.level)):
        one.fate.refuse("organisation_level")
    return one.fate.fate != "refused"


def refused(key: str, wanted: Mapping[str, Wanted], stored: Mapping[str, Stored]) -> bool:
    """Whether the row of a parent that is not stored has been refused."""
    return key not in stored and key in wanted and wanted[key].fate.fate == "refused"


def rank(level: str) -> int:
    """How far below the top a level is."""
    return ORGANISATION_LEVELS.index(level)


def change(wanted: Mapping[str, Wanted], stored: Mapping[str, Stored], *, on: date, entry: Entry) -> None:
    """Bring what is stored up to the file, the higher parents first, so that none stands in its own way."""
    rows = [one for one in wanted.values() if one.fate.fate == "unchanged"]
    homes = homes_on(on)
    for one in sorted(rows, key=lambda one: depth(one.parent, wanted, stored)):
        try:
            bring_up(one, stored, homes, on=on, entry=entry)
        except ServiceError as error:
            one.fate.refuse(error.code)
    for one in wanted.values():
        if one.others and one.fate.fate != "refused":
            share(one, stored, on=on, entry=entry)


def depth(key: str, wanted: Mapping[str, Wanted], stored: Mapping[str, Stored]) -> int:
    """How many stand above in the end; DEEPEST in a circle, which the rules refuse."""
    steps = 0
    while key in wanted and steps < DEEPEST:
        steps, key = steps + 1, wanted[key].parent
    return steps + (stored[key].path.count(".") if key in stored else 0)


def bring_up(
    one: Wanted, stored: Mapping[str, Stored], homes: Mapping[int, int | None], *, on: date, entry: Entry
) -> None:
    """Let a stored organisation be what its row says; ServiceError, and nothing changed, if it cannot."""
    own, above = stored[one.fate.code], stored.get(one.parent)
    if own.closed:
        raise ServiceError("organisation_closed")
    if (own.level, own.joint) != (one.level, one.joint) or (above is None and "." in own.path):
        raise ServiceError("conflict")
    if above is None and one.parent:
        raise ServiceError("parent_unknown")
    if above and homes.get(own.id) != above.id and reparent(own.id, to=above.id, on=on, entry=entry):
        one.fate.change("moved")
    if own.name != one.fate.name and rename_within(own.id, name=one.fate.name, on=on, entry=entry):
        one.fate.change("renamed")
    if own.division != one.division and one.division:
        db.session.get_one(Organisation, own.id).division_code = one.division
        one.fate.change("division")


def share(one: Wanted, stored: Mapping[str, Stored], *, on: date, entry: Entry) -> None:
    """Give a joint body the other parents of its row; those that it has stay as they are, until when too."""
    number = stored[one.fate.code].id
    held = {tie.parent for tie in ties_of(number) if tie.since <= on < tie.until}
    named = select(Organisation.code, Organisation.id).where(Organisation.id.in_(held))
    keys = {key_of(*row) for row in db.session.execute(named)}
    for key in one.others:
        if key in keys:
            continue
        try:
            if key not in stored:
                raise ServiceError("parent_unknown")
            parent = stored[key].id
            joined = join_within(number, parent=parent, on=on, until=None, entry=entry)
        except ServiceError as error:
            one.fate.what.append(error.code)
            continue
        if joined and one.fate.fate != "added":
            one.fate.change("joined")
