"""Creating and editing activities. Each rule commits once, or writes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload

from service.activity import reminders
from service.activity.audience import organiser_may_edit
from service.activity.models import (
    Activity,
    ActivityInvitation,
    ActivityOrganiser,
    Series,
    Sitting,
    Stream,
    StreamSource,
)
from service.activity.rules import for_organiser, found, whole
from service.errors import ServiceError
from service.extensions import db
from service.org.models import Organisation
from service.org.organisers import Organiser

PLAIN = ("kind", "theme", "attendance", "rehearsal", "timezone")
SITTING_TIMES = ("starts_at", "ends_at", "checkin_opens_at", "checkin_closes_at")
STREAM_FIELDS = ("title", "grace_seconds", "opens_at", "closes_at")

Row = TypeVar("Row", Sitting, Stream)


def create(organiser: Organiser, fields: Mapping[str, Any]) -> int:
    """A new activity of `fields` (as ActivityIn loads them), committed; its number.

    ServiceError forbidden unless a lead organisation lies in the organiser's part of the tree; validation; conflict.
    """
    activity = Activity(organisers=[], invitations=[], sittings=[])
    with db.session.no_autoflush:
        _apply(activity, fields)
    db.session.add(activity)
    return _settle(activity, organiser)


def edit(activity: int, organiser: Organiser, fields: Mapping[str, Any]) -> int:
    """Change what `fields` (as ActivityEdit loads them) names; committed.

    Sittings and streams are named by id; one without id is added, and none is ever taken away.
    """
    for_organiser(activity, organiser)
    if not organiser_may_edit(organiser, activity):
        raise ServiceError("forbidden")
    # Two editors of one activity take turns.
    locked = whole(Activity.id == activity).options(selectinload(Activity.invitations))
    activity_row = found(locked.with_for_update(of=Activity).execution_options(populate_existing=True))
    with db.session.no_autoflush:
        _apply(activity_row, fields)
    return _settle(activity_row, organiser)


def _apply(activity: Activity, fields: Mapping[str, Any]) -> None:
    """Take over `fields`; what they do not name stays."""
    for name in PLAIN:
        if name in fields:
            setattr(activity, name, fields[name])
    if "series" in fields:
        _number(activity, fields["series"])
    if "organisers" in fields:
        _replace_organisers(activity, fields["organisers"])
    if "invited" in fields:
        _invite(activity, fields["invited"])
    for given in fields.get("sittings", ()):
        _apply_sitting(_named(activity.sittings, given, Sitting), given)


def _number(activity: Activity, given: Mapping[str, Any] | None) -> None:
    """Make the activity an edition of a series, a new one if nobody has used the name; None takes it out."""
    if given is None:
        activity.series, activity.edition = None, None
        return
    found = db.session.scalars(select(Series).where(Series.name == given["name"])).one_or_none()
    activity.series, activity.edition = found or Series(name=given["name"]), given["edition"]


def _replace_organisers(activity: Activity, given: Sequence[Mapping[str, Any]]) -> None:
    known = {organiser.organisation_id: organiser for organiser in activity.organisers}
    _known_organisations("organisers", [one["id"] for one in given])
    chosen = [known.get(one["id"]) or ActivityOrganiser(organisation_id=one["id"]) for one in given]
    for position, (organiser, one) in enumerate(zip(chosen, given, strict=True)):
        organiser.tier, organiser.position = one["tier"], position
    activity.organisers = chosen


def _invite(activity: Activity, organisations: Sequence[int]) -> None:
    known = {invitation.organisation_id: invitation for invitation in activity.invitations}
    _known_organisations("invited", organisations)
    activity.invitations = [known.get(one) or ActivityInvitation(organisation_id=one) for one in organisations]


def _known_organisations(field: str, wanted: Sequence[int]) -> None:
    found = db.session.scalar(select(func.count(Organisation.id)).where(Organisation.id.in_(wanted)))
    if len(set(wanted)) != len(wanted) or found != len(wanted):
        raise _invalid(field, "Unknown organisation, or one named twice.")


def _apply_sitting(sitting: Sitting, given: Mapping[str, Any]) -> None:
    """Take over `given`; a window that began or ended with the sitting goes on doing so, unless it is named."""
    before = (sitting.starts_at, sitting.ends_at)
    _take(sitting, given, SITTING_TIMES)
    _follow(sitting, ("checkin_opens_at", "checkin_closes_at"), given, before, sitting)
    named = [(_named(sitting.streams, one, Stream), one) for one in given.get("streams", ())]
    for stream, one in named:
        _take(stream, one, STREAM_FIELDS)
        if "sources" in one:
            stream.sources = [StreamSource(**source) for source in one["sources"]]
    said = {id(stream): one for stream, one in named}
    for stream in sitting.streams:
        _follow(stream, ("opens_at", "closes_at"), said.get(id(stream), {}), before, sitting)


def _follow(
    row: Sitting | Stream,
    window: Sequence[str],
    given: Mapping[str, Any],
    before: Sequence[Any],
    sitting: Sitting,
) -> None:
    """Keep a window that nobody named together with its sitting's."""
    for name, old, new in zip(window, before, (sitting.starts_at, sitting.ends_at), strict=True):
        if name not in given and getattr(row, name) in (None, old):
            setattr(row, name, new)


def _named(rows: list[Row], given: Mapping[str, Any], kind: type[Row]) -> Row:
    """The row that `given` names by id, a new one if it names none."""
    if "id" not in given:
        rows.append(kind())
        return rows[-1]
    for row in rows:
        if row.id == given["id"]:
            return row
    raise _invalid("id", "No such sitting or stream in this activity.")


def _take(row: Any, given: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if name in given:
            setattr(row, name, given[name])


def _settle(activity: Activity, organiser: Organiser) -> int:
    """Check the whole, commit, and return the number; nothing is written if it cannot stand."""
    _check(activity)
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        raise ServiceError("conflict") from None
    if not organiser_may_edit(organiser, activity.id):
        db.session.rollback()
        raise ServiceError("forbidden")
    reminders.follow(activity)
    number = activity.id
    db.session.commit()
    return number


def _check(activity: Activity) -> None:
    """ServiceError validation if the parts do not fit together."""
    rostered = activity.attendance == "rostered"
    if rostered != bool(activity.invitations):
        raise _invalid("invited", "A rostered activity names who is invited, an open one nobody.")
    if not any(organiser.tier == "lead" for organiser in activity.organisers):
        raise _invalid("organisers", "At least one leads.")
    if not activity.sittings:
        raise _invalid("sittings", "At least one.")
    for sitting in activity.sittings:
        windows = [(sitting.starts_at, sitting.ends_at), (sitting.checkin_opens_at, sitting.checkin_closes_at)]
        windows += [(stream.opens_at, stream.closes_at) for stream in sitting.streams]
        if any(begin is None or end is None or begin >= end for begin, end in windows):
            raise _invalid("sittings", "Every window ends after it begins.")
        if any(not stream.title for stream in sitting.streams):
            raise _invalid("streams", "Every stream has a title.")


def _invalid(field: str, reason: str) -> ServiceError:
    db.session.rollback()
    return ServiceError("validation", errors={field: [reason]})
