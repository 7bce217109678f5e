"""Enrolling people from a roster: every row has a fate, and a roster that was enrolled already changes nothing.

A row finds its member by identity number, else by phone. All rows are judged together in temporary tables before
anything is written, and everything is written in one transaction or nothing is. Whoever is not in the file stays.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from service.clock import day_of
from service.errors import ServiceError
from service.extensions import db
from service.org.people import judgement
from service.org.people.entries import Entry, Unusable
from service.org.people.identity import context
from service.org.people.numbers import TAIL
from service.org.sessions import log_out_everywhere
from service.sealing import Keyring

# Any number will do; it is ours alone.
LOCK = 2_026_001
STEP = 2_000
FIELDS = ("name", "organisation", "place", "status", "category", "phone", "identity")

# What is being done, how much of it is done, and of how much if that is known.
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a row: added, changed, same or refused; `changes` are field, before, after."""

    row: int
    fate: str
    reasons: tuple[str, ...] = ()
    member: int | None = None
    changes: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The fate of every row in the order of the file, and a digest by which to know the same outcome again."""

    fates: Sequence[Fate]
    digest: str

    @property
    def counts(self) -> Counter[str]:
        """How many rows have which fate."""
        return Counter(one.fate for one in self.fates)


def silent(_: str, __: int, ___: int | None) -> None:
    """Progress that nobody is told."""


def nothing(_: Outcome) -> None:
    """For who has nothing to add to the transaction."""


def judge(found: Iterable[Entry | Unusable], *, scope: str, ring: Keyring, progress: Progress = silent) -> Outcome:
    """What would become of every row. Writes nothing."""
    with _sole():
        _, outcome = _judged(found, scope=scope, ring=ring, progress=progress)
        db.session.rollback()
    return outcome


def enrol(
    found: Iterable[Entry | Unusable],
    *,
    scope: str,
    ring: Keyring,
    now: datetime,
    expected: str | None = None,
    progress: Progress = silent,
    finish: Callable[[Outcome], None] = nothing,
) -> Outcome:
    """Write what became of every row, all of it or nothing. Commits.

    `scope` is the path of the organisation within which members may be added, changed and moved; "" is all.
    `finish` is told the outcome before the commit, in its transaction.
    ServiceError conflict if the outcome is not the `expected` one, or somebody enrols or enters a number meanwhile.
    """
    with _sole():
        staged, outcome = _judged(found, scope=scope, ring=ring, progress=progress)
        if expected is not None and outcome.digest != expected:
            raise ServiceError("conflict", reason="the roster or the members have changed meanwhile")
        progress("write", 0, None)
        outcome = _with_numbers(outcome)
        db.session.execute(text(judgement.ADD))
        db.session.execute(text(judgement.STAND), {"today": day_of(now), "now": now})
        db.session.execute(text(judgement.CHANGE))
        _copy("sealed", judgement.SEALED, _sealed(staged, outcome, ring, progress))
        progress("write", 1, 2)
        db.session.execute(text(judgement.STORE))
        for one in outcome.fates:
            if one.member and any((field, after) == ("status", "left") for field, _, after in one.changes):
                log_out_everywhere(one.member, now)
        finish(outcome)
        db.session.commit()
        progress("write", 2, 2)
    return outcome


@contextmanager
def _sole() -> Iterator[None]:
    """A transaction without a time limit that nobody else has at the same time; undone if it raises."""
    try:
        db.session.execute(text("SET LOCAL statement_timeout = 0"))
        db.session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        if not db.session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": LOCK}):
            raise ServiceError("conflict", reason="a roster is being enrolled")
        db.session.execute(text(judgement.CLEAR))
        yield
    except IntegrityError:
        db.session.rollback()
        raise ServiceError("conflict", reason="members have changed meanwhile") from None
    except BaseException:
        db.session.rollback()
        raise


def _judged(
    found: Iterable[Entry | Unusable], *, scope: str, ring: Keyring, progress: Progress
) -> tuple[dict[int, Entry], Outcome]:
    """The usable rows by their number, and what becomes of every row."""
    staged: dict[int, Entry] = {}
    fates: list[Fate] = []
    for done, one in enumerate(found, 1):
        if isinstance(one, Entry):
            staged[one.row] = one
        else:
            fates.append(Fate(one.row, "refused", one.reasons))
        if done % STEP == 0:
            progress("read", done, None)
    progress("read", len(staged) + len(fates), len(staged) + len(fates))
    said = ((e.row, e.name, e.organisation, e.place, e.status, e.category) for e in staged.values())
    _copy("staged", judgement.STAGED, said)
    _copy("staged_numbers", judgement.NUMBERS, _indexed(staged.values(), ring, progress))
    progress("judge", 0, None)
    # Every path begins with a digit; below a path sort only what begins with it and a dot.
    db.session.execute(text(judgement.SCOPE), {"scope": scope, "end": scope + "/" if scope else ":"})
    for statement in judgement.JUDGE:
        db.session.execute(text(statement))
    progress("judge", 1, 1)
    fates += [_fate(row, staged[row.row]) for row in db.session.execute(text(judgement.FATES))]
    fates.sort(key=lambda one: one.row)
    digest = sha256("\n".join(map(repr, fates)).encode()).hexdigest()
    return staged, Outcome(fates, digest)


def _indexed(found: Iterable[Entry], ring: Keyring, progress: Progress) -> Iterator[tuple[Any, ...]]:
    """Every number of every row under every key by which somebody may have it already."""
    for done, one in enumerate(found, 1):
        for kind, number in one.numbers.items():
            for place, index in enumerate(ring.indexes(number.encode(), kind)):
                yield one.row, kind, index, place == 0, number[-TAIL:]
        if done % STEP == 0:
            progress("index", done, None)


def _sealed(staged: dict[int, Entry], outcome: Outcome, ring: Keyring, progress: Progress) -> Iterator[tuple[Any, ...]]:
    """The new numbers of members, sealed."""
    key = ring.current
    for done, one in enumerate(outcome.fates, 1):
        fresh = {field for field, _, _ in one.changes}
        if one.fate in ("added", "changed"):
            for kind, number in staged[one.row].numbers.items():
                if one.member is not None and (one.fate == "added" or kind in fresh):
                    plain = number.encode()
                    yield (
                        one.member,
                        kind,
                        key.id,
                        key.seal(plain, context(one.member, kind)),
                        key.index(plain, kind),
                        number[-TAIL:],
                    )
        if done % STEP == 0:
            progress("seal", done, len(outcome.fates))


def _with_numbers(outcome: Outcome) -> Outcome:
    """`outcome` with a member number for everybody who is added."""
    numbers: dict[int, int] = dict(db.session.execute(text(judgement.NUMBER)).all())
    fates = [Fate(one.row, one.fate, (), numbers[one.row]) if one.fate == "added" else one for one in outcome.fates]
    return Outcome(fates, outcome.digest)


def _fate(row: Any, entry: Entry) -> Fate:
    """What was judged of a row, with what it changes."""
    if row.reason is not None:
        return Fate(row.row, "refused", (row.reason,))
    if row.member_id is None:
        return Fate(row.row, "added")
    tails = {kind: number[-TAIL:] for kind, number in entry.numbers.items()}
    after = {name: getattr(entry, name) for name in ("name", "place", "status", "category")}
    after["organisation"] = str(row.organisation_id)
    changes = tuple(
        (field, getattr(row, f"old_{field}") or "", (after | tails).get(field) or "")
        for field in FIELDS
        if getattr(row, f"new_{field}")
    )
    return Fate(row.row, "changed" if changes else "same", (), row.member_id, changes)


def _copy(table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """A temporary table of these rows, until the end of the transaction."""
    db.session.execute(text(f"CREATE TEMPORARY TABLE {table} ({columns}) ON COMMIT DROP"))
    driver: Any = db.session.connection().connection.driver_connection
    with driver.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    db.session.execute(text(f"ANALYZE {table}"))
