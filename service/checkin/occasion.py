"""What the check-in rule needs to know of an activity: its windows, its terms, and who may come."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import text

from service.checkin.models import ASSISTED
from service.clock import day_of
from service.errors import ServiceError
from service.extensions import db

# Written out and built once: every member's phone sends these within the same few minutes. A batch of any size is
# one statement, and unnest keeps its order.
FIND = text(
    """
    -- scope: one activity; who may come is decided from what it answers
    SELECT a.attendance, a.rehearsal,
        ARRAY(SELECT o.path FROM activity_invitations i JOIN organisations o ON o.id = i.organisation_id
              WHERE i.activity_id = a.id),
        EXISTS (SELECT FROM rosters WHERE activity_id = a.id),
        t.late_minutes, t.offline_minutes, t.assisted_hours, t.proxy_cap,
        s.id, s.checkin_opens_at, s.checkin_closes_at,
        ARRAY(SELECT ARRAY[id, shards] FROM streams WHERE sitting_id = s.id),
        ARRAY(SELECT method FROM checkin_windows w WHERE w.sitting_id = s.id ORDER BY method),
        ARRAY(SELECT opens_at FROM checkin_windows w WHERE w.sitting_id = s.id ORDER BY method),
        ARRAY(SELECT closes_at FROM checkin_windows w WHERE w.sitting_id = s.id ORDER BY method)
    FROM activities a JOIN sittings s ON s.activity_id = a.id LEFT JOIN attendance_terms t ON t.activity_id = a.id
    WHERE a.id = :activity ORDER BY s.starts_at, s.id
    """
)
LISTED = text(
    """
    -- scope: the members who ask
    SELECT member_id FROM roster_entries WHERE activity_id = :activity AND member_id = ANY (:members)
    UNION SELECT member_id FROM guests WHERE activity_id = :activity AND member_id = ANY (:members)
    """
)
# Who is there by attachment only: his home is not invited, the branch that he stays with is.
WELCOME = text(
    """
    -- scope: the members who ask
    SELECT member_id FROM guests WHERE activity_id = :activity AND member_id = ANY (:members)
    UNION
    SELECT a.member_id FROM attachments a JOIN organisations o ON o.id = a.organisation_id
    JOIN unnest(CAST(:invited AS text[])) AS top (path) ON o.path = top.path OR starts_with(o.path, top.path || '.')
    WHERE a.member_id = ANY (:members) AND a.home_confirmed_at IS NOT NULL AND a.receiving_confirmed_at IS NOT NULL
        AND a.starts_on <= :day AND (a.ends_on IS NULL OR a.ends_on > :day)
        AND (a.closed_on IS NULL OR a.closed_on > :day)
    """
)


class Window(NamedTuple):
    """When a sitting takes check-ins; `methods` are those that have times of their own."""

    sitting: int
    opens_at: datetime
    closes_at: datetime
    # Each with the number of slots that its members are spread over.
    streams: Sequence[tuple[int, int]] = ()
    methods: Sequence[tuple[str, datetime, datetime]] = ()

    def of(self, method: str) -> "Window":
        """The window of one method."""
        for name, opens_at, closes_at in self.methods:
            if name == method:
                return self._replace(opens_at=opens_at, closes_at=closes_at)
        return self


@dataclass(frozen=True, slots=True)
class Margins:
    """How much later than its window a check-in may happen, or arrive, and how many proxies one person may enter."""

    late: timedelta = timedelta(0)
    offline: timedelta = timedelta(hours=2)
    assisted: timedelta = timedelta(hours=72)
    proxy_cap: int = 5

    def grace(self, method: str) -> timedelta:
        """For how long after the window what happened within it may still arrive.

        What a rotating code proves it proves at once or not at all: a picture of it could be passed on.
        """
        if method in ASSISTED:
            return self.assisted
        return self.offline if method == "self" else timedelta(0)


@dataclass(frozen=True, slots=True)
class Occasion:
    """An activity as the rule sees it. `frozen`: its roster says who may come, and the tree no longer does."""

    id: int
    attendance: str
    rehearsal: bool
    invited: tuple[str, ...]
    windows: tuple[Window, ...]
    frozen: bool = False
    margins: Margins = Margins()


class Seat(NamedTuple):
    """The sitting that an attempt counts for, when it is taken to have happened, and whether that was late."""

    window: Window
    happened_at: datetime
    late: bool


def find(activity: int) -> Occasion:
    """The activity with its windows and whom it invites, in one query; ServiceError not_found."""
    rows = db.session.execute(FIND, {"activity": activity}).all()
    if not rows:
        raise ServiceError("not_found")
    attendance, rehearsal, paths, frozen, *terms = rows[0][:8]
    windows = tuple(window(*row[8:]) for row in rows)
    return Occasion(activity, attendance, rehearsal, tuple(paths), windows, frozen, margins(*terms))


def window(sitting: int, opens_at: datetime, closes_at: datetime, streams: Any, *methods: Sequence[Any]) -> Window:
    """A sitting's window, as FIND has it."""
    return Window(sitting, opens_at, closes_at, streams, tuple(zip(*methods, strict=True)))


def margins(late: int | None, offline: int | None, assisted: int | None, cap: int | None) -> Margins:
    """The margins of an activity's terms; without terms the defaults."""
    if late is None or offline is None or assisted is None or cap is None:
        return Margins()
    minutes, hours = timedelta(minutes=1), timedelta(hours=1)
    return Margins(late * minutes, offline * minutes, assisted * hours, cap)


def window_of(occasion: Occasion, sitting: int | None) -> Window:
    """The window of a sitting, of the only one if none is named.

    ServiceError not_found for another's, validation where one of several has to be named.
    """
    found = [one for one in occasion.windows if sitting in (None, one.sitting)]
    if not found:
        raise ServiceError("not_found")
    if len(found) > 1:
        raise ServiceError("validation", errors={"sitting": ["Name one of the sittings."]})
    return found[0]


def listed(occasion: Occasion, members: Collection[int]) -> set[int]:
    """Those of `members` that are on the frozen roster or among the guests."""
    return _numbers(LISTED, activity=occasion.id, members=list(members))


def welcome(occasion: Occasion, members: Collection[int], now: datetime) -> set[int]:
    """Those of `members` that may come though their home is not invited: guests, and who stays with an invited one."""
    invited, day = list(occasion.invited), day_of(now)
    return _numbers(WELCOME, activity=occasion.id, members=list(members), invited=invited, day=day)


def seat(occasion: Occasion, method: str, sitting: int | None, told: datetime | None, now: datetime) -> Seat:
    """The sitting, and the time in it, of a check-in that a phone says happened at `told`; ServiceError if none.

    A phone's clock is believed where it can be right: not later than now, and within a window.
    """
    windows = [one.of(method) for one in occasion.windows if sitting in (None, one.sitting)]
    if not windows:
        raise ServiceError("not_found")
    late, grace = occasion.margins.late, occasion.margins.grace(method)
    for window in windows:
        end = window.closes_at + late
        if told is not None and window.opens_at <= told < end and told <= now < end + grace:
            return Seat(window, told, told >= window.closes_at)
    for window in windows:
        if window.opens_at <= now < window.closes_at + late:
            return Seat(window, now, now >= window.closes_at)
    ended = [window for window in windows if window.opens_at <= now < window.closes_at + late + grace]
    if ended and method in ASSISTED:
        # Whoever enters it later says that it happened then, not when.
        return Seat(ended[-1], ended[-1].closes_at, late=False)
    raise ServiceError("checkin_not_open" if any(now < one.opens_at for one in windows) else "checkin_closed")


def _numbers(question: Any, **values: Any) -> set[int]:
    return set(db.session.scalars(question, values))
