"""What became of notices: for the organiser by fate, channel and node, for a person's branch one by one.

An organiser sees what was told to the own part of the tree, whoever else was told it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, false, func, or_, select

from service.errors import ServiceError
from service.extensions import db
from service.notify.endpoints import Organiser
from service.notify.notices import planning
from service.notify.notices.models import Notice, NoticeDelivery
from service.scope import scoped

PURPOSE = "activities"


def reaching(column: Any, paths: Sequence[str]) -> ColumnElement[bool]:
    """Whether `column` is one of `paths` or below; a path holds digits and dots only, so '/' sorts after all below."""
    return or_(false(), *((column >= path) & (column < f"{path}/") for path in paths))


def notice_of(organiser: Organiser, number: int) -> Notice:
    """A notice that the organiser's part of the tree tells; ServiceError not_found for any other."""
    mine = reaching(Notice.organisation_path, organiser.paths(PURPOSE))
    found = db.session.scalar(scoped(select(Notice), Notice.id == number, mine))
    if found is None:
        raise ServiceError("not_found")
    return found


def counts(notice: Notice, organiser: Organiser) -> list[dict[str, Any]]:
    """How many deliveries have which channel, fate and last error; of the inbox, how many were read."""
    columns = (NoticeDelivery.lane, NoticeDelivery.state, NoticeDelivery.last_error)
    question = scoped(select(*columns, *_sums()), *_told(notice, organiser)).group_by(*columns).order_by(*columns)
    return [_named(row._mapping) for row in db.session.execute(question)]


def by_node(notice: Notice, organiser: Organiser) -> list[dict[str, Any]]:
    """The same by the node below the one that tells: where one branch is reached less than another."""
    # Of a part of the tree beside or above the teller's own the first node counts.
    depth = notice.organisation_path.count(".") + 2
    node = func.split_part(NoticeDelivery.organisation_path, ".", depth)
    columns = (node.label("node"), NoticeDelivery.lane, NoticeDelivery.state)
    below = reaching(NoticeDelivery.organisation_path, [notice.organisation_path])
    question = scoped(select(*columns, *_sums()), *_told(notice, organiser), below).group_by(*columns)
    rows = [_named(row._mapping) for row in db.session.execute(question.order_by(*columns))]
    own = int(notice.organisation_path.rpartition(".")[2])
    return [row | {"node": int(row["node"]) if row["node"] else own} for row in rows]


def _sums() -> tuple[ColumnElement[int], ...]:
    repeats = func.coalesce(func.sum(NoticeDelivery.repeats), 0).label("repeats")
    return func.count().label("count"), func.count(NoticeDelivery.read_at).label("read"), repeats


def _told(notice: Notice, organiser: Organiser) -> tuple[ColumnElement[bool], ...]:
    mine = reaching(NoticeDelivery.organisation_path, organiser.paths(PURPOSE))
    return NoticeDelivery.notice_id == notice.id, mine


def _named(row: Any) -> dict[str, Any]:
    return {"channel" if name == "lane" else name: value for name, value in row.items()}


def deliveries(
    notice: Notice, organiser: Organiser, *, state: str | None, before: int | None, limit: int
) -> list[NoticeDelivery]:
    """Deliveries of a notice, the newest first; `before` continues a page."""
    question = scoped(select(NoticeDelivery), *_told(notice, organiser))
    return _page(question, state=state, before=before, limit=limit)


def of_member(
    organiser: Organiser, member: int, *, state: str | None, before: int | None, limit: int
) -> list[NoticeDelivery]:
    """What was told to a member while at home in the organiser's part of the tree, the newest first."""
    mine = reaching(NoticeDelivery.organisation_path, organiser.paths("roster"))
    question = scoped(select(NoticeDelivery), NoticeDelivery.member_id == member, mine)
    return _page(question, state=state, before=before, limit=limit)


def _page(question: Any, *, state: str | None, before: int | None, limit: int) -> list[NoticeDelivery]:
    if state is not None:
        question = question.where(NoticeDelivery.state == state)
    if before is not None:
        question = question.where(NoticeDelivery.id < before)
    return list(db.session.scalars(question.order_by(NoticeDelivery.id.desc()).limit(limit)))


def retry(notice: Notice, organiser: Organiser, number: int, now: datetime) -> NoticeDelivery:
    """Send a dead delivery again. Commits. ServiceError not_found; conflict unless it is dead and its notice alive."""
    told = _told(notice, organiser)
    found = db.session.scalar(scoped(select(NoticeDelivery), NoticeDelivery.id == number, *told).with_for_update())
    if found is None:
        raise ServiceError("not_found")
    if found.state != "dead" or notice.state != "told" or notice.expires_at <= now:
        db.session.rollback()
        raise ServiceError("conflict")
    found.state, found.attempts, found.due_at = "pending", 0, now
    db.session.commit()
    return found


def call_off(notice: Notice) -> None:
    """Tell nothing more of it. Commits; a repeat changes nothing."""
    planning.stop(Notice.id == notice.id)
    db.session.commit()
