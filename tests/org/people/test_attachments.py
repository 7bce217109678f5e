"""Attachments: proposed by one side, active once both have confirmed, kept after their end."""

from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.org.access import COOKIE
from service.org.models import Member, Organisation
from service.org.organisers import Held, Organiser
from service.org.people import attachments
from service.org.people.attachments import Side, Wish
from tests.factories import bearer, make_member, make_organisation, make_organiser

NOW = datetime(2026, 9, 1, 4, tzinfo=UTC)
TODAY = date(2026, 9, 1)
DAY = timedelta(days=1)


@pytest.fixture
def home(db: Session) -> Organisation:
    return make_organisation(parent=make_organisation(level="city"))


@pytest.fixture
def receiving(db: Session) -> Organisation:
    return make_organisation(parent=make_organisation(level="city"))


@pytest.fixture
def member(home: Organisation) -> Member:
    return make_member(organisation=home)


def wish(receiving: Organisation, *, starts_on: date = TODAY, ends_on: date | None = None) -> Wish:
    return Wish(organisation_id=receiving.id, reason="外出务工", starts_on=starts_on, ends_on=ends_on)


def of(organisation: Organisation) -> Organiser:
    """An organiser of `organisation`."""
    grant = Held("organiser", "roster", organisation.path)
    return Organiser(1, "李组织", organisation.id, organisation.name, organisation.path, grants=(grant,))


def refused(code: str) -> "pytest.RaisesExc[ServiceError]":
    return pytest.raises(ServiceError, match=code)


SIDES: tuple[Side, Side] = ("home", "receiving")


@pytest.mark.parametrize("by", [*SIDES, None])
@pytest.mark.parametrize("order", list(permutations(SIDES)))
def test_active_once_both_sides_have_confirmed_whoever_proposed(
    member: Member, home: Organisation, receiving: Organisation, by: Side | None, order: tuple[Side, Side]
) -> None:
    found = attachments.propose(member, wish(receiving), by=by, now=NOW)
    agreed: set[Side | None] = {by} - {None}
    organisers = {"home": of(home), "receiving": of(receiving)}
    for side in order:
        assert bool(attachments.active(member.id, TODAY)) == (agreed == set(SIDES))
        attachments.confirm(found.id, organisers[side], NOW)
        agreed |= {side}
    assert attachments.active(member.id, TODAY) == [found]
    assert not attachments.active(member.id, TODAY - DAY)


def test_whoever_proposes_what_another_has_confirms_it(member: Member, receiving: Organisation) -> None:
    first = attachments.propose(member, wish(receiving), by=None, now=NOW)
    for side in (*SIDES[1:], *SIDES[1:], *SIDES[:1]):
        assert not attachments.active(member.id, TODAY)
        assert attachments.propose(member, wish(receiving), by=side, now=NOW).id == first.id
    assert attachments.active(member.id, TODAY) == [first]


def test_the_first_word_of_a_side_stands(member: Member, home: Organisation, receiving: Organisation) -> None:
    found = attachments.propose(member, wish(receiving), by="home", now=NOW)
    for organisation in (home, receiving):
        attachments.confirm(found.id, of(organisation), NOW + DAY)
        attachments.confirm(found.id, of(organisation), NOW + 2 * DAY)
    assert (found.home_confirmed_at, found.receiving_confirmed_at) == (NOW, NOW + DAY)


def test_a_branch_receives_who_shows_a_certificate(
    client: FlaskClient, member: Member, home: Organisation, receiving: Organisation
) -> None:
    shown = client.post("/api/v1/me/certificate", headers=bearer(member=member)).get_json()["token"]
    body = {"certificate": shown, "reason": "外出务工", "starts_on": "2026-01-01"}
    client.set_cookie(COOKIE, make_organiser(organisation=receiving)[1])
    assert client.post(f"/api/v1/organisations/{home.id}/attachments", json=body).status_code == 404
    door = f"/api/v1/organisations/{receiving.id}/attachments"
    forged = client.post(door, json=body | {"certificate": shown[:-4] + "AAAA"})
    assert forged.get_json()["code"] == "certificate_invalid"
    asked = client.post(door, json=body)
    assert (asked.status_code, asked.get_json()["home_confirmed_at"]) == (201, None)
    assert asked.get_json()["receiving_confirmed_at"] is not None
    assert attachments.active(member.id, date(2026, 2, 1)) == []
    client.set_cookie(COOKIE, make_organiser(organisation=home)[1])
    assert client.put(f"/api/v1/attachments/{asked.get_json()['id']}/confirmation").status_code == 200
    assert len(attachments.active(member.id, date(2026, 2, 1))) == 1
    member.status = "left"
    left = client.post(f"/api/v1/organisations/{home.id}/attachments", json=body)
    assert (left.status_code, left.get_json()["reason"]) == (422, "holder")


OFFSETS = st.none() | st.integers(-9, 9)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(-9, 9), length=st.none() | st.integers(1, 9), end=OFFSETS, on=st.integers(-20, 20))
def test_it_holds_from_its_first_day_to_before_its_last(
    db: Session, member: Member, receiving: Organisation, first: int, length: int | None, end: int | None, on: int
) -> None:
    wished = wish(receiving, starts_on=TODAY + first * DAY)
    found = attachments.propose(member, wished, by="home", now=NOW)
    attachments.confirm(found.id, of(receiving), NOW)
    found.ends_on = None if length is None else TODAY + (first + length) * DAY
    found.closed_on = None if end is None else TODAY + end * DAY
    held = first <= on and (length is None or on < first + length) and (end is None or on < end)
    assert bool(attachments.active(member.id, TODAY + on * DAY)) == held
    db.delete(found)
    db.commit()


def test_proposing_again_changes_nothing_and_another_is_refused(member: Member, receiving: Organisation) -> None:
    first = attachments.propose(member, wish(receiving), by="home", now=NOW)
    assert attachments.propose(member, wish(receiving), by="home", now=NOW + DAY).id == first.id
    with refused("conflict"):
        attachments.propose(member, wish(receiving, starts_on=TODAY + DAY), by="home", now=NOW)


def test_after_one_has_ended_another_may_follow(member: Member, receiving: Organisation) -> None:
    first = attachments.propose(member, wish(receiving, ends_on=TODAY + DAY), by="home", now=NOW)
    with refused("conflict"):
        attachments.propose(member, wish(receiving, starts_on=TODAY + DAY), by="home", now=NOW)
    later = attachments.propose(member, wish(receiving, starts_on=TODAY + DAY), by="home", now=NOW + DAY)
    assert later.id != first.id
    assert first.closed_on == TODAY + DAY
    assert [one.id for one in attachments.of_member(member.id)] == [later.id, first.id]


def test_one_members_stay_is_not_anothers(member: Member, home: Organisation, receiving: Organisation) -> None:
    other = make_member(organisation=home)
    first, second = (
        attachments.propose(one, wish(receiving, ends_on=TODAY + DAY), by="home", now=NOW) for one in (member, other)
    )
    assert first.id != second.id
    attachments.confirm(first.id, of(receiving), NOW)
    assert (attachments.active(other.id, TODAY), attachments.of_member(other.id)) == ([], [second])
    attachments.propose(member, wish(receiving, starts_on=TODAY + DAY), by="home", now=NOW + DAY)
    assert second.closed_on is None


def test_who_covers_both_sides_confirms_both(db: Session) -> None:
    province = make_organisation(level="province")
    branches = [make_organisation(parent=province) for _ in range(2)]
    member = make_member(organisation=branches[0])
    found = attachments.propose(member, wish(branches[1]), by=None, now=NOW)
    both = of(province)
    attachments.confirm(found.id, both, NOW)
    assert attachments.active(member.id, TODAY) == [found]


def test_what_was_declined_cannot_be_confirmed(member: Member, receiving: Organisation) -> None:
    theirs = of(receiving)
    found = attachments.propose(member, wish(receiving), by="home", now=NOW)
    attachments.close(found.id, theirs, NOW)
    with refused("conflict"):
        attachments.confirm(found.id, theirs, NOW)


def test_closing_again_changes_nothing(member: Member, receiving: Organisation) -> None:
    found = attachments.propose(member, wish(receiving), by="home", now=NOW)
    for now in (NOW, NOW + DAY):
        assert attachments.close(found.id, of(receiving), now).closed_on == TODAY


def test_only_what_waits_for_a_side_waits(member: Member, home: Organisation, receiving: Organisation) -> None:
    theirs, ours = of(receiving), of(home)
    found = attachments.propose(member, wish(receiving), by="home", now=NOW)
    for side in (theirs, ours):
        assert attachments.visible(side, on=None, open_only=True) == [found]
    attachments.confirm(found.id, theirs, NOW)
    assert attachments.visible(theirs, on=None, open_only=True) == []
    asked = attachments.propose(member, wish(make_organisation()), by=None, now=NOW)
    assert attachments.visible(ours, on=None, open_only=True) == [asked]
    attachments.close(asked.id, ours, NOW)
    assert attachments.visible(ours, on=None, open_only=True) == []
    assert attachments.visible(ours, on=None, open_only=False) == [asked, found]


def test_nobody_else_sees_or_touches_it(member: Member, receiving: Organisation) -> None:
    stranger = of(make_organisation())
    found = attachments.propose(member, wish(receiving), by="home", now=NOW)
    for touch in (attachments.confirm, attachments.close):
        with refused("not_found"):
            touch(found.id, stranger, NOW)
    assert attachments.visible(stranger, on=None, open_only=False) == []
    theirs = of(receiving)
    assert attachments.visible(theirs, on=None, open_only=True) == [found]
    assert attachments.visible(theirs, on=TODAY, open_only=False) == []


def test_only_another_branch_can_receive(member: Member, home: Organisation) -> None:
    for organisation in (home, make_organisation(level="county")):
        with refused("validation"):
            attachments.propose(member, wish(organisation), by="home", now=NOW)
    with refused("validation"):
        attachments.propose(member, wish(make_organisation(), ends_on=TODAY), by="home", now=NOW)


def test_the_story_over_http(client: FlaskClient, member: Member, home: Organisation, receiving: Organisation) -> None:
    body = {"organisation_id": receiving.id, "reason": "外出务工", "starts_on": "2026-01-01"}
    asked = client.post("/api/v1/me/attachments", json=body, headers=bearer(member=member))
    assert asked.status_code == 201
    assert asked.get_json()["organisation"] == {"id": receiving.id, "name": None}
    number = asked.get_json()["id"]
    for organisation in (home, receiving):
        _, cookie = make_organiser(organisation=organisation)
        client.set_cookie(COOKIE, cookie)
        waiting = client.get("/api/v1/attachments?waiting=true").get_json()["attachments"]
        assert [one["id"] for one in waiting] == [number]
        assert client.put(f"/api/v1/attachments/{number}/confirmation").status_code == 200
    assert [one["id"] for one in client.get("/api/v1/attachments?on=2026-02-01").get_json()["attachments"]] == [number]
    assert client.post(f"/api/v1/members/{member.id}/attachments", json=body).status_code == 404
    mine = client.get("/api/v1/me/attachments", headers=bearer(member=member)).get_json()["attachments"]
    assert [one["organisation"] for one in mine] == [{"id": receiving.id, "name": receiving.name}]
    assert client.delete(f"/api/v1/attachments/{number}").get_json()["closed_on"] is not None
