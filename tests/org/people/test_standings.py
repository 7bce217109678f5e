"""Status and category: dated, corrected late, and what each lets a member do."""

from datetime import UTC, date, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.org.access import COOKIE
from service.org.models import CATEGORIES, STATUSES, Denial, Member
from service.org.people import standings
from tests.factories import bearer, make_member, make_organiser, make_token

NOW = datetime(2026, 9, 1, 4, tzinfo=UTC)
TODAY = date(2026, 9, 1)
DAY = timedelta(days=1)


@pytest.fixture
def member(db: Session) -> Member:
    return make_member()


ENTERED = st.lists(st.tuples(st.integers(-6, 0), st.sampled_from(STATUSES)), max_size=6)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entered=ENTERED)
def test_in_whatever_order_changes_are_entered_each_day_has_its_status(
    db: Session, member: Member, entered: list[tuple[int, str]]
) -> None:
    for back, status in entered:
        standings.enter(member, "status", status, since=TODAY + back * DAY, now=NOW)
    db.flush()
    last_words = dict(entered)
    for day in range(-8, 3):
        known = [back for back in sorted(last_words) if back <= day]
        expected = last_words[known[-1]] if known else "active"
        assert standings.status_on(member.id, TODAY + day * DAY) == expected
    assert member.status == standings.status_on(member.id, TODAY)
    for one in standings.of_member(member.id):
        db.delete(one)
    member.status = "active"
    db.flush()


def test_no_change_is_entered_ahead(member: Member) -> None:
    with pytest.raises(ServiceError, match="validation"):
        standings.enter(member, "status", "abroad", since=TODAY + DAY, now=NOW)


def test_an_organiser_corrects_and_sees_how_a_member_stands(client: FlaskClient, member: Member, db: Session) -> None:
    client.set_cookie(COOKIE, make_organiser(organisation=member.organisation)[1])
    path = f"/api/v1/members/{member.id}"
    edited = client.patch(path, json={"status": "floating", "category": "probationary", "since": "2026-03-01"})
    assert (edited.get_json()["status"], edited.get_json()["category"]) == ("floating", "probationary")
    assert client.patch(path, json={"category": "full"}).get_json()["category"] == "full"
    told = client.get(f"{path}/standings").get_json()["standings"]
    assert [(one["kind"], one["value"], one["former"]) for one in told] == [
        ("category", "probationary", None), ("status", "floating", "active"), ("category", "full", "probationary")
    ]  # fmt: skip
    assert client.patch(path, json={"status": "abroad", "since": "2099-01-01"}).status_code == 422
    assert client.patch(path, json={"status": "gone"}).status_code == 422
    # Late news of an earlier day changes nothing of today.
    client.patch(path, json={"status": "left", "since": "2026-01-01"})
    assert client.get(path).get_json()["status"] == "floating"


@pytest.mark.parametrize("status", STATUSES)
def test_all_but_those_who_have_left_are_members(client: FlaskClient, member: Member, db: Session, status: str) -> None:
    client.set_cookie(COOKIE, make_organiser(organisation=member.organisation)[1])
    make_token(member=member)
    assert client.patch(f"/api/v1/members/{member.id}", json={"status": status}).status_code == 200
    assert (db.query(Denial).count() == 1) == (status == "left")
    certified = client.post("/api/v1/me/certificate", headers=bearer(member=member))
    assert certified.status_code == (403 if status == "left" else 201)


def test_the_terms_are_those_of_the_tables() -> None:
    from service.org.people.entries import CATEGORIES as WORDS
    from service.org.people.entries import STATUSES as STATUS_WORDS

    assert set(STATUS_WORDS.values()) == set(STATUSES)
    assert set(WORDS.values()) == set(CATEGORIES)
