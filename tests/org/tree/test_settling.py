"""What today's paths, members and webhooks' receivers see of a change: nothing before its day, then all of it."""

from datetime import UTC, date, datetime, timedelta
from functools import partial

from apiflask import APIFlask
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.clock import day_of, now
from service.duties import duties
from service.errors import ServiceError
from service.extensions import db as database
from service.metrics import Board
from service.notify.models import Endpoint
from service.org.entries import Entry
from service.org.models import Member, Organisation
from service.org.organisations import subtree
from service.org.roster import member_facts
from service.org.tree import asof, changes
from service.org.tree.settling import settle_due
from tests.concurrency import at_once, really_committed
from tests.factories import make_member, make_organisation

TODAY = date(2026, 3, 1)
LATER = TODAY + timedelta(10)
ENTRY = Entry(TODAY)


def tree() -> tuple[Organisation, Organisation, Organisation, Organisation]:
    """A county in one of two cities, and its branch."""
    province = make_organisation(level="province")
    city, other = (make_organisation(level="city", parent=province) for _ in range(2))
    county = make_organisation(level="county", parent=city)
    return city, other, county, make_organisation(parent=county)


def path(organisation: Organisation) -> str:
    return database.session.scalars(select(Organisation.path).where(Organisation.id == organisation.id)).one()


def listen(organisation: Organisation) -> Endpoint:
    endpoint = Endpoint(
        organisation_id=organisation.id,
        organisation_path=organisation.path,
        url="https://example.org/",
        secret_ciphertext=b"",
        subject_key_ciphertext=b"",
        topics=[],
        created_by=1,
    )
    database.session.add(endpoint)
    database.session.commit()
    return endpoint


def test_a_move_to_come_shows_from_its_day(db: Session) -> None:
    _, other, county, branch = tree()
    member, endpoint, before = make_member(organisation=branch), listen(county), path(branch)
    changes.move(county.id, to=other.id, on=LATER, entry=ENTRY)
    assert settle_due(LATER - timedelta(1)) == 0
    assert path(branch) == before
    assert settle_due(LATER) == 1
    expected = f"{other.path}.{county.id}.{branch.id}"
    facts = member_facts(member.id)
    assert facts is not None
    assert (path(branch), facts.organisation_path) == (expected, expected)
    assert [one.id for one in db.scalars(subtree(other.path))] == [other.id, county.id, branch.id]
    assert db.get_one(Endpoint, endpoint.id).organisation_path == path(county)
    assert settle_due(LATER) == 0


def test_a_move_of_the_past_shows_at_once(db: Session) -> None:
    _, other, county, branch = tree()
    changes.move(county.id, to=other.id, on=TODAY - timedelta(30), entry=ENTRY)
    assert path(branch) == f"{other.path}.{county.id}.{branch.id}"
    assert db.scalar(select(Organisation.parent_id).where(Organisation.id == county.id)) == other.id


def test_members_go_to_the_last_of_a_chain_of_mergers(db: Session) -> None:
    _, other, county, branch = tree()
    second, third = (make_organisation(parent=other) for _ in range(2))
    member = make_member(organisation=branch)
    changes.merge(second.id, into=third.id, on=LATER, entry=ENTRY)
    changes.merge(branch.id, into=third.id, on=TODAY, entry=ENTRY)
    assert db.get_one(Member, member.id).organisation_id == third.id
    stays = make_member(organisation=second)
    settle_due(LATER - timedelta(1))
    assert db.get_one(Member, stays.id).organisation_id == second.id
    settle_due(LATER)
    assert db.get_one(Member, stays.id).organisation_id == third.id
    shown = [one.id for one in asof.subtree(county.id, LATER)]
    assert shown == [county.id]


def test_a_merged_ones_children_are_the_others(db: Session) -> None:
    city, other, county, branch = tree()
    changes.merge(city.id, into=other.id, on=TODAY, entry=ENTRY)
    assert path(branch) == f"{other.path}.{county.id}.{branch.id}"
    assert [one.id for one in asof.subtree(city.id, TODAY - timedelta(1))] == [city.id, county.id, branch.id]
    assert list(asof.subtree(city.id, TODAY)) == []


def test_an_organisation_with_members_is_not_closed(db: Session) -> None:
    *_, branch = tree()
    member = make_member(organisation=branch)
    for status, refusals in (("active", ["organisation_in_use"]), ("left", [])):
        db.get_one(Member, member.id).status = status
        db.commit()
        try:
            changes.close(branch.id, on=TODAY, entry=ENTRY)
            found = []
        except ServiceError as error:
            found = [error.code]
        assert found == refusals
    assert path(branch).endswith(f".{branch.id}")


def test_one_that_awaits_others_by_a_merger_is_not_closed(db: Session) -> None:
    _, other, _, branch = tree()
    heir = make_organisation(parent=other)
    changes.merge(branch.id, into=heir.id, on=LATER, entry=ENTRY)
    refused = at_code(partial(changes.close, heir.id, on=LATER + timedelta(1), entry=ENTRY))
    assert refused == "organisation_in_use"


def at_code(rule: "partial[None]") -> str | None:
    try:
        rule()
    except ServiceError as error:
        return error.code
    return None


def test_the_worker_settles(app: APIFlask, db: Session) -> None:
    """A move that was entered yesterday for today."""
    _, other, county, branch = tree()
    today = day_of(now())
    changes.move(county.id, to=other.id, on=today, entry=Entry(today - timedelta(1)))
    assert not path(branch).startswith(other.path)
    task = next(one for one in duties(app, Board("worker")) if one.name == "tree")
    task.run(app)
    assert path(branch).startswith(other.path)


def test_two_moves_at_once_make_no_circle(app: APIFlask) -> None:
    with really_committed():
        for _ in range(5):
            province = make_organisation(level="province")
            one, other = (make_organisation(level="county", parent=province).id for _ in range(2))
            work = [
                partial(changes.move, one, to=other, on=TODAY, entry=ENTRY),
                partial(changes.move, other, to=one, on=TODAY, entry=ENTRY),
            ]
            results = at_once(app, work)
            codes = [result.code for result in results if isinstance(result, ServiceError)]
            assert codes == ["organisation_circle"]


def test_midnight_in_china(db: Session) -> None:
    assert day_of(datetime(2026, 3, 1, 15, 59, tzinfo=UTC)) == TODAY
