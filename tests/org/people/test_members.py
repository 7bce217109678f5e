"""Members as their organisers see them, their offices, and the certificates that they show."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from apiflask import APIFlask
from click.testing import CliRunner
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.org import roster
from service.org.access import COOKIE
from service.org.models import Denial, Member
from service.org.people import certificates, offices
from service.org.people.commands import verify
from tests.factories import bearer, make_member, make_organisation, make_organiser, make_token

NOW = datetime(2026, 9, 1, 4, tzinfo=UTC)
SECRET, OTHER = "s" * 32, "o" * 32
PHONE = "13800000001"
CLAIMS = {"iss": "chunshui", "sub": "1", "iat": int(NOW.timestamp()), "exp": int(NOW.timestamp()) + 600}
TOKEN = jwt.encode(
    CLAIMS, certificates.signing_key(SECRET), algorithm="EdDSA", headers={"kid": certificates.public_key(SECRET)["kid"]}
)


@pytest.fixture
def member(db: Session) -> Member:
    return make_member(organisation=make_organisation(parent=make_organisation(level="city")))


@pytest.fixture
def organised(client: FlaskClient, member: Member) -> FlaskClient:
    """A client whose organiser covers the member."""
    _, cookie = make_organiser(organisation=member.organisation)
    client.set_cookie(COOKIE, cookie)
    return client


def test_an_organiser_sees_tails_only(organised: FlaskClient, member: Member) -> None:
    path = f"/api/v1/members/{member.id}"
    edited = organised.patch(path, json={"phone": PHONE, "identity": "11010519491231002x"})
    assert edited.status_code == 200
    shown = organised.get(path)
    assert shown.get_json()["tails"] == {"phone": "0001", "identity": "002X"}
    assert PHONE not in shown.text + edited.text
    assert organised.patch(path, json={"phone": None}).get_json()["tails"]["phone"] is None


def test_a_wrong_or_foreign_number_is_refused_by_name(organised: FlaskClient, member: Member) -> None:
    path = f"/api/v1/members/{member.id}"
    wrong = organised.patch(path, json={"identity": "110105194912310021"})
    assert (wrong.status_code, list(wrong.get_json()["errors"])) == (422, ["identity"])
    other = make_member(organisation=member.organisation)
    assert organised.patch(f"/api/v1/members/{other.id}", json={"phone": PHONE}).status_code == 200
    assert organised.patch(path, json={"phone": PHONE}).get_json()["code"] == "number_taken"


@pytest.mark.parametrize("method", ["get", "patch"])
def test_members_elsewhere_are_as_if_there_were_none(client: FlaskClient, member: Member, method: str) -> None:
    _, cookie = make_organiser()
    client.set_cookie(COOKIE, cookie)
    answers = [
        client.open(f"/api/v1/members/{number}", method=method, json={"name": "x"}) for number in (member.id, 2**62)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json == answers[1].json


def test_who_has_left_is_logged_out(organised: FlaskClient, member: Member, db: Session) -> None:
    make_token(member=member)
    assert organised.patch(f"/api/v1/members/{member.id}", json={"status": "left"}).get_json()["status"] == "left"
    assert db.query(Denial).filter_by(member_id=member.id).count() == 1


def test_offices_have_days(organised: FlaskClient, member: Member) -> None:
    path = f"/api/v1/members/{member.id}/offices"
    body = {"organisation_id": member.organisation_id, "title": "支部书记", "starts_on": "2024-01-01"}
    first = organised.post(path, json=body)
    assert (first.status_code, organised.post(path, json=body).get_json()) == (201, first.get_json())
    assert organised.patch(f"{path}/{first.get_json()['id']}", json={"ends_on": "2024-01-01"}).status_code == 422
    assert organised.patch(f"{path}/{first.get_json()['id']}", json={"ends_on": "2025-01-01"}).status_code == 200
    held = {
        day: len(organised.get(f"{path}?on={day}").get_json()["offices"])
        for day in ("2023-12-31", "2024-12-31", "2025-01-01")
    }
    assert list(held.values()) == [0, 1, 0]
    elsewhere = body | {"organisation_id": make_organisation().id}
    assert organised.post(path, json=elsewhere).status_code == 404
    assert organised.patch(f"{path}/{2**62}", json={"ends_on": "2025-01-01"}).status_code == 404
    assert len(offices.of_member(member.id, date(2024, 6, 1))) == 1


def issued(member: Member, *, secret: str = SECRET, now: datetime = NOW) -> str:
    facts = roster.member_facts(member.id)
    assert facts is not None
    return certificates.issue(facts, member.name, secret=secret, seconds=600, now=now).token


def test_a_certificate_is_verified_with_the_public_key_alone(client: FlaskClient, member: Member) -> None:
    made = client.post("/api/v1/me/certificate", headers=bearer(member=member))
    keys = client.get("/api/v1/certificates/keys").get_json()["keys"]
    claims = certificates.verify(made.get_json()["token"], keys, datetime.now(UTC))
    assert (claims["sub"], claims["home"]["name"]) == (str(member.id), member.organisation.name)
    assert made.get_json()["qr"].startswith("<svg")
    assert "d" not in keys[0]


def test_a_certificate_ends(member: Member) -> None:
    token, keys = issued(member), [certificates.public_key(SECRET)]
    assert certificates.verify(token, keys, NOW + timedelta(minutes=10, seconds=59))
    for late in (timedelta(minutes=11), timedelta(minutes=-2)):
        with pytest.raises(ServiceError, match="certificate_invalid"):
            certificates.verify(token, keys, NOW + late)


def test_another_keys_certificate_is_refused_even_under_our_name(member: Member) -> None:
    ours, theirs = certificates.public_key(SECRET), certificates.public_key(OTHER)
    forged = issued(member, secret=OTHER)
    for keys in ([ours], [ours | {"kid": theirs["kid"]}], []):
        with pytest.raises(ServiceError, match="certificate_invalid"):
            certificates.verify(forged, keys, NOW)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_changed_certificate_is_refused(data: st.DataObject) -> None:
    token = TOKEN
    place = data.draw(st.integers(0, len(token) - 3).filter(lambda place: token[place] != "."))
    changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    with pytest.raises(ServiceError, match="certificate_invalid"):
        certificates.verify(changed, [certificates.public_key(SECRET)], NOW)


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "." * 9, "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_certificate_is_refused(token: str) -> None:
    with pytest.raises(ServiceError, match="certificate_invalid"):
        certificates.verify(token, [certificates.public_key(SECRET)], NOW)


def test_who_has_left_gets_none(app: APIFlask, client: FlaskClient, member: Member, db: Session) -> None:
    headers = bearer(member=member)
    member.status = "left"
    db.commit()
    assert client.post("/api/v1/me/certificate", headers=headers).status_code == 403


def test_the_command_verifies_without_an_installation(tmp_path: Path, member: Member) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [certificates.public_key(SECRET)]}))
    fresh = issued(member, now=datetime.now(UTC))
    said = CliRunner().invoke(verify, [fresh, "--keys", str(file)])
    assert (said.exit_code, json.loads(said.output)["sub"]) == (0, str(member.id))
    assert CliRunner().invoke(verify, [issued(member), "--keys", str(file)]).exit_code == 1
    file.write_text("[]")
    assert CliRunner().invoke(verify, [fresh, "--keys", str(file)]).exit_code == 1
