"""Webhooks in the whole application: from an organiser's registration to what a check-in would send."""

from typing import Any

from sqlalchemy.orm import Session

from service.clock import now as read_clock
from service.notify import deliveries, outbox
from service.notify.models import Endpoint
from tests.factories import PASSWORD, bearer, make_activity, make_member, make_organisation, make_organiser

ENDPOINTS = "/api/v1/endpoints"


def sign_in(app: Any, login: str) -> Any:
    """A client that holds an organiser's cookie."""
    client = app.test_client()
    answer = client.post("/api/v1/organisers/sessions", json={"login": login, "password": PASSWORD})
    assert answer.status_code == 201
    return client


def test_a_check_in_reaches_the_organisers_above_and_nobody_else(app: Any, db: Session) -> None:
    city, elsewhere = make_organisation(level="city"), make_organisation(level="city")
    for login, organisation in (("chengdu", city), ("lhasa", elsewhere)):
        make_organiser(organisation=organisation, login=login)
    chengdu, lhasa = sign_in(app, "chengdu"), sign_in(app, "lhasa")
    body = {"url": "https://example.org/hook", "topics": ["checkin.created"]}
    made = chengdu.post(ENDPOINTS, json=body).json
    theirs = lhasa.post(ENDPOINTS, json=body).json

    member = make_member(organisation=make_organisation(parent=city), name="张三")
    activity = make_activity(lead=city)
    path = f"/api/v1/activities/{activity.id}/check-ins"
    answer = app.test_client().post(path, json={"reference": "reference-1"}, headers=bearer(member=member))
    assert answer.status_code == 201

    now = read_clock()
    outbox.fan_out(now)
    [delivery] = chengdu.get(f"{ENDPOINTS}/{made['id']}/deliveries").json["deliveries"]
    assert (delivery["topic"], delivery["state"]) == ("checkin.created", "pending")
    assert lhasa.get(f"{ENDPOINTS}/{theirs['id']}/deliveries").json["deliveries"] == []
    assert lhasa.get(f"{ENDPOINTS}/{made['id']}/deliveries").status_code == 404

    [claim] = deliveries.claim({made["id"]: 1}, now=now, lease_seconds=30)
    assert claim.subject_member == member.id
    # Nothing else than these leaves; a new field is a decision to be taken here.
    assert claim.payload.keys() == {
        "activity", "sitting", "method", "rehearsal", "happened_at", "received_at"
    }  # fmt: skip


def test_a_member_is_no_organiser(client: Any, db: Session) -> None:
    answer = client.post(ENDPOINTS, json={"url": "https://example.org/", "topics": []}, headers=bearer())
    assert (answer.status_code, answer.json["code"]) == (401, "token_invalid")
    assert db.query(Endpoint).count() == 0
