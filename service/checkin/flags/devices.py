"""Knowing one device again within one activity, for a week, and nothing else of it."""

import hmac
import struct
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import delete, insert, select, update

from service.checkin.flags.models import DeviceMark, Flag
from service.checkin.models import CheckIn
from service.checkin.records import Attempt, Record
from service.extensions import db
from service.scope import everything, scoped

KEPT = timedelta(days=7)
BYTES = 16


def mark_of(activity: int, device: str) -> bytes:
    """What is kept of a device's name; without the key, and in another activity, it is another one's."""
    key: str = current_app.config["CHUNSHUI"].secret_key
    return hmac.digest(key.encode(), b"device" + struct.pack(">Q", activity) + device.encode(), "sha256")[:BYTES]


def note(activity: int, attempts: Iterable[Attempt], made: Sequence[Record], now: datetime) -> None:
    """Note from which device each of the new check-ins came, as far as phones said so; in the caller's transaction."""
    named = {attempt.key: attempt.device for attempt in attempts if attempt.device}
    rows = [
        {"check_in_id": one.id, "activity_id": activity, "mark": mark_of(activity, named[one.key]), "noted_at": now}
        for one in made
        if one.key in named
    ]
    if rows:
        db.session.execute(insert(DeviceMark), rows)


def prune(now: datetime) -> None:
    """Forget marks after a week, in flags too. Commits."""
    over = now - KEPT
    db.session.execute(everything("marks of all devices", delete(DeviceMark).where(DeviceMark.noted_at < over)))
    marked = update(Flag).where(Flag.kind == "device", Flag.subject.is_not(None), Flag.raised_at < over)
    db.session.execute(everything("marks of all devices", marked).values(subject=None))
    db.session.commit()


def forget(member: int) -> None:
    """Forget from which devices a member checked in; in the caller's transaction."""
    mine = scoped(select(CheckIn.id), CheckIn.member_id == member)
    gone = scoped(delete(DeviceMark), DeviceMark.check_in_id.in_(mine))
    db.session.execute(gone.execution_options(synchronize_session=False))
