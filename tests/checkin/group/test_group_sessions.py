"""Collective viewing: a screen is opened, ticked, counted and closed; names are check-ins, heads are not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from service.activity.models import Activity, Sitting
from service.checkin import annulling
from service.checkin.attendance import figures, roster
from service.checkin.attendance.figures import Sums
from service.checkin.group import figures as screens
from service.checkin.group import sessions
from service.checkin.group.figures import Screens
from service.checkin.group.models import GroupSession, Headcount
from service.checkin.group.sessions import Screen
from service.checkin.group.ticks import Tick, tick
from service.checkin.models import CheckIn, Refusal
from service.errors import ServiceError
from service.org.entries import Entry
from service.org.models import Member, Organisation
from service.org.organisers import Organiser
from service.org.tree import changes
from tests.checkin.people import DAY, NOW, City, attach, come, make_day, outcome
from tests.factories import HOUR, make_activity, make_organisation, make_organiser

MINUTE = timedelta(minutes=1)


@pytest.fixture
def day(city: City) -> Activity:
    """Frozen: Ana and Ben of the east, Cleo of the west."""
    day = make_day(city)
    roster.freeze(day.id, NOW)
    return day


@pytest.fixture
def secretary(city: City) -> Organiser:
    """Of the whole city."""
    return make_organiser(organisation=city.city, role="branch_secretary", now=NOW)[0]


def screen(organisation: Organisation, reference: str = "screen-1", **told: Any) -> Screen:
    return replace(Screen(reference=reference, organisation=organisation.id, place="村活动室", screen="tv"), **told)


def begin(by: Organiser, day: Activity, one: Screen, now: Any = NOW) -> GroupSession:
    return sessions.begin(by, day.id, one, now)[0]


def ticked(by: Organiser, day: Activity, session: GroupSession, *who: Member, now: Any = NOW, **told: Any) -> list[str]:
    said: list[dict[str, Any]] = [{"member": one.id, "reference": f"tick-of-{one.id}"} | told for one in who]
    ticks = [Tick(**one) for one in said]
    return [outcome(answer) for answer in tick(by, day.id, session.id, ticks, now)]


def test_ticks_are_check_ins_by_name_and_may_be_sent_again(
    db: Session, city: City, day: Activity, secretary: Organiser
) -> None:
    session = begin(secretary, day, screen(city.east))
    assert ticked(secretary, day, session, city.ana, city.ben) == ["accepted"] * 2
    assert ticked(secretary, day, session, city.ana, city.ben, city.cleo) == ["repeat", "repeat", "accepted"]
    rows = db.query(CheckIn).all()
    assert {(row.method, row.group_session_id, row.entered_by) for row in rows} == {("group", session.id, secretary.id)}
    assert figures.rostered(day.id, city.city.path).all == Sums(expected=3, present=3, completed=3)


def test_a_tick_has_the_answer_of_every_check_in(db: Session, city: City, day: Activity, secretary: Organiser) -> None:
    """Who has come himself is there already, who is unknown is so, and both are kept as refused."""
    session = begin(secretary, day, screen(city.east))
    come(day, city.ana)
    assert ticked(secretary, day, session, city.ana, city.dan, city.ben) == [
        "already_checked_in", "member_unknown", "accepted"
    ]  # fmt: skip
    assert {row.code for row in db.query(Refusal)} == {"already_checked_in", "member_unknown"}


def test_the_same_reference_at_another_screen_is_another_body(city: City, day: Activity, secretary: Organiser) -> None:
    first, second = (begin(secretary, day, screen(city.east, f"screen-{number}")) for number in (1, 2))
    assert ticked(secretary, day, first, city.ana) == ["accepted"]
    assert ticked(secretary, day, second, city.ana) == ["reference_reused"]


def test_heads_are_added_to_nothing_and_shown_apart_at_every_node(
    city: City, day: Activity, secretary: Organiser
) -> None:
    east, west = begin(secretary, day, screen(city.east)), begin(secretary, day, screen(city.west, "screen-2"))
    ticked(secretary, day, east, city.ana)
    sessions.count_heads(secretary, day.id, east.id, 40, NOW)
    sessions.count_heads(secretary, day.id, west.id, 7, NOW)
    begin(secretary, day, screen(city.west, "screen-3"))
    found, children = screens.at(day.id, city.city.path)
    assert children == {
        city.east.id: Screens(sessions=1, counted=1, headcount=40, ticked=1),
        city.west.id: Screens(sessions=2, counted=1, headcount=7),
    }
    assert found == sum(children.values(), Screens())
    assert screens.at(day.id, city.east.path) == (children[city.east.id], {0: children[city.east.id]})
    assert screens.at(day.id, city.province.path)[0] == found
    assert screens.at(day.id, city.away.path) == (Screens(), {})
    attendance = figures.rostered(day.id, city.city.path)
    assert (attendance.all, attendance.guests) == (Sums(expected=3, present=1, completed=1), 0)
    assert attendance.methods == {"group": {"attendances": 1, "late": 0, "unconfirmed": 0}}


def test_a_headcount_is_corrected_and_the_one_before_stays(
    db: Session, city: City, day: Activity, secretary: Organiser
) -> None:
    session = begin(secretary, day, screen(city.east))
    for people in (40, 40, 38, 38, 40):
        sessions.count_heads(secretary, day.id, session.id, people, NOW)
    assert [row.people for row in db.query(Headcount).order_by(Headcount.id)] == [40, 38, 40]
    assert screens.at(day.id, city.city.path)[0].headcount == 40


def test_what_was_taken_back_is_ticked_no_more(city: City, day: Activity, secretary: Organiser) -> None:
    session = begin(secretary, day, screen(city.east))
    ticked(secretary, day, session, city.ana, city.ben)
    annulling.undo(day.id, city.ana.id, f"tick-of-{city.ana.id}", NOW, by=secretary.id)
    assert screens.at(day.id, city.city.path)[0].ticked == 1
    assert screens.of_sessions([session.id]) == {session.id: {"headcount": None, "ticked": 1}}


def test_who_takes_back_his_own_tick_takes_nobody_out(
    db: Session, city: City, day: Activity, secretary: Organiser
) -> None:
    """Ticked by mistake, undone twice: Ana may come by herself, and the row tells who took it back."""
    session = begin(secretary, day, screen(city.east))
    ticked(secretary, day, session, city.ana)
    for minutes in (14, 60):
        annulling.undo(day.id, city.ana.id, f"tick-of-{city.ana.id}", NOW + minutes * MINUTE, by=secretary.id)
    [row] = db.query(CheckIn)
    assert (row.annulled_by, row.annul_reason, row.annulled_at) == (secretary.id, "undone", NOW + 14 * MINUTE)
    assert ticked(secretary, day, session, city.ana) == ["checkin_annulled"]
    assert come(day, city.ana) == ["accepted"]


def test_a_tick_is_undone_by_who_made_it_within_a_quarter_of_an_hour(
    city: City, day: Activity, secretary: Organiser
) -> None:
    ticked(secretary, day, begin(secretary, day, screen(city.east)), city.ana)
    for by, code in ((None, "not_found"), (secretary.id + 1, "not_found"), (secretary.id, "undo_closed")):
        with pytest.raises(ServiceError, match=code):
            annulling.undo(day.id, city.ana.id, f"tick-of-{city.ana.id}", NOW + 15 * MINUTE, by=by)
    assert figures.rostered(day.id, city.city.path).all.present == 1


def test_opening_again_gives_the_same_session(db: Session, city: City, day: Activity, secretary: Organiser) -> None:
    first = begin(secretary, day, screen(city.east))
    again, repeat = sessions.begin(secretary, day.id, screen(city.east, sitting=first.sitting_id), NOW + HOUR)
    assert (again.id, repeat, again.opened_at) == (first.id, True, NOW)
    for other in (screen(city.west), screen(city.east, place="别处"), screen(city.east, screen="phone")):
        with pytest.raises(ServiceError, match="reference_reused"):
            sessions.begin(secretary, day.id, other, NOW)
    with pytest.raises(ServiceError, match="reference_reused"):
        sessions.begin(secretary, make_day(city).id, screen(city.east), NOW)
    assert db.query(GroupSession).count() == 1


def test_a_closed_session_takes_what_happened_before(city: City, day: Activity, secretary: Organiser) -> None:
    session = begin(secretary, day, screen(city.east))
    ticked(secretary, day, session, city.ana)
    for minutes in (20, 30):
        sessions.close(secretary, day.id, session.id, NOW + minutes * MINUTE)
    assert session.closed_at == NOW + 20 * MINUTE
    later = NOW + 40 * MINUTE
    assert ticked(secretary, day, session, city.ana, now=later) == ["repeat"]
    assert ticked(secretary, day, session, city.ben, now=later) == ["group_session_closed"]
    at = {"happened_at": NOW + 20 * MINUTE, "reference": "tick-late"}
    assert ticked(secretary, day, session, city.ben, now=later, **at) == ["group_session_closed"]
    before = {"happened_at": NOW + 10 * MINUTE, "reference": "tick-in-time"}
    assert ticked(secretary, day, session, city.ben, now=later, **before) == ["accepted"]
    sessions.count_heads(secretary, day.id, session.id, 30, later)


def test_nothing_is_opened_or_counted_once_nothing_may_be_entered(
    city: City, day: Activity, secretary: Organiser
) -> None:
    session = begin(secretary, day, screen(city.east), NOW + 72 * HOUR)
    with pytest.raises(ServiceError, match="checkin_closed"):
        begin(secretary, day, screen(city.east, "screen-2"), NOW + 73 * HOUR)
    with pytest.raises(ServiceError, match="checkin_closed"):
        sessions.count_heads(secretary, day.id, session.id, 40, NOW + 73 * HOUR)


def test_one_of_several_sittings_has_to_be_named(db: Session, city: City, day: Activity, secretary: Organiser) -> None:
    begins, ends = NOW - HOUR, NOW + HOUR
    second = Sitting(
        activity_id=day.id, starts_at=begins, ends_at=ends, checkin_opens_at=begins, checkin_closes_at=ends
    )
    db.add(second)
    db.commit()
    with pytest.raises(ServiceError, match="validation"):
        begin(secretary, day, screen(city.east))
    with pytest.raises(ServiceError, match="not_found"):
        begin(secretary, day, screen(city.east, sitting=make_activity().sittings[0].id))
    session = begin(secretary, day, screen(city.east, sitting=second.id))
    ticked(secretary, day, session, city.ana)
    assert db.query(CheckIn).one().sitting_id == second.id


def test_a_branch_that_is_not_invited_or_out_of_reach_has_no_session(
    city: City, day: Activity, secretary: Organiser
) -> None:
    of_east = make_organiser(organisation=city.east, role="branch_secretary", now=NOW)[0]
    for organisation in (city.west, city.away):
        with pytest.raises(ServiceError, match="not_found"):
            begin(of_east, day, screen(organisation))
    sister = make_organisation(level="city", parent=city.province)
    province = make_organiser(organisation=city.province, role="branch_secretary", now=NOW)[0]
    with pytest.raises(ServiceError, match="not_invited"):
        begin(province, day, screen(sister))
    session = begin(secretary, day, screen(city.west))
    assert [one.id for one in sessions.of_activity(secretary, day.id)] == [session.id]
    assert sessions.of_activity(of_east, day.id) == []
    with pytest.raises(ServiceError, match="not_found"):
        ticked(of_east, day, session, city.ana)


def test_who_stays_with_the_branch_is_ticked_there_and_credited_at_home(db: Session, city: City) -> None:
    attach(city.dan, city.east)
    day = make_day(city)
    roster.freeze(day.id, NOW)
    secretary = make_organiser(organisation=city.east, role="branch_secretary", now=NOW)[0]
    assert ticked(secretary, day, begin(secretary, day, screen(city.east)), city.dan) == ["accepted"]
    assert figures.rostered(day.id, city.away.path).all == Sums(expected=1, present=1, completed=1)
    assert figures.rostered(day.id, city.east.path).staying == Sums(expected=1, present=1, completed=1)
    assert screens.at(day.id, city.east.path)[0].ticked == 1


def test_a_screen_stands_where_its_branch_stood_on_the_day(city: City, day: Activity) -> None:
    """The branch was moved to another city next morning, and the secretary enters it after that."""
    other = make_organisation(level="city", parent=city.province)
    before, moved = city.east.path, DAY + timedelta(days=1)
    changes.move(city.east.id, to=other.id, on=moved, entry=Entry(moved))
    province = make_organiser(organisation=city.province, role="branch_secretary", now=NOW)[0]
    session = begin(province, day, screen(city.east), NOW + 24 * HOUR)
    assert session.organisation_path == before
    assert screens.at(day.id, city.city.path)[0].sessions == 1


def test_a_rehearsals_screens_lie_in_no_real_part_of_the_tree(db: Session, city: City, secretary: Organiser) -> None:
    synthetic = Member(name="合成", organisation_id=city.east.id, rehearsal=True)
    db.add(synthetic)
    db.commit()
    day = make_day(city, rehearsal=True)
    session = begin(secretary, day, screen(city.east))
    assert ticked(secretary, day, session, synthetic, city.ana) == ["accepted", "not_invited"]
    assert screens.at(day.id, city.city.path) == (Screens(), {})
    assert screens.at(day.id, f"0.{city.city.path}")[0].ticked == 1
