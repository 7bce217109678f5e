"""The frozen roster: who is on it, as of the day, and what it says at the door."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.checkin.attendance import roster
from service.checkin.attendance.models import Exemption, Guest, RosterEntry
from service.errors import ServiceError
from service.home import rehearsed
from service.org.entries import Entry
from service.org.models import Member
from service.org.people import standings
from service.org.people.models import FormerHome
from service.org.tree import changes
from tests.checkin.people import DAY, NOW, attach, come, long_ago, make_city, make_day
from tests.factories import HOUR, make_activity, make_member, make_organisation


def entries(activity: Activity, db: Session) -> dict[int, tuple[str, str | None, str]]:
    rows = db.query(RosterEntry).filter_by(activity_id=activity.id)
    return {row.member_id: (row.home_path, row.receiving_path, row.standing) for row in rows}


def test_everybody_below_the_invited_is_on_it_once(db: Session) -> None:
    city = make_city()
    city.ben.status = "left"
    db.add(Exemption(member_id=city.cleo.id, reason="高龄", starts_on=DAY, entered_by=1, entered_at=NOW))
    attach(city.dan, city.east)
    attach(city.ana, city.west)
    activity = make_day(city)
    long_ago()
    assert roster.freeze(activity.id, NOW)
    assert entries(activity, db) == {
        city.ana.id: (city.east.path, city.west.path, "expected"),
        city.cleo.id: (city.west.path, None, "exempt"),
        city.dan.id: (city.away.path, city.east.path, "expected"),
    }
    frozen = roster.of(activity.id)
    assert frozen
    assert (frozen.expected, frozen.exempt, frozen.as_of, frozen.unit, frozen.denominator) == (
        2, 1, DAY, "member", "expected"
    )  # fmt: skip


def test_the_status_of_the_day_says_who_is_expected(db: Session) -> None:
    """What is entered late of an earlier day counts; what holds from a later day does not."""
    city = make_city()
    for member, status, days in (
        (city.ana, "floating", -3), (city.ben, "abroad", 0), (city.ben, "left", 1), (city.cleo, "out_of_contact", -1),
    ):  # fmt: skip
        since, now = DAY + timedelta(days), NOW + timedelta(2)
        standings.enter(member, "status", status, since=since, now=now)
    db.commit()
    activity = make_day(city)
    roster.freeze(activity.id, NOW + 30 * HOUR)
    standing = {member: how for member, (_, _, how) in entries(activity, db).items()}
    assert standing == {city.ana.id: "expected", city.ben.id: "exempt", city.cleo.id: "exempt"}
    assert come(activity, city.cleo) == ["accepted"]


def test_what_happened_on_the_day_after_the_start_comes_too_late(db: Session) -> None:
    city = make_city()
    for member, hours in ((city.ana, -3), (city.cleo, 1)):
        standings.enter(member, "status", "abroad", since=DAY, now=NOW + hours * HOUR)
    db.commit()
    activity = make_day(city)
    roster.freeze(activity.id, NOW + 2 * HOUR)
    standing = {member: how for member, (_, _, how) in entries(activity, db).items()}
    assert standing == {city.ana.id: "exempt", city.ben.id: "expected", city.cleo.id: "expected"}


def test_who_was_expected_that_day_stays_so_when_he_has_left_since(db: Session) -> None:
    city = make_city()
    standings.enter(city.cleo, "status", "left", since=DAY + timedelta(1), now=NOW + timedelta(2))
    db.commit()
    activity = make_day(city)
    roster.freeze(activity.id, NOW + 30 * HOUR)
    assert entries(activity, db)[city.cleo.id][2] == "expected"


def test_freezing_again_and_moving_later_change_nothing(db: Session) -> None:
    city = make_city()
    activity = make_day(city)
    assert roster.freeze(activity.id, NOW)
    before = entries(activity, db)
    city.ana.organisation_id = city.away.id
    db.add(Member(name="新", organisation_id=city.east.id))
    db.commit()
    assert not roster.freeze(activity.id, NOW + HOUR)
    assert entries(activity, db) == before


def test_the_tree_counts_as_of_the_day_of_the_start(db: Session) -> None:
    """The branch was moved to another city later that week, and the freeze is late: it is still here."""
    city = make_city()
    other = make_organisation(level="city", parent=city.province)
    before = {city.east.path, city.west.path}
    activity = make_day(city)
    moved = DAY + timedelta(days=1)
    changes.move(city.east.id, to=other.id, on=moved, entry=Entry(moved))
    roster.freeze(activity.id, NOW + 30 * HOUR)
    assert {path for path, _, _ in entries(activity, db).values()} == before


def test_who_moves_or_leaves_after_the_start_is_on_it_where_he_was(db: Session) -> None:
    """The freeze is late: what was before the start counts, and nothing of what was after it."""
    city = make_city()
    activity = make_day(city)
    city.ana.organisation_id, city.ben.organisation_id = city.west.id, city.away.id
    db.commit()
    long_ago()
    city.ana.organisation_id, city.cleo.status, city.dan.organisation_id = city.away.id, "left", city.east.id
    db.commit()
    city.ana.organisation_id = city.east.id
    db.commit()
    roster.freeze(activity.id, NOW + 30 * HOUR)
    assert entries(activity, db) == {
        city.ana.id: (city.west.path, None, "expected"),
        city.cleo.id: (city.west.path, None, "expected"),
    }


def test_a_branch_that_was_merged_since_counts_as_it_was(db: Session) -> None:
    city = make_city()
    activity = make_day(city)
    merged = DAY + timedelta(days=1)
    changes.merge(city.east.id, into=city.west.id, on=merged, entry=Entry(merged))
    assert (city.ana.organisation_id, city.ben.organisation_id) == (city.west.id,) * 2
    roster.freeze(activity.id, NOW + 30 * HOUR)
    homes = {member: path for member, (path, _, _) in entries(activity, db).items()}
    assert homes == {city.ana.id: city.east.path, city.ben.id: city.east.path, city.cleo.id: city.west.path}


def test_a_merger_that_is_entered_late_takes_its_members_along(db: Session) -> None:
    city = make_city()
    activity = make_day(city)
    changes.merge(city.east.id, into=city.west.id, on=DAY - timedelta(days=9), entry=Entry(DAY + timedelta(days=1)))
    roster.freeze(activity.id, NOW + 30 * HOUR)
    assert {path for path, _, _ in entries(activity, db).values()} == {city.west.path}
    assert len(entries(activity, db)) == 3


def test_former_homes_are_not_kept_for_long(db: Session) -> None:
    city = make_city()
    city.ana.organisation_id = city.west.id
    db.commit()
    long_ago()
    roster.freeze_due(NOW + timedelta(days=2))
    assert db.query(FormerHome).count() == 1
    roster.freeze_due(NOW + timedelta(days=3))
    assert db.query(FormerHome).count() == 0


def test_a_joint_body_is_invited_through_any_parent(db: Session) -> None:
    city = make_city()
    joint = make_organisation(parent=make_organisation(level="city"), joint="functional")
    changes.join(joint.id, parent=city.city.id, on=DAY, until=None, entry=Entry(DAY))
    both = make_member(organisation=joint)
    activity = make_day(city)
    roster.freeze(activity.id, NOW)
    assert entries(activity, db)[both.id] == (joint.path, None, "expected")


def test_a_rehearsals_roster_has_synthetic_members_only(db: Session) -> None:
    city = make_city()
    synthetic = Member(name="合成", organisation_id=city.east.id, rehearsal=True)
    db.add(synthetic)
    db.commit()
    activity = make_day(city, rehearsal=True)
    roster.freeze(activity.id, NOW)
    assert entries(activity, db) == {synthetic.id: (rehearsed(city.east.path), None, "expected")}
    assert come(activity, city.ana) == ["not_invited"]


def test_an_open_activity_expects_nobody(db: Session) -> None:
    with pytest.raises(ServiceError, match="not_rostered"):
        roster.freeze(make_activity(now=NOW).id, NOW)


def test_nothing_is_frozen_before_the_start(db: Session) -> None:
    with pytest.raises(ServiceError, match="not_started"):
        roster.freeze(make_day(make_city(), opens=HOUR, closes=2 * HOUR).id, NOW)


def test_what_starts_is_frozen_once_and_what_started_long_ago_is_not(db: Session) -> None:
    city = make_city()
    now, later, past = (make_day(city, opens=opens, closes=opens + HOUR) for opens in (-HOUR, HOUR, -timedelta(days=3)))
    make_activity(now=NOW)
    assert roster.freeze_due(NOW) == 1
    assert roster.freeze_due(NOW) == 0
    assert [bool(roster.of(one.id)) for one in (now, later, past)] == [True, False, False]


def test_once_frozen_the_roster_says_who_may_come(db: Session) -> None:
    city = make_city()
    guest, late_comer = make_member(organisation=city.away), make_member(organisation=city.away)
    attach(city.dan, city.east)
    activity = make_day(city)
    db.add(Guest(activity_id=activity.id, member_id=guest.id, entered_by=1, entered_at=NOW))
    db.commit()
    roster.freeze(activity.id, NOW)
    late_comer.organisation_id = city.east.id
    city.ana.organisation_id = city.away.id
    db.commit()
    members = [city.ana, city.dan, guest, late_comer, make_member()]
    assert come(activity, *members) == ["accepted", "accepted", "accepted", "not_on_roster", "not_invited"]


def test_before_that_the_tree_says_it_with_guests_and_attachments(db: Session) -> None:
    city = make_city()
    guest = make_member(organisation=city.away)
    attach(city.dan, city.east)
    activity = make_day(city)
    db.add(Guest(activity_id=activity.id, member_id=guest.id, entered_by=1, entered_at=NOW))
    db.commit()
    members = [city.ana, city.dan, guest, make_member()]
    assert come(activity, *members) == ["accepted", "accepted", "accepted", "not_invited"]
