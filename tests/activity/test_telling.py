"""An organiser tells, and sees what became of it; a member reads, and says how to be told."""

from datetime import UTC, datetime
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service import audit
from service.clock import iso
from service.clock import now as read_clock
from service.notify.notices.models import Device
from service.notify.notices.telling import tell_due
from service.org.models import Member, WechatIdentity
from service.org.person import consents
from tests.factories import bearer, make_activity, make_member, make_organisation, make_organiser, make_place

COOKIE = "chunshui_organiser"
API = "/api/v1"


class Stage:
    """A city with two branches, its organiser, and an activity that it is invited to."""

    def __init__(self, client: Any, db: Session) -> None:
        self.client, self.db = client, db
        self.city = make_organisation(level="city")
        self.branches = [make_organisation(parent=self.city) for _ in range(2)]
        _, self.cookie = make_organiser(organisation=self.city)
        self.activity = make_activity(lead=self.city, invited=[self.city])
        self.url = f"{API}/activities/{self.activity.id}/notices"
        client.set_cookie(COOKIE, self.cookie)

    def member(self, branch: int, *, device: bool = False) -> Member:
        member = make_member(organisation=self.branches[branch])
        consents.give(member.id, "reminders", version="1", actor=audit.OPERATOR, now=read_clock())
        if device:
            row = Device(channel="apns", address=f"a{member.id}", member_id=member.id, registered_at=read_clock())
            self.db.add(row)
            self.db.commit()
        return member

    def tell(self, **fields: Any) -> Any:
        whole = {"reference": "r", "kind": "own_text", "texts": {"zh": {"text": "请带学习材料"}}} | fields
        answer = self.client.post(self.url, json=whole)
        tell_due(["apns"], read_clock())
        return answer


@pytest.fixture
def stage(client: FlaskClient, db: Session) -> Stage:
    return Stage(client, db)


def test_from_the_organiser_to_the_inbox_and_back_in_figures(stage: Stage) -> None:
    ana, _ = stage.member(0, device=True), stage.member(1)
    answer = stage.tell()
    assert (answer.status_code, answer.json["state"]) == (201, "planned")
    notice = f"{API}/notices/{answer.json['id']}"

    found = stage.client.get(f"{API}/me/notices", headers=bearer(member=ana)).json["notices"]
    assert [(one["text"], one["title"], one["read_at"]) for one in found] == [("请带学习材料", "通知", None)]
    reading = f"{API}/me/notices/{found[0]['id']}/reading"
    for _ in range(2):
        assert stage.client.post(reading, headers=bearer(member=ana)).status_code == 204

    shown = stage.client.get(notice).json
    told = {(one["channel"], one["state"]): (one["count"], one["read"]) for one in shown["counts"]}
    assert (shown["state"], told) == ("told", {("inbox", "delivered"): (2, 1), ("apns", "pending"): (1, 0)})
    nodes = stage.client.get(f"{notice}/nodes").json["nodes"]
    assert {(one["node"], one["channel"], one["count"]) for one in nodes} == {
        (stage.branches[0].id, "inbox", 1),
        (stage.branches[0].id, "apns", 1),
        (stage.branches[1].id, "inbox", 1),
    }
    of_ana = stage.client.get(f"{API}/members/{ana.id}/notices?state=pending").json["deliveries"]
    assert [(one["channel"], one["member"]) for one in of_ana] == [("apns", ana.id)]

    assert stage.client.delete(notice).status_code == 204
    assert stage.client.get(notice).json["state"] == "cancelled"
    assert stage.client.get(f"{notice}/deliveries?state=cancelled").json["deliveries"][0]["last_error"] == "called_off"


def test_a_reference_is_told_once(stage: Stage) -> None:
    stage.member(0)
    first, second = stage.tell().json, stage.tell().json
    assert first["id"] == second["id"]
    assert len(stage.client.get(stage.url).json["notices"]) == 1


def test_the_preview_says_whom_it_reaches(stage: Stage) -> None:
    stage.member(0, device=True)
    make_member(organisation=stage.branches[1])
    reach = stage.client.post(f"{stage.url}/preview", json={"kind": "announced"}).json
    assert reach["people"] == 2
    assert sum(reach["channels"].values()) + sum(reach["unreached"].values()) == 2
    below = {"kind": "announced", "below": stage.branches[0].id}
    assert stage.client.post(f"{stage.url}/preview", json=below).json["people"] == 1
    elsewhere = {"kind": "announced", "below": make_organisation().id}
    assert stage.client.post(f"{stage.url}/preview", json=elsewhere).status_code == 404


def test_a_notice_may_be_for_who_is_in_a_place(stage: Stage) -> None:
    lhasa = make_place()
    make_member(organisation=stage.branches[0], place=lhasa)
    make_member(organisation=stage.branches[0])

    def people(**narrower: Any) -> Any:
        answer = stage.client.post(f"{stage.url}/preview", json={"kind": "announced", **narrower})
        return answer.json.get("people", answer.json.get("code"))

    assert [people(place=code) for code in ("54", lhasa.code, None)] == [1, 1, 2]
    assert people(place="54", below=stage.branches[1].id) == 0
    assert people(place="99") == "division_unknown"


def test_who_has_read_nothing_of_it_can_be_told_again(stage: Stage) -> None:
    ana, ben = stage.member(0), stage.member(1)
    again = {"kind": "own_text", "to": "unread"}
    assert stage.client.post(f"{stage.url}/preview", json=again).json["people"] == 0, "nobody was told anything"
    stage.tell()
    stage.tell(reference="r2")
    [_, first] = stage.client.get(f"{API}/me/notices", headers=bearer(member=ana)).json["notices"]
    stage.client.post(f"{API}/me/notices/{first['id']}/reading", headers=bearer(member=ana))
    assert stage.client.post(f"{stage.url}/preview", json=again).json["people"] == 1
    stage.tell(reference="r3", to="unread")
    heard = [
        len(stage.client.get(f"{API}/me/notices", headers=bearer(member=one)).json["notices"]) for one in (ana, ben)
    ]
    assert heard == [2, 3]


def test_nobody_is_missing_where_nobody_is_expected_nor_when_it_is_over(stage: Stage) -> None:
    stage.member(0)
    missing = {"kind": "missing", "to": "missing"}
    assert stage.client.post(f"{stage.url}/preview", json=missing).json["people"] == 0, "no roster is frozen yet"
    answer = stage.tell(texts={}, **missing)
    assert answer.status_code == 201
    assert answer.json["expires_at"] == iso(stage.activity.sittings[0].ends_at)
    stage.activity.sittings[0].ends_at = read_clock()
    stage.db.commit()
    assert stage.tell(texts={}, reference="r2", **missing).status_code == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "missing", "texts": {}},
        {"to": "nobody"},
        {"texts": {}},
        {"kind": "announced"},
        {"kind": "started", "texts": {}},
        {"texts": {"xx": {"text": "x"}}},
    ],
)
def test_what_says_nothing_is_refused(stage: Stage, wrong: dict[str, Any]) -> None:
    assert stage.tell(**wrong).status_code == 422


def test_only_what_was_given_up_is_sent_again_and_only_while_it_is_news(stage: Stage) -> None:
    from tests.factories import make_notice

    member = stage.member(0)
    notice, dead, lies = make_notice(stage.activity, member, path=stage.city.path)
    url = f"{API}/notices/{notice.id}/deliveries"
    assert stage.client.get(f"{url}?state=dead").json["deliveries"][0]["last_error"] == "410"
    assert stage.client.post(f"{url}/{dead.id}/retry").json["state"] == "pending"
    for again in (dead, lies):
        assert stage.client.post(f"{url}/{again.id}/retry").status_code == 409
    old = datetime(2026, 1, 1, tzinfo=UTC)
    over, late, _ = make_notice(stage.activity, member, path=stage.city.path, now=old)
    assert stage.client.post(f"{API}/notices/{over.id}/deliveries/{late.id}/retry").status_code == 409


def test_a_member_says_how_to_be_told(stage: Stage) -> None:
    headers, url = bearer(member=stage.member(0)), f"{API}/me/notice-preferences"
    nothing = {"language": None, "timezone": "Asia/Shanghai", "quiet_from": None, "quiet_until": None, "channels": None}
    assert stage.client.get(url, headers=headers).json == nothing
    wanted = nothing | {"language": "en", "quiet_from": "22:30", "quiet_until": "06:00", "channels": ["jpush", "apns"]}
    assert stage.client.put(url, json=wanted, headers=headers).json == wanted
    assert stage.client.get(url, headers=headers).json == wanted
    for wrong in (
        {"timezone": "Asia/Nowhere"},
        {"quiet_until": None},
        {"quiet_from": "24:00"},
        {"channels": ["smoke"]},
    ):
        assert stage.client.put(url, json=wanted | wrong, headers=headers).status_code == 422


def test_a_device_belongs_to_who_registered_it_last(stage: Stage, db: Session) -> None:
    ana, ben = stage.member(0), stage.member(0)
    body = {"channel": "jpush", "address": "one phone"}
    for member in (ana, ben, ben):
        assert stage.client.put(f"{API}/me/devices", json=body, headers=bearer(member=member)).status_code == 204
    assert [one.member_id for one in db.query(Device)] == [ben.id]
    stage.client.delete(f"{API}/me/devices/jpush", headers=bearer(member=ana))
    assert db.query(Device).count() == 1
    stage.client.delete(f"{API}/me/devices/jpush", headers=bearer(member=ben))
    assert db.query(Device).count() == 0


def test_who_has_no_mini_program_has_no_credits_there(stage: Stage, db: Session, app: APIFlask) -> None:
    member = stage.member(0)
    body = {"reference": "r", "choices": {"template": "accept"}}
    url, headers = f"{API}/me/subscriptions", bearer(member=member)
    assert stage.client.post(url, json=body, headers=headers).status_code == 409
    db.add(WechatIdentity(appid=app.config["CHUNSHUI"].wechat_appid, openid="o-x", member_id=member.id))
    db.commit()
    assert stage.client.post(url, json=body, headers=headers).status_code == 204


def test_who_is_erased_is_told_nothing_more(stage: Stage, db: Session) -> None:
    from service.holdings import held
    from service.org.person import rights

    member = stage.member(0, device=True)
    stage.tell()
    assert len(held(member.id)["notice_deliveries"]) == 2
    rights.erase(member.id, actor=audit.OPERATOR, now=read_clock())
    kept = held(member.id)
    names = ("notice_deliveries", "devices", "notice_preferences", "wechat_credits")
    assert [kept[name] for name in names] == [[], [], [], []]
