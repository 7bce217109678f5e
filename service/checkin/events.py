"""The gateway's event `check_in`: the same attempt as over REST, of the many members who check in at the same time."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Flask
from marshmallow import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.checkin import rules
from service.checkin.records import Attempt, Record
from service.checkin.schemas import REFERENCES, SocketIn
from service.clock import iso
from service.errors import MISSING, ServiceError
from service.extensions import db
from service.fields import MAX_ID
from service.live.errands import Asked, Handler, Reply

log = logging.getLogger(__name__)

READ = SocketIn()
PLAIN = {"activity", "reference"}
WITH_SITTING = PLAIN | {"sitting"}


def handler(app: Flask) -> Handler:
    """Answers requests in a thread of its own, within `app`."""

    def check_in(asked: Sequence[Asked], now: datetime) -> list[Reply]:
        with app.app_context():
            return answers(asked, now)

    return check_in


def answers(asked: Sequence[Asked], now: datetime) -> list[Reply]:
    """What became of each request; those of one activity are one call of the rule."""
    found: list[Reply | None] = [None] * len(asked)
    places: dict[int, list[tuple[int, Attempt]]] = defaultdict(list)
    for place, one in enumerate(asked):
        try:
            activity, attempt = read(one)
        except ServiceError as refusal:
            found[place] = refusal
        else:
            places[activity].append((place, attempt))
    for activity, attempts in places.items():
        replies = checked_in(activity, [attempt for _, attempt in attempts], now)
        for (place, _), reply in zip(attempts, replies, strict=True):
            found[place] = reply
    return [reply or ServiceError("internal") for reply in found]


def checked_in(activity: int, attempts: Sequence[Attempt], now: datetime) -> list[Reply]:
    """The answers to the attempts of one activity; one that is lost costs the others nothing."""
    try:
        return [shown(answer) for answer in rules.check_in(activity, attempts, now)]
    except ServiceError as refusal:
        return [refusal] * len(attempts)
    except (DBAPIError, PoolTimeout) as error:
        log.warning("check-ins not written: %s", type(error).__name__)
        db.session.remove()
        return [ServiceError("database_unavailable", retry_after=2)] * len(attempts)


def read(asked: Asked) -> tuple[int, Attempt]:
    """The activity and the attempt that a request names; ServiceError if it cannot be read."""
    given = asked.arguments[0] if asked.arguments else None
    body = {**given} if is_plain(given) else loaded(given)  # type: ignore[dict-item]
    activity = body.pop("activity")
    method = "self" if body.get("code") is None else "onsite_qr"
    member, organisation, place, _ = asked
    return activity, Attempt(member=member, organisation=organisation, place=place, method=method, **body)


def is_plain(given: object) -> bool:
    """Whether `given` is just what nearly every phone sends, which `loaded` would say in thirty times the time."""
    if type(given) is not dict or not PLAIN <= given.keys() <= WITH_SITTING:
        return False
    numbers = (given["activity"], given.get("sitting", 1))
    return (
        type(given["reference"]) is str
        and REFERENCES.match(given["reference"]) is not None
        and all(map(is_id, numbers))
    )


def is_id(value: object) -> bool:
    """Whether a value can be a row's number."""
    return type(value) is int and 0 < value <= MAX_ID


def loaded(given: object) -> dict[str, Any]:
    """What a request says, by the schema; ServiceError if it cannot be read."""
    try:
        return dict(READ.load(given))  # type: ignore[arg-type]
    except ValidationError as error:
        missing = isinstance(error.messages, dict) and error.messages.get("reference") in MISSING
        raise ServiceError("reference_missing" if missing else "validation", errors=error.messages) from None


def shown(answer: rules.Answer) -> Reply:
    """An answer as it goes out; an activity that does not include the member looks like one that does not exist."""
    if answer.record is not None:
        return {"check_in": dumped(answer.record), "repeat": answer.repeat}
    refusal = answer.refusal or ServiceError("internal")
    return ServiceError("not_found") if refusal.code == "not_invited" else refusal


def dumped(record: Record) -> dict[str, object]:
    """A record as CheckInOut shows it, which takes fifteen times as long; a test holds both to the same."""
    return {
        "id": record.id,
        "activity": record.activity_id,
        "sitting": record.sitting_id,
        "reference": record.reference,
        "method": record.method,
        "happened_at": iso(record.happened_at),
        "received_at": iso(record.received_at),
        "late": record.late,
        "annulled_at": record.annulled_at and iso(record.annulled_at),
        "confirmed_at": record.confirmed_at and iso(record.confirmed_at),
    }
