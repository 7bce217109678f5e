"""Who may see, join, watch and edit an activity. A foreign activity looks like one that does not exist."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, and_, exists, or_, select, true

from service.activity.models import Activity, ActivityInvitation, ActivityOrganiser, Sitting, Stream
from service.extensions import db
from service.home import home_of, rehearses
from service.org.models import Organisation, covers
from service.org.organisations import lineage
from service.org.organisers import Organiser
from service.scope import scoped
from service.tokens import Actor


def invites(attendance: str, invited: Iterable[str], organisation: str, *, rehearsal: bool) -> bool:
    """Whether a member at this path may come: synthetic ones to rehearsals only, real ones to none.

    Beyond that `open` is for everybody.
    """
    if rehearses(organisation) is not rehearsal:
        return False
    home = home_of(organisation)
    return attendance == "open" or any(covers(path, home) for path in invited)


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """The same as a condition on `activities`."""
    invited = exists().where(
        ActivityInvitation.activity_id == Activity.id,
        ActivityInvitation.organisation_id.in_(lineage(home_of(actor.organisation))),
    )
    return and_(Activity.rehearsal.is_(rehearses(actor.organisation)), or_(Activity.attendance == "open", invited))


def organised_by(organiser: Organiser, *, tiers: Iterable[str] = ()) -> ColumnElement[bool]:
    """Whether one of an activity's organisations, of `tiers` if given, lies in the organiser's part of the tree."""
    condition = (
        select(ActivityOrganiser.activity_id)
        .join(Organisation, Organisation.id == ActivityOrganiser.organisation_id)
        .where(ActivityOrganiser.activity_id == Activity.id)
        .where(organiser.reaches("activities", Organisation.path))
    )
    return (condition.where(ActivityOrganiser.tier.in_(tiers)) if tiers else condition).exists()


def organiser_may_edit(organiser: Organiser, activity: int) -> bool:
    """Whether a lead organisation of the activity lies in the organiser's part of the tree."""
    return _holds(Activity.id == activity, organised_by(organiser, tiers=("lead",)))


def organiser_may_watch(organiser: Organiser, stream: int) -> bool:
    """Whether the stream belongs to an activity that the organiser's part of the tree holds, in any tier."""
    of_stream = select(Sitting.activity_id).join(Stream, Stream.sitting_id == Sitting.id).where(Stream.id == stream)
    return _holds(Activity.id.in_(of_stream), organised_by(organiser))


def organising(stream: int) -> list[Organisation]:
    """The organisations that hold the stream's activity, in the order of announcement."""
    return list(
        db.session.scalars(
            scoped(
                select(Organisation)
                .join(ActivityOrganiser, ActivityOrganiser.organisation_id == Organisation.id)
                .join(Sitting, Sitting.activity_id == ActivityOrganiser.activity_id)
                .join(Stream, Stream.sitting_id == Sitting.id),
                Stream.id == stream,
            ).order_by(ActivityOrganiser.position)
        )
    )


def _holds(*conditions: ColumnElement[bool]) -> bool:
    return bool(db.session.scalar(scoped(select(true()), select(Activity.id).where(*conditions).exists())))
