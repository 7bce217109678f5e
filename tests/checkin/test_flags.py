"""Flags: what is found, by whom it is seen, how it ends; and that nothing else changes."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, false, true
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.audit.models import Note
from service.checkin import annulling
from service.checkin.attendance import figures, roster
from service.checkin.flags import devices, finding, reviewing
from service.checkin.flags.finding import MEMBERS_OF_A_DEVICE, SCANS_OF_A_CODE
from service.checkin.flags.models import DeviceMark, Flag, Flagged
from service.checkin.models import CheckIn, Refusal
from service.checkin.records import Attempt
from service.checkin.rules import check_in
from service.clock import now as read_clock
from service.errors import ServiceError
from service.org.models import Member, Organisation
from tests.checkin.people import NOW, City, attempt, make_city, make_day
from tests.factories import bearer, make_activity, make_member, make_organiser

PHONE = "phone-of-a-family"


@pytest.fixture
def day(city: City) -> Activity:
    return make_activity(lead=city.city, now=NOW)


def family(branch: Organisation, count: int) -> list[Member]:
    return [make_member(organisation=branch) for _ in range(count)]


def lend(day: Activity, members: list[Member], device: str = PHONE) -> None:
    """Everybody checks in with the same phone."""
    answers = check_in(day.id, [attempt(one, f"reference-{day.id}", device=device) for one in members], NOW)
    assert all(answer.record for answer in answers)


def flagged(db: Session, day: Activity) -> dict[str, set[int]]:
    """The members whose check-ins are flagged, by kind."""
    found: dict[str, set[int]] = defaultdict(set)
    rows = db.query(Flag.kind, CheckIn.member_id).join(Flagged, Flagged.flag_id == Flag.id)
    for kind, member in rows.join(CheckIn, CheckIn.id == Flagged.check_in_id).filter(Flag.activity_id == day.id):
        found[kind].add(member)
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
def test_a_device_is_flagged_once_more_members_have_it_than_a_family(
    db: Session, city: City, day: Activity, which: list[int]
) -> None:
    for model in (Flagged, Flag, DeviceMark, CheckIn):
        db.execute(delete(model))
    members = family(city.east, len(which))
    for member, phone in zip(members, which, strict=True):
        lend(day, [member], f"phone-{phone:04}")
    many = {phone for phone, count in Counter(which).items() if count > MEMBERS_OF_A_DEVICE}
    expected = {one.id for one, phone in zip(members, which, strict=True) if phone in many}
    assert finding.find(day.id, NOW) == len(expected)
    assert flagged(db, day).get("device", set()) == expected
    assert db.query(Flag).count() == len(many)
    assert finding.find(day.id, NOW) == 0


def test_a_flag_changes_no_figure_and_blocks_nobody(db: Session, city: City) -> None:
    day = make_day(city)
    members = [city.ana, city.ben, city.cleo, *family(city.east, 3)]
    roster.freeze(day.id, NOW)
    lend(day, members[:5])
    before = figures.rostered(day.id, city.city.path)
    assert finding.find(day.id, NOW) == 5
    flag = db.query(Flag).one().id
    assert figures.rostered(day.id, city.city.path) == before
    reviewing.resolve(day.id, flag, visible=true(), by=7, note="一家人", now=NOW)
    assert figures.rostered(day.id, city.city.path) == before
    lend(day, members[5:])
    assert figures.rostered(day.id, city.city.path).all.present == before.all.present + 1


def test_a_mark_says_nothing_of_the_device_and_leads_to_no_other_activity(
    db: Session, city: City, day: Activity
) -> None:
    lend(day, [city.ana])
    lend(make_activity(now=NOW), [city.ana])
    marks = [row.mark for row in db.query(DeviceMark)]
    assert len({*marks}) == 2
    assert all(len(mark) == devices.BYTES and PHONE.encode() not in mark for mark in marks)
    devices.prune(NOW + devices.KEPT)
    assert db.query(DeviceMark).count() == 2
    devices.prune(NOW + devices.KEPT + timedelta(seconds=1))
    assert db.query(DeviceMark).count() == 0


def test_after_a_week_a_flag_does_not_tell_the_mark_either(db: Session, city: City, day: Activity) -> None:
    lend(day, family(city.east, 5))
    finding.find(day.id, NOW)
    devices.prune(NOW + timedelta(days=8))
    assert db.query(Flag.subject).scalar() is None
    assert len(flagged(db, day)["device"]) == 5


def test_the_same_device_in_a_repeat_or_after_an_undo_is_no_other_member(
    db: Session, city: City, day: Activity
) -> None:
    for _ in range(2):
        check_in(day.id, [attempt(city.ana, device=PHONE)], NOW)
    annulling.undo(day.id, city.ana.id, f"phone-of-{city.ana.id}", NOW)
    for number in range(5):
        check_in(day.id, [attempt(city.ana, f"reference-{number}", device=PHONE)], NOW)
        annulling.undo(day.id, city.ana.id, f"reference-{number}", NOW)
    assert finding.find(day.id, NOW) == 0


def test_a_burst_from_one_code_is_flagged(db: Session, city: City, day: Activity) -> None:
    for count, code in ((SCANS_OF_A_CODE, 1), (SCANS_OF_A_CODE + 1, 2)):
        members = family(city.east, count)
        check_in(day.id, [attempt(one) for one in members], NOW)
        mine = CheckIn.member_id.in_([one.id for one in members])
        db.query(CheckIn).filter(mine).update({"gate_id": 1, "code_slot": code, "method": "onsite_qr"})
        db.commit()
    assert finding.find(day.id, NOW) == SCANS_OF_A_CODE + 1
    assert flagged(db, day)["code"] == {one.id for one in members}


@pytest.mark.parametrize(
    ("first", "second", "apart", "odd"),
    [
        ("54.5401.540102", "54.5401.540103", timedelta(0), False),
        ("54.5401.540102", "51.5132", timedelta(minutes=59), True),
        ("54.5401.540102", "51.5132", timedelta(minutes=61), False),
        ("54.5401", "", timedelta(0), False),
    ],
)
def test_nobody_is_in_two_prefectures_within_the_hour(
    db: Session, city: City, day: Activity, first: str, second: str, apart: timedelta, odd: bool
) -> None:
    other = make_activity(now=NOW, opens=-timedelta(hours=3), closes=timedelta(hours=1))
    check_in(other.id, [attempt(city.ana, "reference-0", place=first, happened_at=NOW - apart)], NOW)
    check_in(day.id, [attempt(city.ana, place=second), attempt(city.ben, place=first)], NOW)
    finding.find(day.id, NOW)
    assert flagged(db, day) == ({"place": {city.ana.id}} if odd else {})


def test_nobody_is_before_two_walls_within_the_hour_nor_before_one_and_far_away(
    db: Session, city: City, day: Activity
) -> None:
    other = make_activity(now=NOW)
    hints = ((city.ana, None), (city.ben, "far"), (city.cleo, "near"))
    for one in (other, day):
        check_in(one.id, [attempt(who, f"reference-{one.id}", fence=fence) for who, fence in hints], NOW)
    db.query(CheckIn).filter(CheckIn.member_id == city.ana.id).update({"gate_id": CheckIn.activity_id, "code_slot": 1})
    walled = (CheckIn.member_id.in_([city.ben.id, city.cleo.id]), CheckIn.activity_id == day.id)
    db.query(CheckIn).filter(*walled).update({"gate_id": day.id, "code_slot": 2})
    db.commit()
    finding.find(day.id, NOW)
    assert flagged(db, day) == {"place": {city.ana.id, city.ben.id}}


def test_a_flag_is_resolved_by_a_person_with_a_note_and_the_first_one_stays(
    db: Session, city: City, day: Activity
) -> None:
    lend(day, [*family(city.east, 4), city.cleo])
    finding.find(day.id, NOW)
    [case] = reviewing.of_activity(day.id, true())
    assert (case.people, len(case.check_ins), case.flag.note) == (5, 5, None)
    for by, note in ((7, "一家人"), (8, "别的")):
        case = reviewing.resolve(day.id, case.flag.id, visible=true(), by=by, note=note, now=NOW)
        assert (case.flag.resolved_by, case.flag.note, case.flag.resolved_at) == (7, "一家人", NOW)
    assert [(one.event, one.details["kind"]) for one in db.query(Note)] == [("flag.resolved", "device")]
    with pytest.raises(ServiceError, match="not_found"):
        reviewing.resolve(day.id, case.flag.id, visible=false(), by=8, note="x", now=NOW)
    # What comes later raises another one.
    assert finding.find(day.id, NOW) == 0
    lend(day, [city.ana])
    assert finding.find(day.id, NOW) == 1
    assert [(one.people, one.flag.note) for one in reviewing.of_activity(day.id, true())] == [(1, None), (5, "一家人")]


def test_a_branch_sees_its_own_members_of_a_flag_and_how_many_there_are(
    client: FlaskClient, db: Session, city: City, day: Activity
) -> None:
    lend(day, [city.ana, city.ben, city.cleo, *family(city.away, 2)])
    finding.find(day.id, NOW)
    for branch, seen in ((city.east, {city.ana.id, city.ben.id}), (city.west, {city.cleo.id}), (city.city, None)):
        client.set_cookie("chunshui_organiser", make_organiser(organisation=branch, role="branch_secretary")[1])
        told = client.get(f"/api/v1/activities/{day.id}/flags").json
        assert told
        [flag] = told["flags"]
        shown = {one["member"] for one in flag["check_ins"]}
        assert (flag["people"], shown) == (5, seen or {city.ana.id, city.ben.id, city.cleo.id})
    other = make_organiser(organisation=make_city().east, role="branch_secretary")[1]
    client.set_cookie("chunshui_organiser", other)
    assert client.get(f"/api/v1/activities/{day.id}/flags").json == {"flags": []}


def test_what_takes_check_ins_or_did_lately_is_looked_at(db: Session, city: City, day: Activity) -> None:
    lend(day, family(city.east, 5))
    closes = day.sittings[0].checkin_closes_at
    assert finding.find_due(closes + finding.AFTERWARDS) == 0
    assert finding.find_due(closes + finding.AFTERWARDS - timedelta(seconds=1)) == 5


FENCE = {"latitude": 30.6598, "longitude": 104.0633, "metres": 200}


@pytest.mark.parametrize(
    "wrong", [{"latitude": 91}, {"longitude": -181}, {"metres": 0}, {"metres": 1.5}, {"latitude": "x"}, {"member": 1}]
)
def test_a_fence_is_of_this_earth(client: FlaskClient, city: City, wrong: dict[str, Any]) -> None:
    day = make_activity(lead=city.city, now=read_clock())
    client.set_cookie("chunshui_organiser", make_organiser(organisation=city.city)[1])
    path = f"/api/v1/activities/{day.id}/attendance-terms"
    assert client.put(path, json={"fence": FENCE | wrong}).status_code == 422


def test_a_phone_is_told_where_the_venue_is_and_tells_nobody_where_it_is(client: FlaskClient, city: City) -> None:
    day, headers = make_activity(lead=city.city, now=read_clock()), bearer(member=city.ana)
    path = f"/api/v1/activities/{day.id}"
    client.set_cookie("chunshui_organiser", make_organiser(organisation=city.city)[1])
    for fence in (FENCE, None):
        assert client.put(f"{path}/attendance-terms", json={"fence": fence}).status_code == 200
        told = client.get(f"{path}/my-attendance", headers=headers).json
        assert told
        assert told["fence"] == fence
    assert client.post(f"{path}/check-ins", json={"reference": "reference-1"}, headers=headers).status_code == 201


WRONG: tuple[dict[str, Any], ...] = (
    {"latitude": 30.5728, "longitude": 104.0668},
    {"location": {"lat": 30.5728, "lng": 104.0668}},
    {"fence": "30.5728,104.0668"},
    {"fence": {"latitude": 30.5728}},
    {"fence": 30.5728},
    {"device": "30.5728,104.0668"},
)


@pytest.mark.parametrize("body", WRONG)
def test_a_body_with_coordinates_is_refused_and_leaves_nothing(
    client: FlaskClient, db: Session, city: City, body: dict[str, Any]
) -> None:
    day = make_activity(now=read_clock())
    path, headers = f"/api/v1/activities/{day.id}/check-ins", bearer(member=city.ana)
    answer = client.post(path, json={"reference": "reference-1", **body}, headers=headers)
    assert answer.status_code == 422
    assert '"validation"' in answer.text
    assert "30.5728" not in answer.text
    assert (db.query(CheckIn).count(), db.query(Refusal).count(), db.query(DeviceMark).count()) == (0, 0, 0)


def test_the_fence_is_a_hint_in_the_record_and_no_part_of_a_repeat(
    client: FlaskClient, db: Session, city: City
) -> None:
    day = make_activity(now=read_clock())
    path, headers = f"/api/v1/activities/{day.id}/check-ins", bearer(member=city.ana)
    for fence, device, status in (("near", "phone-0001", 201), ("far", "phone-0002", 200), (None, None, 200)):
        body = {"reference": "reference-1", "fence": fence, "device": device}
        assert client.post(path, json=body, headers=headers).status_code == status
    assert db.query(CheckIn.fence).scalar() == "near"
    assert db.query(DeviceMark).count() == 1
    first = Attempt(member=1, organisation="1", place="", reference="reference-1")
    assert replace(first, fence="far", device="phone-0001").fingerprint == first.fingerprint
