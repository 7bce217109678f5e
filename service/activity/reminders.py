"""Reminders of an activity: they follow its own times, in the transaction that changes these."""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import ColumnElement, Select, and_, exists, false, or_, select, true

from service.activity.models import Activity, ActivityInvitation, ActivityOrganiser, Sitting, Stream
from service.clock import iso
from service.extensions import db
from service.notify.notices.audience import Asked
from service.notify.notices.models import INBOX, Notice, NoticeDelivery
from service.notify.notices.planning import Plan, call_off, plan
from service.org.models import Division, Member, Organisation, within
from service.org.reach import remindable
from service.scope import scoped

BEFORE = timedelta(hours=1)
# Who was not told by then that it began need not be told any more.
STARTED_FOR = timedelta(minutes=15)


def follow(activity: Activity) -> None:
    """Plan, move or call off the reminders of `activity` as its times are now; in the caller's transaction."""
    for wanted in _plans(activity):
        if activity.rehearsal:
            call_off(wanted.key)
        else:
            plan(wanted)


def _plans(activity: Activity) -> Iterator[Plan]:
    path = lead_path(activity)
    for sitting in activity.sittings:
        facts = {"theme": activity.theme, "starts_at": iso(sitting.starts_at), "timezone": activity.timezone}
        common = {
            "organisation_path": path,
            "activity_id": activity.id,
            "audience": {"name": "activity"},
            "facts": facts,
        }
        yield _hour_before(sitting, common)
        yield from (_started(stream, common) for stream in sitting.streams)


def _hour_before(sitting: Sitting, common: dict[str, object]) -> Plan:
    due, key = sitting.starts_at - BEFORE, f"sitting:{sitting.id}:hour_before"
    return Plan(key=key, kind="hour_before", due_at=due, expires_at=sitting.starts_at, **common)  # type: ignore[arg-type]


def _started(stream: Stream, common: dict[str, object]) -> Plan:
    due, key = stream.opens_at, f"stream:{stream.id}:started"
    return Plan(key=key, kind="started", due_at=due, expires_at=due + STARTED_FOR, **common)  # type: ignore[arg-type]


def lead_path(activity: Activity) -> str:
    """Where the first of those who lead the activity stands in the tree: it tells what is told of it."""
    lead = next(one for one in activity.organisers if one.tier == "lead")
    return db.session.scalars(select(Organisation.path).where(Organisation.id == lead.organisation_id)).one()


def audience(notice: Notice) -> Asked:
    """Those whom the activity of `notice` is for, in the part of the tree and the place that the notice is for.

    Of a rostered one the invited; of an open one, to which anybody may come, the members of who holds it.
    """
    whose = scoped(select(Activity.attendance), Activity.id == notice.activity_id)
    model = ActivityInvitation if db.session.scalar(whose) == "rostered" else ActivityOrganiser
    paths = select(Organisation.path).join(model, model.organisation_id == Organisation.id)
    found = db.session.scalars(paths.where(model.activity_id == notice.activity_id)).all()
    concerned = or_(false(), *(within(Organisation.path, path) for path in found))
    return remindable(concerned, narrowed(notice))


def unread(notice: Notice) -> Asked:
    """Those who were told something of the activity and have not read any of it yet."""
    told = (NoticeDelivery.member_id == Member.id, NoticeDelivery.lane == INBOX)
    of_it = exists().where(*told, NoticeDelivery.notice_id.in_(_told(notice)))
    return remindable(of_it, ~of_it.where(NoticeDelivery.read_at.is_not(None)), narrowed(notice))


def _told(notice: Notice) -> Select[int]:
    return select(Notice.id).where(Notice.activity_id == notice.activity_id)


def narrowed(notice: Notice) -> ColumnElement[bool]:
    """In the part of the tree, and with a present place in the division, that the notice is for."""
    path, place = notice.audience.get("below"), notice.audience.get("place")
    there = Member.place_code.in_(select(Division.code).where(within(Division.path, place))) if place else true()
    return and_(within(Organisation.path, path) if path else true(), there)
