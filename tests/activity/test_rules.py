"""Audiences, and announcing what opens."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.activity.audience import invites, organiser_may_edit, organiser_may_watch, organising, visible_to
from service.activity.models import Activity, ActivityOrganiser
from service.activity.rules import announce
from service.home import rehearsed
from service.notify.models import Outbox
from service.tokens import Actor
from tests.factories import HOUR, make_activity, make_organisation, make_organiser, make_stream

NOW = datetime(2026, 9, 20, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attendance", "organisation", "expected"),
    [
        ("open", "9", True),
        ("rostered", "1.2", True),
        ("rostered", "1.2.3", True),
        ("rostered", "1.23", False),
        ("rostered", "1", False),
    ],
)
def test_the_two_ways_of_asking_agree(db: Session, attendance: str, organisation: str, expected: bool) -> None:
    """The question to PostgreSQL and the one in Python answer alike."""
    root = make_organisation(level="province")
    city = make_organisation(level="city", parent=root)
    activity = make_activity(attendance=attendance, invited=[city] if attendance == "rostered" else [])
    path = organisation.replace("1.2", city.path, 1) if organisation.startswith("1.2") else organisation
    path = root.path if path == "1" else path
    actor = Actor(1, path, "", frozenset({"member"}), 1, 0, 1)
    found = db.scalars(select(Activity.id).where(visible_to(actor))).all()
    assert invites(attendance, [city.path], path, rehearsal=False) is expected
    assert (activity.id in found) is expected


@pytest.mark.parametrize("rehearsal", [True, False])
@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_members_see_rehearsals_only_and_real_ones_none(
    db: Session, rehearsal: bool, synthetic: bool
) -> None:
    city = make_organisation(level="city")
    activity = make_activity(attendance="rostered", invited=[city], rehearsal=rehearsal)
    path = rehearsed(city.path) if synthetic else city.path
    found = db.scalars(select(Activity.id).where(visible_to(Actor(1, path, "", frozenset({"member"}), 1, 0, 1)))).all()
    assert invites("rostered", [city.path], path, rehearsal=rehearsal) is (rehearsal is synthetic)
    assert (activity.id in found) is (rehearsal is synthetic)


def test_watching_and_editing_follow_the_tree(db: Session) -> None:
    province = make_organisation(level="province")
    lead, assisting, foreign = (make_organisation(level="city", parent=province) for _ in range(3))
    stream = make_stream(lead=lead)
    activity = stream.sitting.activity_id
    db.add(ActivityOrganiser(activity_id=activity, organisation_id=assisting.id, tier="assisting", position=1))
    db.commit()
    for organisation, watches, edits in (
        (province, True, True),
        (lead, True, True),
        (assisting, True, False),
        (foreign, False, False),
    ):
        organiser, _ = make_organiser(organisation=organisation)
        assert organiser_may_watch(organiser, stream.id) is watches
        assert organiser_may_edit(organiser, activity) is edits
    assert [one.id for one in organising(stream.id)] == [lead.id, assisting.id]
    assert not organiser_may_watch(make_organiser(organisation=province)[0], 10**9)


def test_an_opening_is_announced_once(db: Session) -> None:
    city = make_organisation(level="city")
    activity = make_activity(lead=city, now=NOW, opens=timedelta(0), rehearsal=True)
    make_activity(now=NOW, opens=-3 * HOUR, closes=-HOUR)
    assert announce(NOW - timedelta(seconds=1)) == 0
    assert announce(NOW) == 1
    assert announce(NOW) == 0
    [event] = db.query(Outbox).all()
    assert (event.topic, event.organisation_paths) == ("activity.opened", [city.path])
    assert event.payload["activity"] == activity.id
    assert event.payload["starts_at"] == "2026-09-20T01:00:00.000Z"
