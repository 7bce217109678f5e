"""Entering a paper list: every row has a fate, and a list that was entered already changes nothing.

Rows go through the rule of every check-in, for members in the importer's own part of the tree only. A row's reference
follows from what it says, so that the same list may be sent again, whole or in part, as often as one likes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from service import audit
from service.checkin import refusals
from service.checkin.desk import Entry
from service.checkin.occasion import find, window_of
from service.checkin.paper.lists import Signed, Unusable, entries, same_name
from service.checkin.records import Attempt
from service.checkin.rules import Answer, check_in, check_in_together
from service.checkin.scope import activity_of, people
from service.clock import iso
from service.extensions import db
from service.org.organisers import Organiser
from service.sheets import Limits

STEP = 5_000
THERE = "already_checked_in"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a row: entered, same (from the first time), there (otherwise), unsigned, or refused and why."""

    row: int
    fate: str
    reason: str | None = None
    member: int | None = None
    happened_at: datetime | None = None


@dataclass(frozen=True)
class Outcome:
    """The fate of every row in the order of the list; not `written`, it is what would become of them."""

    fates: Sequence[Fate]
    written: bool

    @property
    def counts(self) -> Counter[str]:
        """How many rows have which fate."""
        return Counter(one.fate for one in self.fates)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which sitting a list is of, the only one if None; only to see what would be; all of it or nothing."""

    sitting: int | None = None
    dry_run: bool = False
    whole: bool = False


def enter(
    organiser: Organiser,
    activity: int,
    file: Path,
    wish: Wish,
    now: datetime,
    *,
    limits: Limits | None = None,
    actor: audit.Party | None = None,
) -> Outcome:
    """What became of every row of the list in `file`. Commits. `actor` enters it for the organiser, or he himself.

    ServiceError not_found, validation where a sitting has to be named, sheet_….
    """
    activity_of(organiser, activity)
    window = window_of(find(activity), wish.sitting)
    rows = list(entries(file, window.of("paper"), now, limits))
    attempts, strangers = known(organiser, window.sitting, [one for one in rows if isinstance(one, Signed)], now)
    if wish.dry_run or wish.whole:
        foreseen = fates(rows, strangers, by_member(attempts, check_in(activity, attempts, now, keep=False)))
        if wish.dry_run or any(one.fate == "refused" for one in foreseen):
            return Outcome(foreseen, written=False)
    note(organiser, activity, len(attempts), now, actor)
    if wish.whole:
        together = check_in_together(activity, attempts, now, tolerated=(THERE,))
        if together is None:
            # Something happened since: what would be is another thing now.
            return enter(organiser, activity, file, replace(wish, dry_run=True), now, limits=limits, actor=actor)
        return Outcome(fates(rows, strangers, {key[0]: answer for key, answer in together.items()}), written=True)
    answers = by_member(attempts, check_in(activity, attempts, now))
    refusals.keep(activity, sorted(strangers, key=lambda one: one[0].key), now)
    db.session.commit()
    return Outcome(fates(rows, strangers, answers), written=True)


def known(
    organiser: Organiser, sitting: int, signed: Sequence[Signed], now: datetime
) -> tuple[list[Attempt], list[tuple[Attempt, str]]]:
    """The attempts of members for whom the organiser may act, and the others with the reason why not."""
    attempts: list[Attempt] = []
    strangers: list[tuple[Attempt, str]] = []
    for start in range(0, len(signed), STEP):
        some = signed[start : start + STEP]
        found = people(organiser, [one.member for one in some], now)
        for one in some:
            entry = Entry(
                member=one.member,
                reference=reference_of(organiser, sitting, one.happened_at),
                method="paper",
                sitting=sitting,
                happened_at=one.happened_at,
            )
            person = found.get(one.member)
            attempt = entry.attempt(person, organiser.id)
            if person is None or not same_name(one.name, person.name):
                strangers.append((attempt, "name_differs" if person else "member_unknown"))
            else:
                attempts.append(attempt)
    return attempts, strangers


def reference_of(organiser: Organiser, sitting: int, happened_at: datetime | None) -> str:
    """The same for the same word of the same organiser, so that saying it again is a repeat."""
    told = f"{organiser.id} {iso(happened_at) if happened_at else ''}"
    return f"paper:{sitting}:{blake2b(told.encode(), digest_size=8).hexdigest()}"


def by_member(attempts: Sequence[Attempt], answers: Sequence[Answer]) -> dict[int, Answer]:
    """Answers by member, of whom a list has one row."""
    return {one.member: answer for one, answer in zip(attempts, answers, strict=True)}


def fates(
    rows: Sequence[Signed | Unusable], strangers: Sequence[tuple[Attempt, str]], answers: Mapping[int, Answer]
) -> list[Fate]:
    """The fate of every row."""
    unknown = {attempt.member: code for attempt, code in strangers}
    found = []
    for row in rows:
        if isinstance(row, Unusable):
            found.append(Fate(row.row, "unsigned") if row.blank else Fate(row.row, "refused", row.reason))
        elif row.member in unknown:
            found.append(Fate(row.row, "refused", unknown[row.member], row.member))
        else:
            found.append(fate(row, answers[row.member]))
    return found


def fate(row: Signed, answer: Answer) -> Fate:
    """The fate of a row that was answered."""
    if answer.record is not None:
        return Fate(row.row, "same" if answer.repeat else "entered", None, row.member, answer.record.happened_at)
    code = answer.refusal.code if answer.refusal else "internal"
    return Fate(row.row, "there", None, row.member) if code == THERE else Fate(row.row, "refused", code, row.member)


def note(organiser: Organiser, activity: int, rows: int, now: datetime, actor: audit.Party | None) -> None:
    """Note that a list is entered; committed before it is."""
    mine = audit.Party("organiser", organiser.id)
    details: dict[str, int | str | bool | None] = {"what": "paper list", "activity": activity, "rows": rows}
    audit.note("data.imported", actor=actor or mine, subject=mine if actor else None, now=now, details=details)
    db.session.commit()
