"""Nothing that was granted stays with an organisation that is no more."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.activity.succession import succeed as succeed_in_activities
from service.audit.models import Note
from service.clock import day_of
from service.extensions import db as database
from service.notify import endpoints
from service.org.accounts import clients, grants
from service.org.accounts.models import ApiClient, Grant
from service.org.accounts.sessions import Terms, of_cookie
from service.org.accounts.succession import succeed
from service.org.entries import Entry
from service.org.models import Member, Organisation
from service.org.models import Organiser as Account
from service.org.people.models import Attachment
from service.org.tree import changes
from service.org.tree.settling import settle_due
from tests.factories import HOUR, make_activity, make_member, make_organisation, make_organiser
from tests.org.accounts.conftest import NOW

DAY = timedelta(days=1)
TODAY = day_of(NOW)
ENTRY = Entry(TODAY)


@pytest.fixture
def city(db: Session) -> Organisation:
    return make_organisation(level="city")


@pytest.fixture
def old(city: Organisation) -> Organisation:
    return make_organisation(level="county", parent=city)


@pytest.fixture
def new(city: Organisation) -> Organisation:
    return make_organisation(level="county", parent=city)


def merge(first: Organisation, into: Organisation, *, days: int = 0) -> None:
    changes.merge(first.id, into=into.id, on=TODAY + timedelta(days), entry=ENTRY)


def open_grants(account: int, db: Session) -> list[tuple[str, str, int, datetime | None]]:
    db.expire_all()
    rows = db.query(Grant).filter_by(organiser_id=account, revoked_at=None).order_by(Grant.id)
    return [(row.role, row.purpose, row.organisation_id, row.valid_to) for row in rows]


def noted(db: Session) -> list[tuple[str, str]]:
    rows = db.query(Note).filter(Note.event.like("grant.%"), Note.actor == "system").order_by(Note.id)
    return [(row.event, row.details["reason"]) for row in rows]


def test_who_was_granted_something_goes_on_at_the_successor(
    db: Session, old: Organisation, new: Organisation, terms: Terms
) -> None:
    organiser, cookie = make_organiser(organisation=old, now=NOW, role="branch_secretary")
    until = NOW + 90 * DAY
    db.query(Grant).filter_by(organiser_id=organiser.id).update({"valid_to": until})
    merge(old, new)
    assert succeed(NOW) == 2
    assert open_grants(organiser.id, db) == [
        ("branch_secretary", purpose, new.id, until) for purpose in ("activities", "roster")
    ]
    going_on = of_cookie(cookie, terms=terms, now=NOW)
    assert going_on.paths("roster") == (new.path,)
    assert going_on.organisation_id == new.id
    assert noted(db) == [("grant.withdrawn", "merged"), ("grant.given", "merged")] * 2
    assert succeed(NOW) == 0
    assert len(noted(db)) == 4


def test_nothing_is_passed_on_before_the_day(db: Session, old: Organisation, new: Organisation) -> None:
    organiser, _ = make_organiser(organisation=old, now=NOW)
    merge(old, new, days=3)
    assert succeed(NOW + 2 * DAY) == 0
    settle_due(TODAY + timedelta(3))
    assert succeed(NOW + 3 * DAY) == 3
    assert {at for _, _, at, _ in open_grants(organiser.id, db)} == {new.id}


def test_through_a_chain_of_mergers_to_the_last(
    db: Session, city: Organisation, old: Organisation, new: Organisation
) -> None:
    last = make_organisation(level="county", parent=city)
    organiser, _ = make_organiser(organisation=old, now=NOW)
    merge(old, new)
    merge(new, last)
    assert succeed(NOW) == 3
    assert {at for _, _, at, _ in open_grants(organiser.id, db)} == {last.id}


def test_with_a_closed_one_grants_and_sessions_end(db: Session, old: Organisation, terms: Terms) -> None:
    organiser, cookie = make_organiser(organisation=old, now=NOW)
    changes.close(old.id, on=TODAY, entry=ENTRY)
    assert succeed(NOW) == 3
    assert open_grants(organiser.id, db) == []
    assert set(noted(db)) == {("grant.withdrawn", "closed")}
    with pytest.raises(Exception, match="token_invalid"):
        of_cookie(cookie, terms=terms, now=NOW)


@pytest.mark.parametrize(("days", "kept"), [(10, 2), (None, 1)])
def test_who_holds_as_much_there_is_given_nothing_twice(
    db: Session, old: Organisation, new: Organisation, days: int | None, kept: int
) -> None:
    organiser, _ = make_organiser(organisation=old, now=NOW, role="auditor")
    until = None if days is None else NOW + days * DAY
    there: dict[str, Any] = {"role": "auditor", "purpose": "audit", "organisation_id": new.id}
    grants.enter(organiser.id, **there, valid_to=until, valid_from=NOW - 9 * DAY, now=NOW)
    db.commit()
    merge(old, new)
    succeed(NOW)
    assert len(open_grants(organiser.id, db)) == kept


def test_what_is_over_is_left_alone(db: Session, old: Organisation, new: Organisation) -> None:
    organiser, _ = make_organiser(organisation=old, now=NOW)
    db.query(Grant).update({"valid_to": NOW - HOUR / 2})
    merge(old, new)
    assert succeed(NOW) == 0
    assert {row.organisation_id for row in db.query(Grant).filter_by(organiser_id=organiser.id)} == {old.id}


def test_accounts_programmes_and_receivers_are_the_successors(
    db: Session, old: Organisation, new: Organisation
) -> None:
    organiser, _ = make_organiser(organisation=old, now=NOW)
    client, _ = clients.register(organiser, name="推送", scopes=["events:read"], now=NOW)
    endpoint, _ = endpoints.register(
        organiser, url="https://example.org/", topics=["stream.count"], secret="s" * 32, private=False
    )
    merge(old, new)
    succeed(NOW)
    db.expire_all()
    assert db.get_one(Account, organiser.id).organisation_id == new.id
    assert db.get_one(ApiClient, client.id).organisation_id == new.id
    assert (endpoint.organisation_id, endpoint.organisation_path) == (new.id, new.path)


def stay(member: Member, branch: Organisation, **more: Any) -> None:
    agreed = {"proposed_at": NOW, "home_confirmed_at": NOW, "receiving_confirmed_at": NOW}
    row = {"member_id": member.id, "organisation_id": branch.id, "reason": "务工", "starts_on": TODAY - 9 * DAY}
    database.session.add(Attachment(**row | agreed | more))
    database.session.commit()


def test_stays_go_on_with_the_other_branch_once(db: Session, city: Organisation) -> None:
    first, second, last = (make_organisation(parent=city) for _ in range(3))
    away, both, home = make_member(), make_member(), make_member(organisation=last)
    stay(away, first)
    stay(both, first, home_confirmed_at=None)
    stay(both, last)
    stay(home, first)
    merge(first, second, days=3)
    merge(second, last, days=3)
    settle_due(TODAY + timedelta(3))
    db.expire_all()
    rows = db.query(Attachment).filter_by(closed_on=None).order_by(Attachment.member_id)
    assert [(row.member_id, row.organisation_id) for row in rows] == [(away.id, last.id), (both.id, last.id)]
    [going_on] = db.query(Attachment).filter_by(closed_on=None, member_id=away.id)
    assert (going_on.starts_on, going_on.home_confirmed_at) == (TODAY + timedelta(3), NOW)
    ended = db.query(Attachment).filter(Attachment.organisation_id == first.id)
    assert {row.closed_on for row in ended} == {TODAY + timedelta(3)}


def part_in(activity: Activity, db: Session) -> tuple[set[int], set[int]]:
    db.expire_all()
    invited = {row.organisation_id for row in activity.invitations}
    return invited, {row.organisation_id for row in activity.organisers}


def test_activities_to_come_are_the_successors(db: Session, old: Organisation, new: Organisation) -> None:
    coming, running, over = (
        make_activity(lead=old, invited=[old, *more], now=NOW, opens=opens, closes=opens + 2 * HOUR)
        for opens, more in ((HOUR, [new]), (-HOUR, []), (-9 * HOUR, []))
    )
    merge(old, new)
    for _ in range(2):
        succeed_in_activities(NOW)
        assert part_in(coming, db) == ({new.id}, {new.id})
        assert part_in(running, db) == ({old.id}, {new.id})
        assert part_in(over, db) == ({old.id}, {old.id})
