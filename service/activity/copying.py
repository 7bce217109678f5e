"""A rehearsal as a copy of an activity: the same but for its time, its series, and the mark that it is one."""

from datetime import datetime, timedelta

from sqlalchemy.orm import selectinload

from service.activity.models import Activity, ActivityInvitation, ActivityOrganiser, Sitting, Stream, StreamSource
from service.activity.rules import found, whole
from service.errors import ServiceError
from service.extensions import db


def rehearsal_of(activity: int, now: datetime) -> Stream:
    """The first stream of a new rehearsal of `activity`, open since `now`, in the caller's transaction.

    Sittings and their windows keep their distances; the first one with a stream is moved so that everything in it is
    open. ServiceError not_found without such an activity, validation if no sitting has a stream open with its
    check-in.
    """
    original = found(whole(Activity.id == activity).options(selectinload(Activity.invitations)))
    sitting = next((one for one in original.sittings if one.streams), None)
    if sitting is None:
        raise ServiceError("validation", errors={"activity": ["No sitting has a stream."]})
    shift = now - _all_open(sitting)
    copy = _plain_copy(original)
    copy.sittings = [_shifted(one, shift) for one in original.sittings]
    db.session.add(copy)
    db.session.flush()
    return copy.sittings[original.sittings.index(sitting)].streams[0]


def _all_open(sitting: Sitting) -> datetime:
    """The first moment at which the sitting, its check-in and its first stream are open together."""
    stream = sitting.streams[0]
    begin = max(sitting.starts_at, sitting.checkin_opens_at, stream.opens_at)
    if begin >= min(sitting.ends_at, sitting.checkin_closes_at, stream.closes_at):
        raise ServiceError("validation", errors={"activity": ["Stream and check-in are never open together."]})
    return begin


def _plain_copy(original: Activity) -> Activity:
    """The same activity, without its sittings and out of its series."""
    return Activity(
        kind=original.kind,
        theme=original.theme,
        attendance=original.attendance,
        timezone=original.timezone,
        rehearsal=True,
        organisers=[
            ActivityOrganiser(organisation_id=one.organisation_id, tier=one.tier, position=one.position)
            for one in original.organisers
        ],
        invitations=[ActivityInvitation(organisation_id=one.organisation_id) for one in original.invitations],
    )


def _shifted(sitting: Sitting, shift: timedelta) -> Sitting:
    return Sitting(
        starts_at=sitting.starts_at + shift,
        ends_at=sitting.ends_at + shift,
        checkin_opens_at=sitting.checkin_opens_at + shift,
        checkin_closes_at=sitting.checkin_closes_at + shift,
        streams=[
            Stream(
                title=stream.title,
                grace_seconds=stream.grace_seconds,
                shards=stream.shards,
                opens_at=stream.opens_at + shift,
                closes_at=stream.closes_at + shift,
                sources=[StreamSource(kind=one.kind, url=one.url) for one in stream.sources],
            )
            for stream in sitting.streams
        ],
    )
