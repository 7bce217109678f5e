"""Taking check-ins back, and confirming proxies. The row stays, with who did it, when and why."""

import logging
from datetime import datetime, timedelta

import redis
from flask import current_app
from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import IntegrityError

from service.checkin import rules
from service.checkin.models import CheckIn
from service.checkin.occasion import Occasion, find
from service.checkin.records import Record, of_row
from service.errors import ServiceError
from service.extensions import db
from service.live.figures import take_back
from service.live.scripts import slots_of
from service.notify.outbox import publish_many
from service.scope import scoped

log = logging.getLogger(__name__)

UNDO = timedelta(minutes=15)


def undo(activity: int, member: int, reference: str, now: datetime, *, by: int | None = None) -> Record:
    """Take back what oneself has entered, by its reference, within 15 minutes. Commits. Twice gives the same answer.

    `by` is the organiser who entered it for the member; None is the member. ServiceError not_found, undo_closed.
    """
    mine = CheckIn.entered_by.is_not_distinct_from(by)
    row = _locked(activity, CheckIn.member_id == member, CheckIn.reference == reference, mine)
    if row.annulled_at is None and now >= row.received_at + UNDO:
        db.session.rollback()
        raise ServiceError("undo_closed")
    return _annul(row, by=by, reason="undone", now=now)


def annul(activity: int, check_in: int, *, visible: ColumnElement[bool], by: int, reason: str, now: datetime) -> Record:
    """Take a member's check-in back, for a reason. Commits; the first who does it and why stay.

    The member cannot put himself back, an organiser can; unless it was `by`'s own word. ServiceError not_found.
    """
    return _annul(_locked(activity, CheckIn.id == check_in, visible), by=by, reason=reason, now=now)


def confirm(activity: int, check_in: int, *, visible: ColumnElement[bool], by: int, now: datetime) -> Record:
    """Confirm a proxy as the second person; from then on it stands. Commits. Confirming twice changes nothing.

    ServiceError not_found, second_person for who entered it, checkin_annulled, already_checked_in where the member came
    himself meanwhile.
    """
    row = _locked(activity, CheckIn.id == check_in, CheckIn.method == "proxy", visible)
    refusal = "second_person" if row.entered_by == by else "checkin_annulled" if row.annulled_at else None
    if refusal:
        db.session.rollback()
        raise ServiceError(refusal)
    if row.confirmed_at is None:
        row.confirmed_at, row.confirmed_by = now, by
        try:
            db.session.flush()
        except IntegrityError:
            db.session.rollback()
            raise ServiceError("already_checked_in") from None
        occasion = find(activity)
        record = of_row(row)
        publish_many([rules.event("checkin.created", occasion, row.organisation_path, record)])
        db.session.commit()
        rules.tell(occasion, [record])
    return of_row(row)


def _locked(activity: int, *which: ColumnElement[bool]) -> CheckIn:
    question = scoped(select(CheckIn), CheckIn.activity_id == activity, *which).with_for_update()
    row = db.session.scalar(question.execution_options(populate_existing=True))
    if row is None:
        db.session.rollback()
        raise ServiceError("not_found")
    return row


def _annul(row: CheckIn, *, by: int | None, reason: str, now: datetime) -> Record:
    stood, before = of_row(row).counts, row.annulled_at
    if before is None:
        row.annulled_at, row.annulled_by, row.annul_reason = now, by, reason
        occasion = find(row.activity_id)
        if stood:
            publish_many([rules.event("checkin.annulled", occasion, row.organisation_path, of_row(row))])
    record = of_row(row)
    db.session.commit()
    if before is None and stood:
        _tell(occasion, record)
    return record


def _tell(occasion: Occasion, record: Record) -> None:
    """Tell the live figures; Valkey may be away, then the worker tells it later."""
    client: redis.Redis = current_app.extensions["valkey"]
    try:
        for window in occasion.windows:
            for stream, shards in window.streams if window.sitting == record.sitting_id else ():
                take_back(client, slots_of(stream, shards), [record.member_id])
    except redis.RedisError as error:
        log.warning("a check-in that was taken back not told to the live figures: %s", type(error).__name__)
