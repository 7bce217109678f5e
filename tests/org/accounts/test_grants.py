"""Grants: role, subtree, purpose, dates; three offices held apart by rule and by table."""

from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service import account_commands
from service.errors import ServiceError
from service.org.accounts import grants, listing
from service.org.accounts.models import Grant
from service.org.accounts.roles import OFFICES, PURPOSES_OF, ROLES
from service.org.accounts.sessions import Terms, of_cookie
from tests.factories import make_organisation, make_organiser
from tests.org.accounts.conftest import NOW
from tests.org.accounts.people import cast

DAY = timedelta(days=1)


def test_the_command_offers_every_role() -> None:
    assert set(account_commands.ROLES) == set(ROLES)


@pytest.mark.parametrize(("first", "second"), list(permutations(OFFICES, 2)))
def test_no_account_ever_holds_two_offices(db: Session, first: str, second: str) -> None:
    """Not even one after the other."""
    organisation = make_organisation()
    organiser, _ = make_organiser(organisation=organisation, role=first, now=NOW)
    [purpose] = PURPOSES_OF[second]
    wanted: Any = {"role": second, "purpose": purpose, "organisation_id": organisation.id, "now": NOW}
    with pytest.raises(ServiceError, match="office_held"):
        grants.enter(organiser.id, **wanted)
    db.query(Grant).update({"revoked_at": NOW})
    with pytest.raises(ServiceError, match="office_held"):
        grants.enter(organiser.id, **wanted)
    by_hand = text(
        "INSERT INTO grants (organiser_id, role, office, purpose, organisation_id) VALUES (:o, :role, :office, :p, :at)"
    )
    for office in (second, first, None):
        values = {"o": organiser.id, "role": second, "office": office, "p": purpose, "at": organisation.id}
        with pytest.raises(IntegrityError), db.begin_nested():
            db.execute(by_hand, values)


def test_a_grant_is_given_below_oneself_and_never_to_oneself(db: Session) -> None:
    people, elsewhere = cast(NOW), make_organisation(level="province")

    def give(giver: Any, account: int, role: str = "organiser", purpose: str = "activities", at: Any = None) -> Grant:
        number = (at or people.sister).id
        return grants.give(giver, account, role=role, purpose=purpose, organisation_id=number, now=NOW)

    stranger, _ = make_organiser(organisation=elsewhere)
    given = give(people.sec, people.li.id)
    assert (given.given_by, given.organisation_id) == (people.sec.id, people.sister.id)
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: give(people.sec, people.sec.id), "forbidden"),
        (lambda: give(people.sys, people.li.id), "not_found"),
        (lambda: give(people.li, people.sys.id), "not_found"),
        (lambda: give(people.sec, people.li.id, at=elsewhere), "not_found"),
        (lambda: give(people.sec, 10**12), "not_found"),
        (lambda: give(people.sec, stranger.id), "not_found"),
        (lambda: give(people.sec, people.li.id, role="auditor"), "validation"),
        (lambda: give(people.sec, people.sys.id, role="auditor", purpose="audit"), "office_held"),
    ]
    for act, code in refused:
        with pytest.raises(ServiceError, match=code):
            act()


def test_a_grant_holds_between_its_dates_and_until_it_is_revoked(terms: Terms) -> None:
    people = cast(NOW)
    organiser, cookie = make_organiser(organisation=people.city, now=NOW)
    given = grants.give(
        people.sec,
        organiser.id,
        role="organiser",
        purpose="activities",
        organisation_id=people.sister.id,
        valid_from=NOW + timedelta(minutes=5),
        valid_to=NOW + timedelta(minutes=20),
        now=NOW,
    )

    def reach(minutes: int) -> tuple[str, ...]:
        return of_cookie(cookie, terms=terms, now=NOW + timedelta(minutes=minutes)).paths("activities")

    city, sister = people.city.path, people.sister.path
    assert (reach(4), reach(5), reach(19), reach(20)) == ((city,), (city, sister), (city, sister), (city,))
    grants.revoke(people.sec, given.id, NOW)
    # Its sessions ended with it: an open wall has to ask anew.
    with pytest.raises(ServiceError, match="token_invalid"):
        reach(6)


def test_only_who_may_give_may_revoke(db: Session) -> None:
    people = cast(NOW)
    other = make_organiser(organisation=make_organisation(level="province"), role="security_administrator", now=NOW)[0]
    [first, *_] = grants.of_account(people.sec, people.li.id)
    [own] = grants.of_account(people.sec, people.sec.id)
    assert grants.of_account(other, people.li.id) == []
    for revoker, number, code in (
        (other, first.id, "not_found"),
        (people.li, first.id, "not_found"),
        (people.sec, own.id, "forbidden"),
    ):
        with pytest.raises(ServiceError, match=code):
            grants.revoke(revoker, number, NOW)
    grants.revoke(people.sec, first.id, NOW)
    revoked_at = first.revoked_at
    grants.revoke(people.sec, first.id, NOW + DAY)
    assert first.revoked_at == revoked_at


def test_the_highest_nodes_count() -> None:
    from service.org.organisers import Held, Organiser

    paths = ["1.2", "1", "1.20", "2.1", "2.10"]
    organiser = Organiser(1, "", 1, "", "9", grants=tuple(Held("organiser", "push", path) for path in paths))
    assert organiser.paths("push") == ("1", "2.1", "2.10")
    assert organiser.paths("roster") == ()
    assert organiser.may("push", "1.7")
    assert not organiser.may("push", "9")


def test_organisations_are_found_by_name_in_ones_own_part_of_the_tree(db: Session) -> None:
    province, other = make_organisation(level="province", name="甲省"), make_organisation(level="province", name="乙省")
    city = make_organisation(level="city", parent=province, name="100%市")
    branch = make_organisation(parent=city, name="100%支部")
    make_organisation(parent=other, name="100%支部")
    keeper = make_organiser(organisation=city, role="system_administrator")[0]
    found = listing.organisations(keeper, "100%")
    assert [(one.id, one.below) for one in found] == [(city.id, None), (branch.id, "100%市")]
    assert listing.organisations(keeper, "1%支") == []
