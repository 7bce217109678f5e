"""Finding activities, and announcing those that open."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import joinedload, selectinload

from service.activity.audience import organised_by, visible_to
from service.activity.models import Activity, ActivityOrganiser, Sitting, Stream
from service.clock import iso
from service.errors import ServiceError
from service.extensions import db
from service.notify.outbox import Event, publish_many
from service.org.organisers import Organiser
from service.scope import everything, scoped
from service.tokens import Actor

MOST = 200


def whole(*conditions: ColumnElement[bool]) -> Select[Activity]:
    """Those activities with everything that a summary or detail shows, in two queries however many there are."""
    streams = selectinload(Activity.sittings).joinedload(Sitting.streams).joinedload(Stream.sources)
    return scoped(select(Activity), *conditions).options(
        joinedload(Activity.series),
        joinedload(Activity.organisers).joinedload(ActivityOrganiser.organisation),
        streams,
    )


def of_member(actor: Actor, now: datetime) -> Sequence[Activity]:
    """The current and upcoming activities that include the member, the next one first."""
    alive = select(Sitting.activity_id).where((Sitting.ends_at > now) | (Sitting.checkin_closes_at > now))
    question = whole(Activity.id.in_(alive), visible_to(actor))
    found = db.session.scalars(question.order_by(Activity.id.desc()).limit(MOST)).unique().all()
    return sorted(found, key=lambda activity: min(sitting.starts_at for sitting in activity.sittings))


def of_organiser(organiser: Organiser) -> Sequence[Activity]:
    """The activities that the organiser's part of the tree holds, the newest first."""
    question = whole(organised_by(organiser)).order_by(Activity.id.desc()).limit(MOST)
    return db.session.scalars(question).unique().all()


def check_visible(activity: int, actor: Actor) -> None:
    """ServiceError not_found unless the activity includes the member, as if there were none."""
    if db.session.scalar(scoped(select(Activity.id), Activity.id == activity, visible_to(actor))) is None:
        raise ServiceError("not_found")


def by_id(activity: int) -> Activity:
    """The activity, whoever asks; ServiceError not_found without one."""
    return found(whole(Activity.id == activity))


def for_organiser(activity: int, organiser: Organiser) -> Activity:
    """The activity, if the organiser's part of the tree holds it; else ServiceError not_found."""
    return found(whole(Activity.id == activity, organised_by(organiser)))


def announce(now: datetime) -> int:
    """Publish `activity.opened` for each sitting that has begun and not ended, once; how many. Commits."""
    question = (
        select(Sitting)
        .where(Sitting.announced_at.is_(None), Sitting.ends_at > now)
        .where(func.least(Sitting.starts_at, Sitting.checkin_opens_at) <= now)
        .with_for_update(of=Sitting, skip_locked=True)
        .options(
            joinedload(Sitting.activity).selectinload(Activity.organisers).joinedload(ActivityOrganiser.organisation)
        )
    )
    sittings = db.session.scalars(everything("all that open are announced", question)).all()
    publish_many(_opened(sitting) for sitting in sittings)
    for sitting in sittings:
        sitting.announced_at = now
    db.session.commit()
    return len(sittings)


def _opened(sitting: Sitting) -> Event:
    activity = sitting.activity
    return Event(
        topic="activity.opened",
        organisation_path=[organiser.organisation.path for organiser in activity.organisers],
        payload={
            "activity": activity.id,
            "sitting": sitting.id,
            "theme": activity.theme,
            "rehearsal": activity.rehearsal,
            "starts_at": iso(sitting.starts_at),
            "ends_at": iso(sitting.ends_at),
        },
    )


def found(question: Select[Activity]) -> Activity:
    """The one activity of `question`; ServiceError not_found without one."""
    activity = db.session.scalars(question).unique().one_or_none()
    if activity is None:
        raise ServiceError("not_found")
    return activity
