"""Check-ins as they are written and found again, many in one statement."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from sqlalchemy import select, text

from service import arrays
from service.checkin.models import CheckIn
from service.checkin.occasion import Occasion, Seat
from service.extensions import db
from service.scope import scoped

Key = tuple[int, str]


class Read(Protocol):
    """The code that a member has read: which gate showed it, and in which slot of time."""

    @property
    def gate(self) -> int: ...

    @property
    def slot(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a door hands in: who, from where, under which client reference; `sitting` None is the one open now.

    `entered_by` is the organiser who enters it for the member, with a `reason` if it is a proxy; `code` what was read
    from an on-site wall; `group_session` the screen before which he was ticked; `device` what the phone calls itself,
    and `fence` how it says it stands to the venue: hints, which a repeat need not give again.
    """

    member: int
    organisation: str
    place: str
    reference: str
    sitting: int | None = None
    happened_at: datetime | None = None
    method: str = "self"
    entered_by: int | None = None
    reason: str | None = None
    code: str | None = None
    group_session: int | None = None
    device: str | None = None
    fence: str | None = None

    @property
    def key(self) -> Key:
        """What makes two attempts the same."""
        return self.member, self.reference

    @property
    def fingerprint(self) -> int:
        """Of all that a repeat must send again; a code is not of it, since it is read anew."""
        body: tuple[object, ...] = (self.sitting, self.happened_at, self.method, self.entered_by, self.reason)
        # Only where there is one, so that what was sent before there were any keeps its fingerprint.
        body += () if self.group_session is None else (self.group_session,)
        # Shown as what does not fail: text that cannot be encoded is refused by the statement, with an answer.
        return digest(ascii(body))


@lru_cache(maxsize=256)
def digest(body: str) -> int:
    """A number that stands for `body`; nearly all members of a sitting send the same one."""
    return int(struct.unpack("<q", blake2b(body.encode(), digest_size=8).digest())[0])


class Record(NamedTuple):
    """A check-in as it was committed."""

    id: int
    activity_id: int
    sitting_id: int
    member_id: int
    reference: str
    method: str
    happened_at: datetime
    received_at: datetime
    late: bool
    fingerprint: int | None
    annulled_at: datetime | None
    confirmed_at: datetime | None

    @property
    def key(self) -> Key:
        """The attempt that it came from."""
        return self.member_id, self.reference

    @property
    def counts(self) -> bool:
        """Whether it stands: `models.STANDS` of a record."""
        return self.annulled_at is None and (self.method != "proxy" or self.confirmed_at is not None)


COLUMNS = ", ".join(f"check_ins.{name}" for name in Record._fields)
KNOWN = text(
    f"""
    -- scope: the members who ask
    SELECT {COLUMNS} FROM unnest(CAST(:members AS bigint[]), CAST(:references AS text[])) AS wanted (member, reference)
    JOIN check_ins ON check_ins.member_id = wanted.member AND check_ins.reference = wanted.reference
    """  # noqa: S608 - column names of our own class
)
# Whom an organiser took out of the sitting only an organiser puts back (one who takes back his own word takes nobody
# out), and who is there needs no proxy. Said by OR and single values on purpose: joins would bring the rows in another
# order than that of members, and what EXISTS asks is at times answered by reading the whole table.
INSERT = text(
    """
    -- scope: the members who ask
    INSERT INTO check_ins (activity_id, received_at, member_id, reference, sitting_id, method, happened_at, late,
        organisation_path, place_path, entered_by, reason, fingerprint, gate_id, code_slot, group_session_id, fence)
    SELECT :activity, :now, new.* FROM unnest(CAST(:members AS bigint[]), CAST(:references AS text[]),
        CAST(:sittings AS bigint[]), CAST(:methods AS text[]), CAST(:happened AS timestamptz[]),
        CAST(:late AS boolean[]), CAST(:organisations AS text[]), CAST(:places AS text[]),
        CAST(:entered AS bigint[]), CAST(:reasons AS text[]), CAST(:fingerprints AS bigint[]),
        CAST(:gates AS bigint[]), CAST(:slots AS bigint[]), CAST(:group_sessions AS bigint[]),
        CAST(:fences AS text[]))
        AS new (member, reference, sitting, method, happened, late, organisation, place, entered, reason, fingerprint,
            gate, slot, group_session, fence)
    WHERE (new.entered IS NOT NULL OR (SELECT c.id FROM check_ins c WHERE c.sitting_id = new.sitting
        AND c.member_id = new.member AND c.annulled_at IS NOT NULL AND c.annulled_by IS NOT NULL
        AND c.annulled_by IS DISTINCT FROM c.entered_by LIMIT 1) IS NULL)
    AND (new.method <> 'proxy' OR (SELECT c.id FROM check_ins c WHERE c.sitting_id = new.sitting
        AND c.member_id = new.member AND c.annulled_at IS NULL LIMIT 1) IS NULL)
    ON CONFLICT DO NOTHING RETURNING check_ins.id, check_ins.member_id, check_ins.reference
    """
)
REPLAYED = text(
    """
    -- scope: the members who ask
    SELECT member_id, gate_id, code_slot FROM check_ins WHERE (member_id, gate_id, code_slot) IN (
        SELECT * FROM unnest(CAST(:members AS bigint[]), CAST(:gates AS bigint[]), CAST(:slots AS bigint[])))
    """
)
STANDING = text(
    """
    -- scope: the members who ask
    SELECT member_id, sitting_id FROM check_ins
    WHERE annulled_at IS NULL AND (sitting_id, member_id) IN (
        SELECT * FROM unnest(CAST(:sittings AS bigint[]), CAST(:members AS bigint[])))
    """
)


def replayed(read: Mapping[Key, Read]) -> set[Key]:
    """Those whose member has checked in by this very code before."""
    values = {
        "members": [member for member, _ in read],
        "gates": [one.gate for one in read.values()],
        "slots": [one.slot for one in read.values()],
    }
    rows = {tuple(row) for row in db.session.execute(REPLAYED, values)}
    return {key for key, one in read.items() if (key[0], one.gate, one.slot) in rows}


def known(attempts: Sequence[Attempt]) -> list[Record]:
    """The records of references that are there already, whatever became of them."""
    return list(map(Record._make, _run(KNOWN, _keys(attempts))))


def insert(
    occasion: Occasion,
    attempts: Sequence[Attempt],
    seats: Mapping[Key, Seat],
    now: datetime,
    *,
    read: Mapping[Key, Read],
) -> list[Record]:
    """The records of those `attempts` that were not there yet; the others are left to the caller."""
    if not attempts:
        return []
    taken = [seats[attempt.key] for attempt in attempts]
    codes = [read.get(attempt.key) for attempt in attempts]
    fingerprints = [attempt.fingerprint for attempt in attempts]
    columns = {
        "activity": occasion.id,
        "now": now,
        "sittings": arrays.plain(str(one.window.sitting) for one in taken),
        "happened": arrays.plain(moment(one.happened_at) for one in taken),
        "late": arrays.plain("t" if one.late else "f" for one in taken),
        "methods": arrays.plain(attempt.method for attempt in attempts),
        "organisations": arrays.quoted([attempt.organisation for attempt in attempts]),
        "places": arrays.quoted([attempt.place for attempt in attempts]),
        "entered": numbers([attempt.entered_by for attempt in attempts]),
        # Nearly all give none, and what is missing in one array is NULL.
        "reasons": [attempt.reason for attempt in attempts] if any(attempt.reason for attempt in attempts) else [],
        "fences": [attempt.fence for attempt in attempts] if any(attempt.fence for attempt in attempts) else [],
        "fingerprints": arrays.plain(map(str, fingerprints)),
        "gates": numbers([None if code is None else code.gate for code in codes]),
        "slots": numbers([None if code is None else code.slot for code in codes]),
        "group_sessions": numbers([attempt.group_session for attempt in attempts]),
    }
    # What was written is known here: only who was written, and under which number, is asked back.
    written = {(member, reference): number for number, member, reference in _run(INSERT, columns | _keys(attempts))}
    parts = zip(attempts, taken, fingerprints, strict=True)
    return [_record(occasion, *one, written[one[0].key], now) for one in parts if one[0].key in written]


def _record(occasion: Occasion, attempt: Attempt, seat: Seat, fingerprint: int, number: int, now: datetime) -> Record:
    (sitting, *_), happened_at, late = seat
    return Record(
        number, occasion.id, sitting, attempt.member, attempt.reference, attempt.method, happened_at, now, late,
        fingerprint, annulled_at=None, confirmed_at=None,
    )  # fmt: skip


def standing(seats: Mapping[Key, Seat]) -> set[Key]:
    """Those of `seats` that are taken: their member has another check-in there that was not taken back."""
    values = {
        "members": [member for member, _ in seats],
        "sittings": [one.window.sitting for one in seats.values()],
    }
    rows = {(row.member_id, row.sitting_id) for row in db.session.execute(STANDING, values)}
    return {key for key, one in seats.items() if (key[0], one.window.sitting) in rows}


def check_ins_of(activity: int, member: int) -> list[Record]:
    """The member's check-ins of an activity, the first one first."""
    columns = [getattr(CheckIn, name) for name in Record._fields]
    mine = scoped(select(*columns), CheckIn.activity_id == activity, CheckIn.member_id == member)
    return [Record(*row) for row in db.session.execute(mine.order_by(CheckIn.id))]


def of_row(row: CheckIn) -> Record:
    """A row as a record."""
    return Record(*(getattr(row, name) for name in Record._fields))


def _keys(attempts: Sequence[Attempt]) -> dict[str, Any]:
    return {
        "members": arrays.plain(str(attempt.member) for attempt in attempts),
        "references": arrays.quoted([attempt.reference for attempt in attempts]),
    }


def _run(statement: Any, values: dict[str, Any]) -> Sequence[Any]:
    """All rows at once: one by one they are fetched in twice the time."""
    return db.session.execute(statement, values).all()


# What the phone does not say happens now, for a whole batch at the same moment.
moment = lru_cache(maxsize=256)(datetime.isoformat)


def numbers(values: Sequence[int | None]) -> str:
    """An array of numbers, some of them missing; if all are, an empty one, which says the same beside others."""
    if not any(value is not None for value in values):
        return "{}"
    return arrays.plain("NULL" if value is None else str(value) for value in values)
