"""What an organiser may see and change of the tree over HTTP."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service.clock import day_of, now
from service.org.entries import Entry
from service.org.models import Organisation
from service.org.tree import changes
from tests.factories import bearer, make_organisation, make_organiser

API = "/api/v1/organisations"
TODAY = day_of(now())
YESTERDAY, TOMORROW = TODAY - timedelta(1), TODAY + timedelta(1)


class Cast(NamedTuple):
    """A province with two cities, a county in the first, a branch in that; and another province."""

    province: Organisation
    city: Organisation
    other_city: Organisation
    county: Organisation
    branch: Organisation
    abroad: Organisation


@pytest.fixture
def cast(db: Session) -> Cast:
    province = make_organisation(level="province", name="省委")
    city, other = (make_organisation(level="city", parent=province, name=name) for name in ("甲市", "乙市"))
    county = make_organisation(level="county", parent=city, name="县委")
    branch = make_organisation(parent=county, name="支部")
    return Cast(province, city, other, county, branch, make_organisation(level="province", name="外省"))


def sign_in(client: FlaskClient, organisation: Organisation) -> None:
    _, cookie = make_organiser(organisation=organisation)
    client.set_cookie("chunshui_organiser", cookie)


def change(client: FlaskClient, organisation: Organisation, **body: Any) -> tuple[int, Any]:
    answer = client.post(f"{API}/{organisation.id}/changes", json=body)
    return answer.status_code, answer.get_json()


def test_a_move_told_by_the_day(client: FlaskClient, cast: Cast) -> None:
    sign_in(client, cast.province)
    status, body = change(client, cast.county, kind="moved", to=cast.other_city.id, on=str(YESTERDAY))
    assert status == 201
    assert [(one["kind"], one["on"], one["to"]) for one in body["changes"]] == [
        ("moved", str(YESTERDAY), cast.other_city.id)
    ]
    names = {}
    for day in (YESTERDAY - timedelta(1), YESTERDAY):
        shown = client.get(f"{API}/{cast.branch.id}", query_string={"as_of": str(day)}).get_json()
        names[day] = [[one["name"] for one in way] for way in shown["lineages"]]
    assert list(names.values()) == [[["省委", "甲市", "县委", "支部"]], [["省委", "乙市", "县委", "支部"]]]
    assert change(client, cast.county, kind="moved", to=cast.other_city.id, on=str(YESTERDAY)) == (201, body)


def test_a_subtree_comes_in_pages(client: FlaskClient, cast: Cast) -> None:
    sign_in(client, cast.province)
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        query = {"limit": 2} | ({"after": after} if after else {})
        page = client.get(f"{API}/{cast.province.id}/subtree", query_string=query).get_json()
        found += [one["name"] for one in page["organisations"]]
        after = page["next"]
    assert found == ["省委", "甲市", "县委", "支部", "乙市"]
    children = client.get(f"{API}/{cast.province.id}/children").get_json()["organisations"]
    assert [one["name"] for one in children] == ["甲市", "乙市"]


def test_founding_and_what_becomes_of_it(client: FlaskClient, db: Session, cast: Cast) -> None:
    sign_in(client, cast.city)
    body = {"name": "新支部", "level": "branch", "parent": cast.county.id, "code": "510001"}
    answer = client.post(API, json=body)
    assert answer.status_code == 201
    new = db.get_one(Organisation, answer.get_json()["id"])
    assert client.post(API, json=body).get_json()["code"] == "conflict"
    assert change(client, new, kind="renamed", name="更新支部")[0] == 201
    assert change(client, new, kind="merged", to=cast.branch.id, on=str(TOMORROW))[0] == 201
    shown = client.get(f"{API}/{new.id}").get_json()
    assert (shown["name"], shown["closed_on"], shown["successor"]) == ("更新支部", str(TOMORROW), cast.branch.id)
    assert client.get(f"{API}/{new.id}", query_string={"as_of": str(TOMORROW)}).status_code == 404


def test_a_joint_body_is_seen_from_each_of_its_parents(client: FlaskClient, db: Session, cast: Cast) -> None:
    joint = make_organisation(parent=cast.county, name="联合支部", joint="service")
    changes.join(joint.id, parent=cast.abroad.id, on=TODAY, until=None, entry=Entry(TODAY))
    sign_in(client, cast.abroad)
    below = client.get(f"{API}/{cast.abroad.id}/subtree").get_json()["organisations"]
    assert [(one["name"], one["home"]) for one in below] == [("外省", True), ("联合支部", False)]
    shown = client.get(f"{API}/{joint.id}").get_json()
    assert [[one["name"] for one in way] for way in shown["lineages"]] == [["外省", "联合支部"]]
    assert change(client, joint, kind="closed")[0] == 404
    sign_in(client, cast.city)
    assert change(client, joint, kind="parted", to=cast.abroad.id)[0] == 404
    assert change(client, joint, kind="joined", to=cast.city.id, until=str(TOMORROW))[0] == 201


def test_what_lies_elsewhere_is_not_found(client: FlaskClient, cast: Cast) -> None:
    sign_in(client, cast.city)
    for stranger in (cast.province, cast.other_city, cast.abroad):
        for path in ("", "/children", "/subtree", "/changes"):
            assert client.get(f"{API}/{stranger.id}{path}").status_code == 404
        assert change(client, stranger, kind="renamed", name="某")[0] == 404
        assert change(client, cast.county, kind="moved", to=stranger.id)[0] == 404
        new = {"name": "支部", "level": "branch", "parent": stranger.id}
        assert client.post(API, json=new).status_code == 404
    assert client.get(f"{API}/{2**40}").status_code == 404


def test_ones_own_organisation_is_for_those_above(client: FlaskClient, cast: Cast) -> None:
    sign_in(client, cast.county)
    for body in ({"kind": "closed"}, {"kind": "renamed", "name": "某"}, {"kind": "moved", "to": cast.county.id}):
        assert change(client, cast.county, **body)[0] == 403
    assert change(client, cast.branch, kind="renamed", name="新名")[0] == 201


def test_members_and_strangers_are_refused(client: FlaskClient, cast: Cast) -> None:
    assert client.get(f"{API}/{cast.city.id}").status_code == 401
    assert client.get(f"{API}/{cast.city.id}", headers=bearer()).status_code == 401
    assert change(client, cast.city, kind="closed")[0] == 401


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"kind": "moved"}, 422, "validation"),
        ({"kind": "renamed"}, 422, "validation"),
        ({"kind": "blown up"}, 422, "validation"),
        ({"kind": "renamed", "name": "某", "on": str(TOMORROW)}, 422, "validation"),
        ({"kind": "closed", "on": "1066-10-14"}, 422, "validation"),
        ({"kind": "closed"}, 409, "organisation_in_use"),
    ],
)
def test_what_is_refused(client: FlaskClient, cast: Cast, body: dict[str, Any], status: int, code: str) -> None:
    sign_in(client, cast.province)
    found, answer = change(client, cast.county, **body)
    assert (found, answer["code"]) == (status, code)


def test_levels_and_circles(client: FlaskClient, cast: Cast) -> None:
    sign_in(client, cast.province)
    inner = make_organisation(level="county", parent=cast.county)
    assert change(client, cast.county, kind="moved", to=inner.id)[1]["code"] == "organisation_circle"
    assert change(client, cast.county, kind="moved", to=cast.branch.id)[1]["code"] == "organisation_level"
    assert change(client, cast.branch, kind="joined", to=cast.city.id)[1]["code"] == "conflict"


def test_the_day_is_chinas() -> None:
    assert day_of(datetime(2026, 3, 1, 16, 0, tzinfo=UTC)) == date(2026, 3, 2)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"division_code": "99"}, "division_unknown"),
        ({"code": "#1"}, "validation"),
        ({"level": "city"}, "organisation_level"),
        ({"level": "班组"}, "validation"),
        ({"joint": "friendly"}, "validation"),
        ({"on": str(TOMORROW)}, "validation"),
        ({"name": "a\u0000b"}, "validation"),
    ],
)
def test_what_cannot_be_founded(client: FlaskClient, cast: Cast, more: dict[str, Any], code: str) -> None:
    sign_in(client, cast.province)
    body = {"name": "支部", "level": "branch", "parent": cast.county.id} | more
    assert client.post(API, json=body).get_json()["code"] == code
