"""Planning, moving and calling off notices, in the caller's transaction: they follow what they remind of.

A notice that waits is moved; of one that was told already what has not been sent is called off, and a new one waits.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.dialects.postgresql import insert

from service.extensions import db
from service.notify.notices.kinds import KINDS
from service.notify.notices.models import Notice, NoticeDelivery
from service.scope import reason, scoped

# What a notice that waits takes over from a newer plan.
MOVED = ("due_at", "expires_at", "facts", "texts", "audience", "organisation_path")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be told, when, and until when it is worth telling.

    `audience` names the room's audience and what it takes: {"name": "activity", …}.
    """

    key: str
    kind: str
    due_at: datetime
    expires_at: datetime
    organisation_path: str
    audience: Mapping[str, Any]
    activity_id: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    created_by: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind}")


def plan(wanted: Plan) -> None:
    """Let `wanted` be told when it is due, instead of what was planned under its key.

    What was told, or called off, for the same moment stays as it is: editing something else repeats nothing.
    """
    over = (Notice.key == wanted.key, Notice.state != "planned", Notice.due_at == wanted.due_at)
    if db.session.scalar(scoped(select(Notice.id), *over).limit(1)) is not None:
        call_off(wanted.key, but=wanted.due_at)
        return
    call_off(wanted.key, but=wanted.due_at, told_only=True)
    values = {one.name: getattr(wanted, one.name) for one in fields(wanted)}
    moved = {name: values[name] for name in MOVED}
    row = insert(Notice).values(values)
    upsert = row.on_conflict_do_update(index_elements=["key"], index_where=Notice.state == "planned", set_=moved)
    db.session.execute(upsert, execution_options=reason("one key"))


def call_off(key: str, *, but: datetime | None = None, told_only: bool = False) -> None:
    """Tell nothing more under `key`; `but`: leave the notice of that moment."""
    which = [Notice.key == key]
    if but is not None:
        which.append(Notice.due_at != but)
    stop(*which, states=("told",) if told_only else ("planned", "told"))


def stop(*which: ColumnElement[bool], states: Collection[str] = ("planned", "told")) -> None:
    """Tell nothing more of the notices for which `which` hold."""
    found = scoped(select(Notice.id), *which, Notice.state.in_(states))
    numbers = list(db.session.scalars(found.order_by(Notice.id).with_for_update()))
    if not numbers:
        return
    db.session.execute(scoped(update(Notice), Notice.id.in_(numbers)).values(state="cancelled"))
    waiting = (NoticeDelivery.notice_id.in_(numbers), NoticeDelivery.state == "pending")
    # One that a worker holds is left to it: it looks at the notice before it tries again.
    unheld = scoped(update(NoticeDelivery), *waiting, NoticeDelivery.lease_until.is_(None))
    db.session.execute(unheld.values(state="cancelled", last_error="called_off"))
