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
from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, IntegrityError

from service.activity.audience import invites
from service.activity.models import Activity, ActivityInvitation, Sitting, Stream
from service.checkin.models import CheckIn
from service.clock import iso
from service.errors import ServiceError
from service.extensions import db
from service.live.figures import note_check_ins
from service.notify.outbox import Event, publish_many
from service.org.models import Organisation

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


COLUMNS = tuple(getattr(CheckIn, field.name) for field in fields(Record))


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
        tell([answer.record for answer in fresh.values() if answer.record and not answer.repeat])
        answers |= fresh
    told: set[Key] = set()
    return [_repeated(answers[attempt.key], attempt.key, told) for attempt in attempts]


def find(activity: int) -> Occasion:
    """The activity with its windows and whom it invites, in one query; ServiceError not_found."""
    invited = (
        select(Organisation.path)
        .join(ActivityInvitation, ActivityInvitation.organisation_id == Organisation.id)
        .where(ActivityInvitation.activity_id == Activity.id)
        .correlate(Activity)
    )
    question = (
        select(
            Activity.attendance,
            Activity.rehearsal,
            func.array(invited.scalar_subquery()),
            Sitting.id,
            Sitting.checkin_opens_at,
            Sitting.checkin_closes_at,
        )
        .join(Sitting, Sitting.activity_id == Activity.id)
        .where(Activity.id == activity)
        .order_by(Sitting.starts_at)
    )
    rows = db.session.execute(question).all()
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
    rows = [_row(occasion, attempt, chosen[attempt.key], now) for attempt in admitted]
    made = _insert(rows)
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
    if not invites(occasion.attendance, occasion.invited, attempt.organisation):
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


def tell(made: Sequence[Record]) -> None:
    """Tell the live figures of committed check-ins; Valkey may be away, then the ledger tells it later."""
    by_sitting: dict[int, list[int]] = {}
    for record in made:
        by_sitting.setdefault(record.sitting_id, []).append(record.member_id)
    if not by_sitting:
        return
    client: redis.Redis = current_app.extensions["valkey"]
    streams = select(Stream.id, Stream.sitting_id).where(Stream.sitting_id.in_(by_sitting))
    try:
        for stream, sitting in db.session.execute(streams).all():
            note_check_ins(client, stream, by_sitting[sitting])
    except redis.RedisError as error:
        log.warning("check-ins not told to the live figures: %s", type(error).__name__)


def check_ins_of(activity: int, member: int) -> list[Record]:
    """The member's check-ins of an activity, the first one first."""
    mine = select(*COLUMNS).where(CheckIn.activity_id == activity, CheckIn.member_id == member)
    return [Record(*row) for row in db.session.execute(mine.order_by(CheckIn.id))]


def _known(occasion: Occasion, attempts: Iterable[Attempt]) -> Answers:
    """The first answers of references that are known already."""
    keys = [attempt.key for attempt in attempts]
    rows = db.session.execute(select(*COLUMNS).where(tuple_(CheckIn.member_id, CheckIn.reference).in_(keys)))
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


def _insert(rows: Sequence[dict[str, Any]]) -> list[Record]:
    """Those of `rows` that were not there yet; the others are left to the caller."""
    if not rows:
        return []
    statement = insert(CheckIn).on_conflict_do_nothing().returning(*COLUMNS)
    return [Record(*row) for row in db.session.execute(statement, rows)]


def _row(occasion: Occasion, attempt: Attempt, window: Window, now: datetime) -> dict[str, Any]:
    # A phone's clock is believed where it can be right.
    told = attempt.happened_at
    believed = told if told is not None and window.opens_at <= told <= now else now
    return {
        "activity_id": occasion.id,
        "sitting_id": window.sitting,
        "member_id": attempt.member,
        "method": attempt.method,
        "reference": attempt.reference,
        "happened_at": believed,
        "received_at": now,
        "organisation_path": attempt.organisation,
        "place_path": attempt.place,
    }


def _event(occasion: Occasion, attempt: Attempt, record: Record) -> Event:
    return Event(
        topic="checkin.created",
        organisation_path=attempt.organisation,
        subject_member=record.member_id,
        payload={
            "activity": occasion.id,
            "sitting": record.sitting_id,
            "check_in": record.id,
            "method": record.method,
            "rehearsal": occasion.rehearsal,
            "happened_at": iso(record.happened_at),
            "received_at": iso(record.received_at),
        },
    )


def _repeated(answer: Answer, key: Key, told: set[Key]) -> Answer:
    """The same attempt twice in one call: the second is a repeat of the first."""
    if key in told and answer.record is not None:
        return Answer(answer.record, repeat=True)
    told.add(key)
    return answer
