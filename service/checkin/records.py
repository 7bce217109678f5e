"""Check-ins as they are written and found again, many in one statement."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol

from sqlalchemy import select, text

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
    from an on-site wall; `group_session` the screen before which he was ticked.
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
        digest = blake2b(ascii(body).encode(), digest_size=8).digest()
        return int(struct.unpack("<q", digest)[0])


@dataclass(frozen=True, slots=True)
class Record:
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
        """Whether it stands; see `models.stands`."""
        return self.annulled_at is None and (self.method != "proxy" or self.confirmed_at is not None)


COLUMNS = ", ".join(f"check_ins.{field.name}" for field in fields(Record))
KNOWN = text(
    f"""
    -- scope: the members who ask
    SELECT {COLUMNS} FROM unnest(CAST(:members AS bigint[]), CAST(:references AS text[])) AS wanted (member, reference)
    JOIN check_ins ON check_ins.member_id = wanted.member AND check_ins.reference = wanted.reference
    """  # noqa: S608 - column names of our own class
)
# Whom an organiser took out of the sitting only an organiser puts back (one who takes back his own word takes nobody
# out), and who is there needs no proxy. Said by OR and
# subqueries on purpose: as joins they would be planned as such, and the rows would no longer come in the order of
# members.
INSERT = text(
    f"""
    -- scope: the members who ask
    INSERT INTO check_ins (activity_id, received_at, member_id, reference, sitting_id, method, happened_at, late,
        organisation_path, place_path, entered_by, reason, fingerprint, gate_id, code_slot, group_session_id)
    SELECT :activity, :now, new.* FROM unnest(CAST(:members AS bigint[]), CAST(:references AS text[]),
        CAST(:sittings AS bigint[]), CAST(:methods AS text[]), CAST(:happened AS timestamptz[]),
        CAST(:late AS boolean[]), CAST(:organisations AS text[]), CAST(:places AS text[]),
        CAST(:entered AS bigint[]), CAST(:reasons AS text[]), CAST(:fingerprints AS bigint[]),
        CAST(:gates AS bigint[]), CAST(:slots AS bigint[]), CAST(:group_sessions AS bigint[]))
        AS new (member, reference, sitting, method, happened, late, organisation, place, entered, reason, fingerprint,
            gate, slot, group_session)
    WHERE (new.entered IS NOT NULL OR NOT EXISTS (SELECT FROM check_ins c WHERE c.sitting_id = new.sitting
        AND c.member_id = new.member AND c.annulled_at IS NOT NULL AND c.annulled_by IS NOT NULL
        AND c.annulled_by IS DISTINCT FROM c.entered_by))
    AND (new.method <> 'proxy' OR NOT EXISTS (SELECT FROM check_ins c WHERE c.sitting_id = new.sitting
        AND c.member_id = new.member AND c.annulled_at IS NULL))
    ON CONFLICT DO NOTHING RETURNING {COLUMNS}
    """  # noqa: S608 - column names of our own class
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
    return [Record(*row) for row in db.session.execute(KNOWN, _keys(attempts))]


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
    columns = {
        "activity": occasion.id,
        "now": now,
        "sittings": [one.window.sitting for one in taken],
        "happened": [one.happened_at for one in taken],
        "late": [one.late for one in taken],
        "methods": [attempt.method for attempt in attempts],
        "organisations": [attempt.organisation for attempt in attempts],
        "places": [attempt.place for attempt in attempts],
        "entered": [attempt.entered_by for attempt in attempts],
        "reasons": [attempt.reason for attempt in attempts],
        "fingerprints": [attempt.fingerprint for attempt in attempts],
        "gates": [read[attempt.key].gate if attempt.key in read else None for attempt in attempts],
        "slots": [read[attempt.key].slot if attempt.key in read else None for attempt in attempts],
        "group_sessions": [attempt.group_session for attempt in attempts],
    }
    return [Record(*row) for row in db.session.execute(INSERT, columns | _keys(attempts))]


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
    columns = [getattr(CheckIn, field.name) for field in fields(Record)]
    mine = scoped(select(*columns), CheckIn.activity_id == activity, CheckIn.member_id == member)
    return [Record(*row) for row in db.session.execute(mine.order_by(CheckIn.id))]


def of_row(row: CheckIn) -> Record:
    """A row as a record."""
    return Record(**{field.name: getattr(row, field.name) for field in fields(Record)})


def _keys(attempts: Iterable[Attempt]) -> dict[str, Any]:
    attempts = list(attempts)
    return {
        "members": [attempt.member for attempt in attempts],
        "references": [attempt.reference for attempt in attempts],
    }
