"""The moment when a host says: please check in now. Everybody in the sitting's streams is told by the gateways."""

from datetime import datetime, timedelta

from sqlalchemy import select

from service.activity import rules as activities
from service.activity.audience import organiser_may_edit
from service.activity.models import Sitting
from service.audit import Party, note
from service.errors import ServiceError
from service.extensions import db
from service.org.organisers import Organiser
from service.scope import scoped

# Said again sooner, it is the same moment: a second press, or a repeat whose first answer was lost.
MOMENT = timedelta(seconds=30)


def call(organiser: Organiser, activity: int, sitting: int | None, now: datetime) -> Sitting:
    """The sitting whose members are asked to check in, the open one unless named. Commits.

    ServiceError not_found, forbidden, checkin_not_open, checkin_closed.
    """
    activities.for_organiser(activity, organiser)
    if not organiser_may_edit(organiser, activity):
        raise ServiceError("forbidden")
    wanted = (Sitting.activity_id == activity, *([Sitting.id == sitting] if sitting else []))
    question = scoped(select(Sitting), *wanted).order_by(Sitting.starts_at, Sitting.id).with_for_update()
    found = db.session.scalars(question.execution_options(populate_existing=True)).all()
    open_now = [one for one in found if one.checkin_opens_at <= now < one.checkin_closes_at]
    if not open_now:
        db.session.rollback()
        raise ServiceError(why_not([one.checkin_opens_at for one in found], now))
    called = open_now[0]
    if called.checkin_called_at is None or now >= called.checkin_called_at + MOMENT:
        called.checkin_called_at = now
        details: dict[str, int | str | bool | None] = {"activity": activity, "sitting": called.id}
        note("checkin.called", actor=Party("organiser", organiser.id), now=now, details=details)
    db.session.commit()
    return called


def why_not(openings: list[datetime], now: datetime) -> str:
    """The code of the refusal where no sitting is open."""
    if not openings:
        return "not_found"
    return "checkin_not_open" if any(now < opening for opening in openings) else "checkin_closed"
