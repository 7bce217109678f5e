"""Making deliveries of a notice that is due, and saying beforehand whom it would reach."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from flask import current_app
from sqlalchemy import case, func, literal, null, or_, select, text, union_all, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import InterfaceError, OperationalError

from service.config import Config
from service.extensions import db
from service.notify.notices.audience import Asked, Means, audience_of, reached
from service.notify.notices.models import INBOX, Notice, NoticeDelivery
from service.scope import everything, reason, scoped

log = structlog.get_logger(__name__)

AGAIN = timedelta(minutes=1)
# The audience of a whole day is made into deliveries in seconds, but not in a request's.
LONG = text("SET LOCAL statement_timeout = '5min'")
# One at a time: of two that are made at once neither would see that the other uses a member's last accept.
ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('notices told', 0))")
COLUMNS = (
    "notice_id", "member_id", "organisation_path", "lane", "address", "template", "language", "state", "due_at",
    "give_up_at", "delivered_at",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How many an audience has, how many of them each channel reaches, and why the others are in the inbox only."""

    people: int
    channels: dict[str, int]
    unreached: dict[str, int]


def rehearse(asked: Asked, means: Means) -> Reach:
    """Whom a notice would reach now; writes nothing."""
    rows = reached(asked, means)
    counted = select(rows.c.lane, rows.c.why, func.count()).group_by(rows.c.lane, rows.c.why)
    channels: Counter[str] = Counter()
    unreached: Counter[str] = Counter()
    for lane, why, count in db.session.execute(everything("the audience is its room's", counted)):
        (channels if lane else unreached)[lane or why] += count
    people = sum(channels.values()) + sum(unreached.values())
    return Reach(people=people, channels=dict(channels), unreached=dict(unreached))


def tell_due(channels: Sequence[str], now: datetime) -> int:
    """Tell one notice that is due, if there is one; how many. Commits. What is past its life expires untold."""
    rested = or_(Notice.tried_at.is_(None), Notice.tried_at <= now - AGAIN)
    due = select(Notice).where(Notice.state == "planned", Notice.due_at <= now, rested)
    question = due.order_by(Notice.due_at).limit(1)
    claimed = everything("whatever is due", question.with_for_update(skip_locked=True))
    notice = db.session.scalar(claimed)
    if notice is None:
        db.session.rollback()
        return 0
    if notice.expires_at <= now:
        notice.state = "expired"
    else:
        _tell_whole(notice, channels, now)
    db.session.commit()
    return 1


def _tell_whole(notice: Notice, channels: Sequence[str], now: datetime) -> None:
    """All of it or nothing; one that cannot be told now is tried again in a minute, and holds up no other."""
    config: Config = current_app.config["CHUNSHUI"]
    try:
        with db.session.begin_nested():
            tell(notice, audience_of(notice), Means.of(notice.kind, channels, config), now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        log.error("notice cannot be told", notice=notice.id, reason=type(error).__name__)
        notice.tried_at = now


def tell(notice: Notice, asked: Asked, means: Means, now: datetime) -> None:
    """One delivery to everybody's inbox, one for the channel that reaches somebody; in the caller's transaction."""
    db.session.execute(LONG)
    db.session.execute(ALONE)
    rows = reached(asked, means)
    common = (literal(notice.id), rows.c.member_id, rows.c.organisation_path)
    life = (literal(now), literal(notice.expires_at))
    known = means.templates.items()
    template = case(*((rows.c.lane == lane, literal(one)) for lane, one in known), else_=null())
    inbox = select(*common, literal(INBOX), null(), null(), rows.c.language, literal("delivered"), *life, literal(now))
    sent = select(
        *common, rows.c.lane, rows.c.address, template, rows.c.language, literal("pending"), *life, null()
    ).where(rows.c.lane.is_not(None))
    row = insert(NoticeDelivery).from_select(COLUMNS, union_all(inbox, sent)).on_conflict_do_nothing()
    db.session.execute(row, execution_options=reason("the audience is its room's"))
    supersede(notice)
    notice.state, notice.told_at = "told", now


def supersede(notice: Notice) -> None:
    """What waits of older notices under the same key is not sent any more: the newer one says it."""
    older = select(Notice.id).where(Notice.key == notice.key, Notice.id < notice.id).scalar_subquery()
    waiting = (NoticeDelivery.notice_id.in_(older), NoticeDelivery.state == "pending")
    stale = scoped(update(NoticeDelivery), *waiting, NoticeDelivery.lease_until.is_(None))
    values = {"state": "cancelled", "last_error": "superseded"}
    db.session.execute(stale.values(values).execution_options(synchronize_session=False))
