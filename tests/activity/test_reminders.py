"""Reminders follow the activity's own times."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service import audit
from service.activity import editing, reminders
from service.activity.models import Activity
from service.extensions import db as database
from service.notify.notices.audience import Means, audience_of
from service.notify.notices.models import INBOX, Device, Notice, NoticeDelivery
from service.notify.notices.telling import rehearse, tell_due
from service.org.person import consents
from tests.factories import HOUR, make_activity, make_member, make_organisation, make_organiser

NOW = datetime(2026, 7, 1, 2, tzinfo=UTC)
MEANS = Means(channels=["apns"])


def held(*, invited: bool = True, **fields: Any) -> tuple[Activity, Any, Any]:
    """An activity tomorrow as its organiser saved it, with a branch that it is for."""
    city = make_organisation(level="city")
    branch = make_organisation(parent=city)
    organiser, _ = make_organiser(organisation=city)
    day: dict[str, Any] = {"opens": 24 * HOUR, "closes": 26 * HOUR, "now": NOW}
    activity = make_activity(lead=city, invited=[branch] if invited else [], **day, **fields)
    editing.edit(activity.id, organiser, {"theme": activity.theme})
    return activity, organiser, branch


def notices() -> list[Notice]:
    database.session.expire_all()
    return list(database.session.scalars(select(Notice).order_by(Notice.id)))


def due(state: str = "planned") -> dict[str, datetime]:
    return {one.kind: one.due_at for one in notices() if one.state == state}


def move(activity: Activity, organiser: Any, by: timedelta) -> None:
    sitting = activity.sittings[0]
    times = {"starts_at": sitting.starts_at + by, "ends_at": sitting.ends_at + by}
    editing.edit(activity.id, organiser, {"sittings": [{"id": sitting.id, **times}]})


def test_a_moved_activity_moves_its_reminders(db: Session) -> None:
    activity, organiser, _ = held()
    start = NOW + 24 * HOUR
    assert due() == {"hour_before": start - HOUR, "started": start}
    move(activity, organiser, HOUR)
    assert due() == {"hour_before": start, "started": start + HOUR}
    assert len(notices()) == 2


def test_saving_it_again_plans_nothing_twice(db: Session) -> None:
    activity, organiser, _ = held()
    before = due()
    assert tell_due([], NOW + 23 * HOUR) == 1
    editing.edit(activity.id, organiser, {"theme": "新的主题"})
    assert due("told") | due() == before
    assert len(notices()) == 2
    assert {one.facts["theme"] for one in notices() if one.state == "planned"} == {"新的主题"}


def test_one_that_was_moved_after_it_was_told_is_told_again(db: Session) -> None:
    activity, organiser, branch = held()
    member = make_member(organisation=branch)
    consents.give(member.id, "reminders", version="1", actor=audit.OPERATOR, now=NOW)
    db.add(Device(channel="apns", address="a", member_id=member.id, registered_at=NOW))
    db.commit()
    assert tell_due(["apns"], NOW + 23 * HOUR) == 1
    move(activity, organiser, 2 * HOUR)
    assert due() == {"hour_before": NOW + 25 * HOUR, "started": NOW + 26 * HOUR}
    assert list(due("cancelled")) == ["hour_before"]
    states = select(NoticeDelivery.lane, NoticeDelivery.state)
    assert dict(db.execute(states).all()) == {"apns": "cancelled", INBOX: "delivered"}
    assert tell_due(["apns"], NOW + 25 * HOUR) == 1


def test_a_rehearsal_reminds_nobody(db: Session) -> None:
    activity, organiser, _ = held()
    editing.edit(activity.id, organiser, {"rehearsal": True})
    assert due() == {}
    assert {one.state for one in notices()} == {"cancelled"}


def test_only_members_who_are_invited_and_agreed_are_reached(db: Session) -> None:
    _, _, branch = held()
    ana, ben = (make_member(organisation=branch) for _ in range(2))
    outside, gone = make_member(), make_member(organisation=branch)
    gone.status = "left"
    for member in (ana, ben, outside, gone):
        db.add(Device(channel="apns", address=f"a{member.id}", member_id=member.id, registered_at=NOW))
    consents.give(ana.id, "reminders", version="1", actor=audit.OPERATOR, now=NOW)
    notice = notices()[0]
    reach = rehearse(audience_of(notice), MEANS)
    assert (reach.people, reach.channels, reach.unreached) == (2, {"apns": 1}, {"no_consent": 1})
    consents.record_basis("reminders", "duty", reference="文件", now=NOW)
    assert rehearse(audience_of(notice), MEANS).channels == {"apns": 2}


def test_an_open_one_reminds_the_members_of_who_holds_it(db: Session) -> None:
    _, _, branch = held(invited=False)
    make_member(organisation=branch)
    make_member()
    assert rehearse(audience_of(notices()[0]), MEANS).people == 1


def test_a_part_of_the_tree_can_be_asked_for(db: Session) -> None:
    _, _, branch = held()
    below = make_organisation(parent=branch)
    make_member(organisation=branch)
    make_member(organisation=below)
    notice = notices()[0]
    assert rehearse(audience_of(notice), MEANS).people == 2
    notice.audience = {"name": "activity", "below": below.path}
    assert rehearse(reminders.audience(notice), MEANS).people == 1
