"""Checking in. Many attempts at once, each with its own answer, whatever the others are.

The order is what keeps repeats harmless: a known reference is answered before any rule is asked, so that a retry
after the window has closed still gets its first answer; then the rules; then one INSERT of everybody in the order
of member numbers (two batches that overlap wait for each other in the same order, so they cannot lock each other
out); then a second SELECT, because a concurrent repeat that has just won comes back from no INSERT of ours.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

import redis
from flask import current_app
from sqlalchemy import select, text
from sqlalchemy.exc import DataError, IntegrityError

from service.activity.audience import invites
from service.checkin.models import CheckIn
from service.clock import iso
from service.errors import ServiceError
from service.extensions import db
from service.home import home_of
from service.live.figures import note_check_ins
from service.live.scripts import slots_of
from service.notify.outbox import Event, publish_many
from service.scope import scoped

log = logging.getLogger(__name__)

# What one bad attempt can do to a statement; anything else is the database's trouble and everybody's.
SPOILT = (DataError, IntegrityError, ValueError)

MOST = 1000

Key = tuple[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a door hands in: who, from where, under which client reference; `sitting` None is the one open now."""

    member: int
    organisation: str
    place: str
    reference: str
    sitting: int | None = None
    happened_at: datetime | None = None
    method: str = "self"

    @property
    def key(self) -> Key:
        """What makes two attempts the same."""
        return self.member, self.reference


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

    @property
    def key(self) -> Key:
        """The attempt that it came from."""
        return self.member_id, self.reference


COLUMNS = ", ".join(f"check_ins.{field.name}" for field in fields(Record))
# Written out and built once: every member's phone sends these within the same few minutes. A batch of any size is
# one statement, and unnest keeps its order.
FIND = text(
    """
    -- scope: one activity; who may come is decided from what it answers
    SELECT a.attendance, a.rehearsal,
        ARRAY(SELECT o.path FROM activity_invitations i JOIN organisations o ON o.id = i.organisation_id
              WHERE i.activity_id = a.id),
        s.id, s.checkin_opens_at, s.checkin_closes_at,
        ARRAY(SELECT ARRAY[id, shards] FROM streams WHERE sitting_id = s.id)
    FROM activities a JOIN sittings s ON s.activity_id = a.id
    WHERE a.id = :activity ORDER BY s.starts_at
    """
)
KNOWN = text(
    f"""
    -- scope: the members who ask
    SELECT {COLUMNS} FROM unnest(CAST(:members AS bigint[]), CAST(:references AS text[])) AS wanted (member, reference)
    JOIN check_ins ON check_ins.member_id = wanted.member AND check_ins.reference = wanted.reference
    """  # noqa: S608 - column names of our own class
)
INSERT = text(
    f"""
    INSERT INTO check_ins (activity_id, received_at, member_id, reference, sitting_id, method, happened_at,
        organisation_path, place_path)
    SELECT :activity, :now, new.* FROM unnest(CAST(:members AS bigint[]), CAST(:references AS text[]),
        CAST(:sittings AS bigint[]), CAST(:methods AS text[]), CAST(:happened AS timestamptz[]),
        CAST(:organisations AS text[]), CAST(:places AS text[])) AS new
    ON CONFLICT DO NOTHING RETURNING {COLUMNS}
    """  # noqa: S608 - column names of our own class
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an attempt: the record, new or from the first time, or the refusal."""

    record: Record | None = None
    repeat: bool = False
    refusal: ServiceError | None = None


class Window(NamedTuple):
    """When a sitting takes check-ins."""

    sitting: int
    opens_at: datetime
    closes_at: datetime
    # Each with the number of slots that its members are spread over.
    streams: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class Occasion:
    """What the rules need to know of an activity."""

    id: int
    attendance: str
    rehearsal: bool
    invited: tuple[str, ...]
    windows: tuple[Window, ...]


Answers = dict[Key, Answer]


def check_in(activity: int, attempts: Sequence[Attempt], now: datetime) -> list[Answer]:
    """The answer to each attempt, in their order; committed, told to the outbox and to the live figures.

    ServiceError not_found if there is no such activity.
    """
    occasion = find(activity)
    unique = sorted({attempt.key: attempt for attempt in reversed(attempts)}.values(), key=lambda attempt: attempt.key)
    answers: Answers = {}
    for start in range(0, len(unique), MOST):
        fresh = settle(occasion, unique[start : start + MOST], now)
        tell(occasion, [answer.record for answer in fresh.values() if answer.record and not answer.repeat])
        answers |= fresh
    told: set[Key] = set()
    return [_repeated(answers[attempt.key], attempt.key, told) for attempt in attempts]


def find(activity: int) -> Occasion:
    """The activity with its windows and whom it invites, in one query; ServiceError not_found."""
    rows = db.session.execute(FIND, {"activity": activity}).all()
    if not rows:
        raise ServiceError("not_found")
    attendance, rehearsal, paths = rows[0][:3]
    windows = tuple(Window(*row[3:]) for row in rows)
    return Occasion(activity, attendance, rehearsal, tuple(paths), windows)


def settle(occasion: Occasion, attempts: Sequence[Attempt], now: datetime) -> Answers:
    """Answers by attempt, committed; a batch that one attempt spoils is halved until that one stands alone."""
    try:
        return _settle_together(occasion, attempts, now)
    except SPOILT as error:
        db.session.rollback()
        if len(attempts) == 1:
            log.warning("a check-in could not be stored: %s", type(error).__name__)
            return {attempts[0].key: Answer(refusal=ServiceError("validation"))}
    middle = len(attempts) // 2
    return settle(occasion, attempts[:middle], now) | settle(occasion, attempts[middle:], now)


def _settle_together(occasion: Occasion, attempts: Sequence[Attempt], now: datetime) -> Answers:
    answers = _known(occasion, attempts)
    chosen: dict[Key, Window] = {}
    for attempt in attempts:
        if attempt.key not in answers:
            try:
                chosen[attempt.key] = admit(occasion, attempt, now)
            except ServiceError as refusal:
                answers[attempt.key] = Answer(refusal=refusal)
    admitted = [attempt for attempt in attempts if attempt.key in chosen]
    made = _insert(occasion, admitted, chosen, now)
    by_key = {attempt.key: attempt for attempt in admitted}
    publish_many(_event(occasion, by_key[record.key], record) for record in made)
    answers |= {row.key: Answer(row) for row in made}
    late = [attempt for attempt in admitted if attempt.key not in answers]
    if late:
        answers |= _known(occasion, late)
        answers |= _present([attempt for attempt in late if attempt.key not in answers], chosen)
    db.session.commit()
    return answers


def admit(occasion: Occasion, attempt: Attempt, now: datetime) -> Window:
    """The sitting that `attempt` counts for; ServiceError with the reason if there is none."""
    if not invites(occasion.attendance, occasion.invited, attempt.organisation, rehearsal=occasion.rehearsal):
        raise ServiceError("not_invited")
    windows = [one for one in occasion.windows if attempt.sitting in (None, one.sitting)]
    if not windows:
        raise ServiceError("not_found")
    for window in windows:
        if window.opens_at <= now < window.closes_at:
            return window
    if any(now < window.opens_at for window in windows):
        raise ServiceError("checkin_not_open")
    raise ServiceError("checkin_closed")


def tell(occasion: Occasion, made: Sequence[Record]) -> None:
    """Tell the live figures of committed check-ins; Valkey may be away, then the ledger tells it later."""
    client: redis.Redis = current_app.extensions["valkey"]
    try:
        for window in occasion.windows:
            members = [record.member_id for record in made if record.sitting_id == window.sitting]
            for stream, shards in window.streams if members else ():
                note_check_ins(client, slots_of(stream, shards), members)
    except redis.RedisError as error:
        log.warning("check-ins not told to the live figures: %s", type(error).__name__)


def check_ins_of(activity: int, member: int) -> list[Record]:
    """The member's check-ins of an activity, the first one first."""
    columns = [getattr(CheckIn, field.name) for field in fields(Record)]
    mine = scoped(select(*columns), CheckIn.activity_id == activity, CheckIn.member_id == member)
    return [Record(*row) for row in db.session.execute(mine.order_by(CheckIn.id))]


def _known(occasion: Occasion, attempts: Sequence[Attempt]) -> Answers:
    """The first answers of references that are known already."""
    rows = db.session.execute(KNOWN, _keys(attempts))
    return {record.key: _again(occasion, record) for record in (Record(*row) for row in rows)}


def _again(occasion: Occasion, record: Record) -> Answer:
    """The first answer again; a reference that was used for another activity is the client's mistake."""
    if record.activity_id != occasion.id:
        return Answer(refusal=ServiceError("conflict"))
    return Answer(record, repeat=True)


def _present(attempts: Iterable[Attempt], chosen: Mapping[Key, Window]) -> Answers:
    """The refusals of those who are in the sitting already, under another reference."""
    return {
        attempt.key: Answer(refusal=ServiceError("already_checked_in", sitting=chosen[attempt.key].sitting))
        for attempt in attempts
    }


def _insert(
    occasion: Occasion, attempts: Sequence[Attempt], chosen: Mapping[Key, Window], now: datetime
) -> list[Record]:
    """The records of those `attempts` that were not there yet; the others are left to the caller."""
    if not attempts:
        return []
    columns = {
        "activity": occasion.id,
        "now": now,
        "sittings": [chosen[attempt.key].sitting for attempt in attempts],
        "methods": [attempt.method for attempt in attempts],
        "happened": [_believed(attempt.happened_at, chosen[attempt.key], now) for attempt in attempts],
        "organisations": [attempt.organisation for attempt in attempts],
        "places": [attempt.place for attempt in attempts],
    }
    return [Record(*row) for row in db.session.execute(INSERT, columns | _keys(attempts))]


def _keys(attempts: Sequence[Attempt]) -> dict[str, Any]:
    return {
        "members": [attempt.member for attempt in attempts],
        "references": [attempt.reference for attempt in attempts],
    }


def _believed(told: datetime | None, window: Window, now: datetime) -> datetime:
    """A phone's clock is believed where it can be right."""
    return told if told is not None and window.opens_at <= told <= now else now


def _event(occasion: Occasion, attempt: Attempt, record: Record) -> Event:
    """What push services hear: no number and no exact time by which two of them could match their subjects."""
    return Event(
        topic="checkin.created",
        organisation_path=home_of(attempt.organisation),
        subject_member=record.member_id,
        payload={
            "activity": occasion.id,
            "sitting": record.sitting_id,
            "method": record.method,
            "rehearsal": occasion.rehearsal,
            "happened_at": iso(record.happened_at.replace(second=0, microsecond=0)),
            "received_at": iso(record.received_at.replace(second=0, microsecond=0)),
        },
    )


def _repeated(answer: Answer, key: Key, told: set[Key]) -> Answer:
    """The same attempt twice in one call: the second is a repeat of the first."""
    if key in told and answer.record is not None:
        return Answer(answer.record, repeat=True)
    told.add(key)
    return answer
