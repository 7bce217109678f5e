"""A host asks everybody to check in now: who may, when, and that it is noted once."""

from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service.activity.models import Activity, Sitting
from service.audit.models import Note
from service.checkin.calling import call
from service.errors import ServiceError
from service.extensions import db as database
from service.org.access import COOKIE
from service.org.organisers import Organiser
from tests.factories import HOUR, make_activity, make_organisation, make_organiser

NOW = datetime(2026, 9, 20, 9, 0, tzinfo=UTC)


def make_host() -> tuple[Organiser, Activity]:
    city = make_organisation(level="city")
    return make_organiser(organisation=city, now=NOW)[0], make_activity(lead=city, now=NOW)


def add_sitting(activity: Activity, begin: datetime) -> Sitting:
    end = begin + HOUR
    sitting = Sitting(starts_at=begin, ends_at=end, checkin_opens_at=begin, checkin_closes_at=end)
    activity.sittings.append(sitting)
    database.session.commit()
    return sitting


def refusal(organiser: Organiser, activity: int, sitting: int | None = None, now: datetime = NOW) -> str:
    with pytest.raises(ServiceError) as seen:
        call(organiser, activity, sitting, now)
    return seen.value.code


def test_the_open_sitting_is_called_and_it_is_noted(db: Session) -> None:
    ana, activity = make_host()
    later = add_sitting(activity, NOW + 2 * HOUR)
    called = call(ana, activity.id, None, NOW)
    assert (called.id, called.checkin_called_at) == (activity.sittings[0].id, NOW)
    [note] = db.query(Note).filter_by(event="checkin.called").all()
    assert (note.details, note.at) == ({"activity": activity.id, "sitting": called.id}, NOW)
    assert refusal(ana, activity.id, later.id) == "checkin_not_open"
    assert call(ana, activity.id, later.id, NOW + 2 * HOUR).id == later.id


def test_a_second_press_is_the_same_call_and_a_later_one_is_not(db: Session) -> None:
    ana, activity = make_host()
    times = [NOW, NOW + timedelta(seconds=29), NOW + timedelta(seconds=30)]
    assert [call(ana, activity.id, None, now).checkin_called_at for now in times] == [NOW, NOW, times[2]]
    assert db.query(Note).filter_by(event="checkin.called").count() == 2


def test_nobody_is_called_to_what_is_not_open_or_is_not_there(db: Session) -> None:
    ana, activity = make_host()
    other = make_activity(lead=make_organisation(level="city"), now=NOW)
    assert refusal(ana, activity.id, now=NOW - 2 * HOUR) == "checkin_not_open"
    assert refusal(ana, activity.id, now=NOW + HOUR) == "checkin_closed"
    assert refusal(ana, activity.id, other.sittings[0].id) == "not_found"
    assert refusal(ana, other.id) == "not_found"
    assert db.query(Note).filter_by(event="checkin.called").count() == 0


def test_over_http(client: FlaskClient) -> None:
    city, now = make_organisation(level="city"), datetime.now(UTC)
    _, cookie = make_organiser(organisation=city, now=now)
    activity = make_activity(lead=city, now=now)
    client.set_cookie(COOKIE, cookie)
    path = f"/api/v1/activities/{activity.id}/check-in-calls"
    answer = client.post(path, json={}, headers={"Origin": "http://localhost"})
    assert (answer.status_code, answer.get_json()["sitting"]) == (200, activity.sittings[0].id)
    assert client.post(path, json={"sitting": None}, headers={"Origin": "http://localhost"}).json == answer.get_json()
