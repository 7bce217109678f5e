"""Whom the roster says to tell: the missing now, and before make-up closes those who have not made up."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, true, update
from sqlalchemy.orm import Session

from service.activity.models import Activity, Sitting
from service.checkin.attendance import audiences, leaves, make_ups, roster
from service.checkin.attendance.make_ups import Effort
from service.checkin.models import Terms
from service.notify.notices.models import Notice
from tests.checkin.people import NOW, City, attach, come, make_day
from tests.factories import HOUR

DAY = timedelta(days=1)
END = NOW + HOUR
DEADLINE = END + make_ups.DEFAULT_DAYS * DAY


@pytest.fixture
def day(city: City) -> Activity:
    """Frozen: Ana and Ben of the east, Cleo of the west, Dan from away who stays in the east."""
    attach(city.dan, city.east)
    day = make_day(city)
    roster.freeze(day.id, NOW)
    return day


def told(audience: str, day: Activity, db: Session, below: str = "") -> list[int]:
    notice = Notice(activity_id=day.id, audience={"name": audience} | ({"below": below} if below else {}))
    found = {"missing": audiences.missing, "to_make_up": audiences.to_make_up}[audience](notice)
    return sorted(row.member_id for row in db.execute(found))


def reminders(db: Session) -> list[tuple[str, datetime, datetime]]:
    notices = select(Notice).where(Notice.kind == "make_up").order_by(Notice.id)
    return [(one.state, one.due_at, one.expires_at) for one in db.scalars(notices)]


def test_who_came_and_who_is_excused_is_not_told_that_he_is_missing(city: City, day: Activity, db: Session) -> None:
    assert told("missing", day, db) == sorted(one.id for one in city.everybody)
    come(day, city.ana)
    leave = leaves.ask(day.id, city.ben.id, reason="出差", by=None, now=NOW)
    assert told("missing", day, db) == sorted(one.id for one in (city.ben, city.cleo, city.dan))
    leave.state, leave.decided_by = "approved", 1
    assert told("missing", day, db) == sorted(one.id for one in (city.cleo, city.dan))
    assert told("missing", day, db, below=city.west.path) == [city.cleo.id]


def test_who_is_excused_may_make_up_and_who_did_is_left_alone(city: City, day: Activity, db: Session) -> None:
    come(day, city.ana)
    leave = leaves.ask(day.id, city.ben.id, reason="出差", by=None, now=NOW)
    leave.state, leave.decided_by = "approved", 1
    effort = Effort(reference="m", kind="replay", reason="看回放", happened_at=NOW)
    made, _ = make_ups.make_up(day.id, city.cleo.id, effort, by=7, now=NOW)
    assert told("to_make_up", day, db) == sorted(one.id for one in (city.ben, city.dan))
    make_ups.annul(day.id, made.id, visible=true(), by=7, reason="误录", now=NOW)
    assert city.cleo.id in told("to_make_up", day, db)


def test_where_nobody_is_expected_nobody_is_missing(city: City, db: Session) -> None:
    day = make_day(city)
    assert told("missing", day, db) == told("to_make_up", day, db) == []


def test_the_reminder_follows_the_last_sitting_and_the_terms(day: Activity, db: Session) -> None:
    assert make_ups.remind(NOW) == 1
    assert reminders(db) == [("planned", DEADLINE - 3 * DAY, DEADLINE)]
    assert make_ups.remind(NOW) == 0, "once"

    db.execute(update(Sitting).where(Sitting.activity_id == day.id).values(ends_at=END + HOUR))
    assert make_ups.remind(NOW) == 1
    assert reminders(db) == [("planned", DEADLINE + HOUR - 3 * DAY, DEADLINE + HOUR)]

    db.add(Terms(activity_id=day.id, makeup_days=1))
    assert make_ups.remind(NOW) == 1
    assert reminders(db) == [("planned", END + HOUR, END + HOUR + DAY)]


def test_nobody_is_reminded_of_what_is_closed_or_cannot_be_made_up(city: City, day: Activity, db: Session) -> None:
    assert make_ups.remind(DEADLINE) == 0
    db.add(Terms(activity_id=day.id, makeup_days=0))
    make_day(city)
    assert make_ups.remind(NOW) == 0, "nor where no roster is frozen"
    assert reminders(db) == []
