"""Group sessions: opened for a branch, closed, counted. What a phone sends again changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert

from service.activity.audience import invites
from service.activity.models import Sitting
from service.checkin.group.models import GroupSession, Headcount
from service.checkin.occasion import Occasion, Window, find, window_of
from service.checkin.records import Attempt, Key
from service.checkin.scope import activity_of
from service.clock import day_of
from service.errors import ServiceError
from service.extensions import db
from service.home import rehearsed
from service.org.models import Organisation
from service.org.organisers import Organiser
from service.org.people.scope import branch_of
from service.org.tree import asof
from service.scope import scoped

MOST = 500


@dataclass(frozen=True, kw_only=True)
class Screen:
    """What a secretary says of a session: which branch, where, before what; `sitting` None is the only one."""

    reference: str
    organisation: int
    place: str
    screen: str
    sitting: int | None = None


def begin(organiser: Organiser, activity: int, screen: Screen, now: datetime) -> tuple[GroupSession, bool]:
    """The session of a branch, and whether it was there before. Commits.

    ServiceError not_found, not_invited, checkin_closed, reference_reused; validation where there are several sittings.
    """
    rehearsal = activity_of(organiser, activity).rehearsal
    known = _known(organiser, screen.reference)
    if known is None:
        branch, occasion = branch_of(organiser, screen.organisation), find(activity)
        window = window_of(occasion, screen.sitting)
        check_in_time(occasion, window, now)
        path = labelled(path_on_the_day(activity, branch), rehearsal)
        # Whoever moved since was invited where it stood then, or is where it stands now.
        ways = (path, labelled(branch.path, rehearsal))
        if not any(invites(occasion.attendance, occasion.invited, one, rehearsal=rehearsal) for one in ways):
            raise ServiceError("not_invited")
        where = {"activity_id": activity, "sitting_id": window.sitting, "organisation_id": branch.id}
        told = {name: getattr(screen, name) for name in ("reference", "place", "screen")}
        row = where | told | {"organisation_path": path, "opened_at": now, "opened_by": organiser.id}
        made = db.session.scalar(insert(GroupSession).values(row).on_conflict_do_nothing().returning(GroupSession))
        db.session.commit()
        if made is not None:
            return made, False
        # The same request was quicker on another connection.
        known = _known(organiser, screen.reference)
    if known is None or not same(known, activity, screen):
        raise ServiceError("reference_reused")
    return known, True


def close(organiser: Organiser, activity: int, session: int, now: datetime) -> GroupSession:
    """Take no more ticks of what happens from now on. Commits; the first closing stays. ServiceError not_found."""
    found = of(organiser, activity, session, locked=True)
    if found.closed_at is None:
        found.closed_at, found.closed_by = now, organiser.id
    db.session.commit()
    return found


def count_heads(organiser: Organiser, activity: int, session: int, people: int, now: datetime) -> GroupSession:
    """Say how many heads there are before the screen, named or not. Commits.

    The same number again adds nothing; another one counts from now on, and the one before stays on record.
    ServiceError not_found, checkin_closed.
    """
    found = of(organiser, activity, session, locked=True)
    last = select(Headcount.people).order_by(Headcount.id.desc()).limit(1)
    if db.session.scalar(scoped(last, Headcount.group_session_id == session)) != people:
        occasion = find(activity)
        check_in_time(occasion, window_of(occasion, found.sitting_id), now)
        row = Headcount(group_session_id=session, people=people, counted_at=now, counted_by=organiser.id)
        db.session.add(row)
    db.session.commit()
    return found


def of(organiser: Organiser, activity: int, session: int, *, locked: bool = False) -> GroupSession:
    """A session of a branch in the organiser's part of the tree, `locked` until the transaction ends.

    ServiceError not_found.
    """
    activity_of(organiser, activity)
    question = scoped(select(GroupSession), GroupSession.id == session, GroupSession.activity_id == activity)
    question = question.where(reached(organiser)).execution_options(populate_existing=True)
    found = db.session.scalar(question.with_for_update() if locked else question)
    if found is None:
        db.session.rollback()
        raise ServiceError("not_found")
    return found


def of_activity(organiser: Organiser, activity: int) -> Sequence[GroupSession]:
    """The sessions of branches in the organiser's part of the tree, the latest 500 first."""
    activity_of(organiser, activity)
    question = scoped(select(GroupSession), GroupSession.activity_id == activity, reached(organiser))
    return db.session.scalars(question.order_by(GroupSession.id.desc()).limit(MOST)).all()


def shut(occasion: Occasion, attempts: Sequence[Attempt]) -> dict[Key, ServiceError]:
    """Those ticks among `attempts` that no session takes: there is none, or it had been closed by then."""
    ticks = [one for one in attempts if one.group_session is not None]
    if not ticks:
        return {}
    mine = (GroupSession.id.in_({one.group_session for one in ticks}), GroupSession.activity_id == occasion.id)
    rows = db.session.execute(scoped(select(GroupSession.id, GroupSession.sitting_id, GroupSession.closed_at), *mine))
    found = {row.id: row for row in rows}
    refused: dict[Key, ServiceError] = {}
    for one in ticks:
        session = found.get(one.group_session)
        if session is None or one.sitting != session.sitting_id:
            refused[one.key] = ServiceError("not_found")
        elif session.closed_at is not None and not (one.happened_at and one.happened_at < session.closed_at):
            refused[one.key] = ServiceError("group_session_closed")
    return refused


def check_in_time(occasion: Occasion, window: Window, now: datetime) -> None:
    """ServiceError checkin_closed once an organiser may enter nothing more for the sitting."""
    margins = occasion.margins
    if now >= window.of("group").closes_at + margins.late + margins.assisted:
        raise ServiceError("checkin_closed")


def path_on_the_day(activity: int, branch: Organisation) -> str:
    """Where the branch stood in the tree on the day of the activity; if it did not stand then, where it stands now."""
    start = db.session.scalars(scoped(select(func.min(Sitting.starts_at)), Sitting.activity_id == activity)).one()
    return next(iter(asof.paths(branch.id, day_of(start))), branch.path)


def labelled(path: str, rehearsal: bool) -> str:
    """The path as rows of a rehearsal, or of a real activity, have it."""
    return rehearsed(path) if rehearsal else path


def reached(organiser: Organiser) -> ColumnElement[bool]:
    """Whether a session's branch lies in the organiser's part of the tree."""
    mine = select(Organisation.id).where(organiser.reaches("roster", Organisation.path))
    return GroupSession.organisation_id.in_(mine)


def same(known: GroupSession, activity: int, screen: Screen) -> bool:
    """Whether it is what was opened."""
    told = (known.activity_id, known.organisation_id, known.place, known.screen)
    one = (activity, screen.organisation, screen.place, screen.screen)
    return told == one and screen.sitting in (None, known.sitting_id)


def _known(organiser: Organiser, reference: str) -> GroupSession | None:
    mine = (GroupSession.opened_by == organiser.id, GroupSession.reference == reference)
    return db.session.scalar(scoped(select(GroupSession), *mine))
