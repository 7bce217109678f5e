"""Codes on site: what a wall shows, what it proves and for how long, and every way to cheat with one."""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from service.activity.models import Activity, Sitting
from service.checkin import annulling
from service.checkin.attendance import terms
from service.checkin.models import CheckIn, Refusal
from service.checkin.onsite import gates
from service.checkin.onsite.codes import BODY, MAC_BYTES, proof_of, read, show
from service.checkin.onsite.gates import Paired
from service.clock import iso
from service.clock import now as read_clock
from service.errors import ServiceError
from service.org.organisers import Organiser
from tests.checkin.people import NOW, City, come, make_day
from tests.factories import bearer, make_activity, make_organiser

SECOND = timedelta(seconds=1)
# NOW is the first second of a slot.
assert NOW.timestamp() % 15 == 0


@pytest.fixture
def day(city: City) -> Activity:
    return make_day(city)


@pytest.fixture
def lead(city: City) -> Organiser:
    return make_organiser(organisation=city.city)[0]


def paired(lead: Organiser, day: Activity, now: datetime = NOW) -> Paired:
    return gates.pair(gates.register(lead, day.id, "门口", now)[1], now)


def wall(gate: Paired, day: Activity, at: datetime = NOW) -> str:
    """What the gate's wall shows."""
    return show(gate.key, gate=gate.gate.id, sitting=day.sittings[0].id, now=at)


def scan(day: Activity, code: str, *members: Any, now: datetime = NOW, **more: Any) -> list[str]:
    return come(day, *members, now=now, method="onsite_qr", code=code, **more)


def test_a_code_checks_in_whoever_scans_it_where_it_is_shown(
    db: Session, city: City, day: Activity, lead: Organiser
) -> None:
    gate = paired(lead, day)
    assert scan(day, wall(gate, day), city.ana, city.ben) == ["accepted"] * 2
    assert scan(day, wall(gate, day, NOW + 60 * SECOND), city.ana, now=NOW + 60 * SECOND) == ["repeat"]
    rows = db.query(CheckIn).all()
    assert {(row.method, row.gate_id) for row in rows} == {("onsite_qr", gate.gate.id)}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-11, "gate_code_expired"), (-10, "accepted"), (14, "accepted"), (24, "accepted"), (25, "gate_code_expired"),
     (3600 * 24 * 365, "gate_code_expired")],
)  # fmt: skip
def test_a_picture_of_a_code_is_worth_nothing_after_its_window(
    db: Session, city: City, day: Activity, lead: Organiser, seconds: int, expected: str
) -> None:
    shown = wall(paired(lead, day), day)
    assert scan(day, shown, city.ana, now=NOW + seconds * SECOND) == [expected]
    if expected != "accepted":
        assert [row.code for row in db.query(Refusal)] == [expected]


def test_saying_that_it_was_read_in_time_does_not_help(city: City, day: Activity, lead: Organiser) -> None:
    late = {"now": NOW + 30 * SECOND, "happened_at": NOW}
    assert scan(day, wall(paired(lead, day), day), city.ana, **late) == ["gate_code_expired"]


def forged(change: Callable[[bytearray], Any]) -> Callable[[str], str]:
    def tamper(code: str) -> str:
        raw = bytearray(base64.urlsafe_b64decode(code))
        change(raw)
        return base64.urlsafe_b64encode(raw).decode()

    return tamper


def shift_slot(raw: bytearray) -> None:
    """To the next slot, under the old MAC."""
    version, gate, sitting, slot, nonce = BODY.unpack(raw[: BODY.size])
    raw[: BODY.size] = BODY.pack(version, gate, sitting, slot + 1, nonce)


def cut(raw: bytearray) -> None:
    del raw[-8:]


FORGERIES: dict[str, Callable[[str], str]] = {
    "slot shifted": forged(shift_slot),
    "mac cut": forged(cut),
    "mac gone": forged(lambda raw: raw.__delitem__(slice(-MAC_BYTES, None))),
    "mac zero": forged(lambda raw: raw.__setitem__(slice(-MAC_BYTES, None), bytes(MAC_BYTES))),
    "longer": forged(lambda raw: raw.extend(b"x")),
    "another version": forged(lambda raw: raw.__setitem__(0, 2)),
    "another gate": forged(lambda raw: raw.__setitem__(8, raw[8] ^ 1)),
    "a gate beyond any": forged(lambda raw: raw.__setitem__(slice(1, 9), b"\xff" * 8)),
    "nothing": lambda _: "",
    "no base64": lambda code: code[:-1] + "!",
    "nul": lambda code: code[:-1] + "\0",
    "half a pair": lambda code: code[:-1] + "\ud800",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_code_is_refused_and_recorded_and_the_others_are_written(
    db: Session, city: City, day: Activity, lead: Organiser, forgery: str
) -> None:
    good = wall(paired(lead, day), day)
    assert scan(day, FORGERIES[forgery](good), city.ana) == ["gate_code_unknown"]
    assert scan(day, good, city.ben) == ["accepted"]
    assert [(row.member_id, row.code) for row in db.query(Refusal)] == [(city.ana.id, "gate_code_unknown")]


@given(st.text(max_size=100) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_whatever_is_read_as_a_code_is_a_claim_or_none(text: str) -> None:
    claim = read(text)
    assert claim is None or not claim.holds_for(b"some key")


def test_a_code_counts_for_its_own_activity_and_sitting_only(
    db: Session, city: City, day: Activity, lead: Organiser
) -> None:
    gate, other = paired(lead, day), make_day(city)
    assert scan(other, wall(gate, day), city.ana) == ["gate_code_elsewhere"]
    assert scan(day, wall(gate, other), city.ana) == ["gate_code_elsewhere"]
    begin, end = NOW - 60 * SECOND, NOW + 60 * SECOND
    times = {"starts_at": begin, "ends_at": end, "checkin_opens_at": begin, "checkin_closes_at": end}
    second = Sitting(activity_id=day.id, **times)
    db.add(second)
    db.commit()
    assert scan(day, wall(gate, day), city.ana, sitting=second.id) == ["gate_code_elsewhere"]
    code = show(gate.key, gate=gate.gate.id, sitting=second.id, now=NOW)
    assert scan(day, code, city.ana, reference="the-second-one") == ["accepted"]
    assert db.query(CheckIn).one().sitting_id == second.id


def test_a_code_serves_a_member_once(db: Session, city: City, day: Activity, lead: Organiser) -> None:
    shown = wall(paired(lead, day), day)
    assert scan(day, shown, city.ana) == ["accepted"]
    annulling.undo(day.id, city.ana.id, f"phone-of-{city.ana.id}", NOW)
    assert scan(day, shown, city.ana, reference="once-more") == ["gate_code_replayed"]
    assert scan(day, shown, city.ben) == ["accepted"]


def test_pairing_again_rolls_the_key_and_revoking_ends_it(city: City, day: Activity, lead: Organiser) -> None:
    first = paired(lead, day)
    _, code = gates.pair_anew(lead, day.id, first.gate.id, NOW)
    assert scan(day, wall(first, day), city.ana) == ["accepted"]
    second = gates.pair(code, NOW)
    assert scan(day, wall(first, day), city.ben) == ["gate_code_unknown"]
    assert scan(day, wall(second, day), city.ben, reference="reference-2") == ["accepted"]
    for _ in range(2):
        gates.revoke(lead, day.id, first.gate.id, NOW)
    assert scan(day, wall(second, day), city.cleo) == ["gate_code_unknown"]


def test_who_is_not_invited_is_told_nothing_of_a_code(city: City, day: Activity, lead: Organiser) -> None:
    gate = paired(lead, day)
    assert scan(day, "nonsense", city.dan) == ["not_invited"]
    assert scan(day, wall(gate, day), city.dan, reference="reference-2") == ["not_invited"]


def test_the_whole_way_over_http(client: Any, db: Session, city: City) -> None:
    day = make_activity(lead=city.city, invited=[city.city])
    client.set_cookie("chunshui_organiser", make_organiser(organisation=city.city)[1])
    registered = client.post(f"/api/v1/activities/{day.id}/gates", json={"name": "门口"}).json
    pairing = client.post("/api/v1/gates/pairing", json={"code": registered["code"]})
    again = client.post("/api/v1/gates/pairing", json={"code": registered["code"]})
    assert (pairing.status_code, again.status_code, again.json["code"]) == (200, 403, "pairing_invalid")
    assert pairing.json["sittings"] == [day.sittings[0].id]
    key = base64.urlsafe_b64decode(pairing.json["key"])
    code = show(key, gate=pairing.json["gate"], sitting=day.sittings[0].id, now=read_clock())
    body = {"reference": "reference-1", "code": code}
    answer = client.post(f"/api/v1/activities/{day.id}/check-ins", json=body, headers=bearer(member=city.ana))
    assert (answer.status_code, answer.json["method"]) == (201, "onsite_qr")
    wrong = client.post(
        f"/api/v1/activities/{day.id}/check-ins", json=body | {"code": "x"}, headers=bearer(member=city.ben)
    )
    assert (wrong.status_code, wrong.json["code"]) == (403, "gate_code_unknown")
    [listed] = client.get(f"/api/v1/activities/{day.id}/gates").json["gates"]
    assert "code" not in listed


def asked(client: Any, gate: Paired, proof: bytes) -> Any:
    body = {"gate": gate.gate.id, "proof": base64.urlsafe_b64encode(proof).decode()}
    return client.post("/api/v1/gates/state", json=body)


def test_a_paired_device_is_told_what_its_page_shows_and_the_clock(client: Any, db: Session, city: City) -> None:
    day, lead = make_activity(lead=city.city, invited=[city.city]), make_organiser(organisation=city.city)[0]
    terms.agree(day.id, lead, {"late_minutes": 10})
    gate = paired(lead, day, read_clock())
    told = asked(client, gate, proof_of(gate.key)).json
    sitting = day.sittings[0]
    assert told["address"] == f"http://localhost/m/?activity={day.id}"
    assert (told["name"], told["theme"], told["slot_seconds"]) == ("门口", day.theme, 15)
    closes = iso(sitting.checkin_closes_at + timedelta(minutes=10))
    assert told["sittings"] == [{"id": sitting.id, "opens_at": iso(sitting.checkin_opens_at), "closes_at": closes}]
    assert abs(datetime.fromisoformat(told["now"]) - read_clock()) < timedelta(minutes=1)


def test_only_the_device_that_has_the_key_is_told(
    client: Any, db: Session, city: City, day: Activity, lead: Organiser
) -> None:
    gate = paired(lead, day, read_clock())
    good, code = proof_of(gate.key), base64.urlsafe_b64decode(wall(gate, day))
    # What everybody sees on the wall proves nothing here.
    wrong = [bytes(32), good[:-1] + bytes([good[-1] ^ 1]), code[-16:] * 2]
    assert [asked(client, gate, one).json["code"] for one in wrong] == ["gate_unpaired"] * 3
    assert asked(client, gate, good).status_code == 200
    gates.pair(gates.pair_anew(lead, day.id, gate.gate.id, read_clock())[1], read_clock())
    assert asked(client, gate, good).json["code"] == "gate_unpaired"
    other = paired(lead, day, read_clock())
    gates.revoke(lead, day.id, other.gate.id, read_clock())
    assert asked(client, other, proof_of(other.key)).json["code"] == "gate_unpaired"


def test_a_pairing_code_ends_after_ten_minutes(day: Activity, lead: Organiser) -> None:
    _, code = gates.register(lead, day.id, "门口", NOW)
    with pytest.raises(ServiceError, match="pairing_invalid"):
        gates.pair(code, NOW + gates.PAIRING)
    assert gates.pair(code.lower().replace("-", " "), NOW + gates.PAIRING - SECOND).gate.generation == 1
