"""What completes an activity: the pure rule by its laws, and what PostgreSQL has as evidence of it."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.checkin.attendance import evidence, figures, make_ups, roster, terms
from service.checkin.attendance.completion import SOURCES, Asked, Evidence, credit, missing
from service.checkin.attendance.make_ups import Effort
from service.checkin.models import Terms
from service.errors import ServiceError
from service.live.models import Stay
from service.org.models import Member
from tests.checkin.people import NOW, City, attach, come, make_day
from tests.factories import HOUR, bearer, make_activity, make_organiser

ASKED = st.builds(Asked, live_minutes=st.sampled_from([0, 1, 45]), replay=st.booleans())
EVIDENCE = st.builds(
    lambda came, there, watched, made_up: Evidence(came, came and there, watched, made_up),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "replay", "elsewhere"]),
)
DAYLONG: dict[str, Any] = {"opens": -3 * HOUR, "closes": HOUR}


@given(EVIDENCE)
def test_where_nothing_is_asked_for_a_check_in_or_a_make_up_is_enough(shown: Evidence) -> None:
    assert (credit(Asked(), shown) is not None) is (shown.came or shown.made_up is not None)
    assert not shown.came or credit(Asked(), shown) == "check_in"
    assert credit(Asked(), shown) == credit(Asked(), shown._replace(watched=not shown.watched))


@given(ASKED, EVIDENCE)
def test_there_is_one_credit_or_something_is_missing(asked: Asked, shown: Evidence) -> None:
    source = credit(asked, shown)
    assert source is None or source in SOURCES
    assert (source is None) is bool(missing(asked, shown))


@given(ASKED, EVIDENCE)
def test_who_was_there_is_asked_for_nothing_else(asked: Asked, shown: Evidence) -> None:
    assert credit(asked, shown._replace(came=True, there=True)) == "check_in"


@given(ASKED, EVIDENCE)
def test_more_evidence_takes_no_credit_away(asked: Asked, shown: Evidence) -> None:
    if credit(asked, shown):
        assert credit(asked, shown._replace(came=True, there=True))
        assert credit(asked, shown._replace(watched=True))
    if shown.made_up is None:
        assert credit(asked, shown._replace(made_up="replay"))


@given(ASKED, EVIDENCE)
def test_whatever_is_said_to_be_missing_completes_it(asked: Asked, shown: Evidence) -> None:
    does: dict[str, Any] = {
        "check_in": {"came": True, "there": True}, "live": {"watched": True}, "replay": {"made_up": "replay"}
    }  # fmt: skip
    for what in missing(asked, shown):
        assert credit(asked, shown._replace(**does[what]))


def watch(db: Session, day: Activity, member: Member, *spans: tuple[int, int]) -> None:
    """Stays of so many minutes, from one to another after the opening; several at once count once."""
    stream = day.sittings[0].streams[0]
    for begin, end in spans:
        times = {"joined_at": stream.opens_at + timedelta(minutes=begin), "closed_by": "owner"}
        where = {"organisation_path": "1", "place_path": "", "channel": "h5", "source": "hls"}
        numbers = {"connection": uuid.uuid4(), "sequence": 1, "gateway_id": uuid.uuid4()}
        left = stream.opens_at + timedelta(minutes=end)
        db.add(Stay(stream_id=stream.id, member_id=member.id, left_at=left, **times, **where, **numbers))
    db.commit()


@pytest.fixture
def day(db: Session, city: City) -> Activity:
    """Asks for 45 minutes; Ana, Ben and Cleo are expected, and Dan, who stays in the east."""
    attach(city.dan, city.east)
    day = make_day(city, **DAYLONG)
    db.add(Terms(activity_id=day.id, live_minutes=45))
    db.commit()
    roster.freeze(day.id, NOW)
    return day


def source(day: Activity, member: Member) -> str | None:
    asked = evidence.asked(day.id)
    return credit(asked, evidence.of_member(day.id, member.id, asked))


def test_the_minutes_of_several_devices_count_once_and_each_credit_has_its_source(
    db: Session, city: City, day: Activity
) -> None:
    come(day, city.ana, city.ben)
    come(day, city.cleo, method="group", entered_by=7)
    watch(db, day, city.ana, (0, 30), (10, 40))
    watch(db, day, city.ben, (0, 30), (60, 75))
    watch(db, day, city.dan, (0, 90))
    assert [source(day, one) for one in city.everybody] == [None, "live", "check_in", None]
    watch(db, day, city.ana, (40, 45))
    assert source(day, city.ana) == "live"
    found = figures.rostered(day.id, city.city.path, evidence.asked(day.id))
    assert found.credits == {"check_in": 1, "live": 2}
    assert (found.all.completed, found.all.present, found.staying.completed) == (3, 3, 0)
    assert {node: sums.completed for node, sums in found.children.items()} == {city.east.id: 2, city.west.id: 1}


def test_who_watched_too_little_may_make_up_for_it_once(city: City, day: Activity) -> None:
    come(day, city.ana)
    replay = Effort(reference="make-up-1", kind="replay", reason="回看", happened_at=NOW)
    make_ups.make_up(day.id, city.ana.id, replay, by=7, now=NOW)
    assert source(day, city.ana) == "replay"
    again = Effort(reference="make-up-2", kind="replay", reason="回看", happened_at=NOW)
    with pytest.raises(ServiceError, match="made_up"):
        make_ups.make_up(day.id, city.ana.id, again, by=7, now=NOW)
    found = figures.rostered(day.id, city.city.path, evidence.asked(day.id))
    assert (found.credits, found.all.made_up, found.all.present) == ({"replay": 1}, 0, 1)


def test_what_completes_it_is_frozen_with_the_roster(city: City, day: Activity) -> None:
    organiser, _ = make_organiser(organisation=city.city)
    said = {"denominator": "expected", "live_minutes": 45, "replay": False}
    terms.agree(day.id, organiser, said | {"late_minutes": 5})
    for change in ({"live_minutes": 30}, {"replay": True}):
        with pytest.raises(ServiceError, match="roster_frozen"):
            terms.agree(day.id, organiser, said | change)


def test_an_open_activity_has_credits_of_who_came(db: Session, city: City) -> None:
    day = make_activity(now=NOW, **DAYLONG)
    come(day, city.ana, city.ben)
    come(day, city.cleo, method="paper", entered_by=7)
    watch(db, day, city.ana, (0, 60))
    assert figures.open_to_all(day.id, city.city.path).credits == {"check_in": 3}
    db.add(Terms(activity_id=day.id, live_minutes=45))
    db.commit()
    found = figures.open_to_all(day.id, city.city.path, evidence.asked(day.id))
    assert (found.credits, found.guests) == ({"check_in": 1, "live": 1}, 3)


def test_a_member_and_his_branch_are_told(client: FlaskClient, db: Session, city: City) -> None:
    day = make_day(city, **{"opens": -HOUR, "closes": HOUR})
    cookie = make_organiser(organisation=city.city, role="branch_secretary")[1]
    headers, door = bearer(member=city.ana), f"/api/v1/activities/{day.id}"
    nothing = {"live_minutes": 0, "replay": False}
    told = client.get(f"{door}/my-attendance", headers=headers).json
    assert told
    assert told["credit"] == {"source": None, "missing": ["check_in"], "asked": nothing}
    come(day, city.ana)
    told = client.get(f"{door}/my-attendance", headers=headers).json
    assert told
    assert told["credit"] == {"source": "check_in", "missing": [], "asked": nothing}
    roster.freeze(day.id, NOW)
    client.set_cookie("chunshui_organiser", cookie)
    told = client.get(f"{door}/attendance?node={city.city.id}").json
    assert told
    assert (told["credits"], told["sums"]["completed"], told["asked"]) == ({"check_in": 1}, 1, nothing)
