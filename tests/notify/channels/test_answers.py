"""Every documented error code of every channel, and what follows from it."""

from datetime import UTC, datetime

import pytest

from service.notify.channels import apns, fcm, jpush, sms
from service.notify.channels.sends import Outcome
from service.notify.channels.wechat import answers
from service.notify.channels.wechat.answers import SUBSCRIBE, TEMPLATE, judge


def told(outcome: Outcome) -> str:
    """An outcome in a word, as the tables below have it."""
    more = f" {outcome.stops}" if outcome.stops else " spent" if outcome.spent else ""
    return outcome.kind + more + (f" {outcome.after:g}" if outcome.kind == "retry" and outcome.after else "")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, "done"),
        (43101, "permanent spent"),
        (43107, "alarm template"),
        (43108, "retry 1"),
        (47003, "permanent"),
        (45168, "permanent"),
        (40003, "permanent"),
        (40037, "permanent"),
        (41030, "permanent"),
        (45009, "retry 3600"),
        (45011, "retry 60"),
        (-1, "retry"),
        (40001, "alarm channel"),
        (40014, "alarm channel"),
        (42001, "alarm channel"),
        (40013, "alarm channel"),
        (40125, "alarm channel"),
        (40164, "alarm channel"),
        (40243, "alarm channel"),
        (41001, "alarm channel"),
        (45109, "alarm channel"),
        (99999, "retry 60"),
    ],
)
@pytest.mark.parametrize("table", [SUBSCRIBE, TEMPLATE])
def test_wechat_errcodes(code: int, expected: str, table: dict[int, Outcome]) -> None:
    for shown in (code, str(code)):
        outcome = judge({"errcode": shown, "errmsg": "… rid: 1"}, table)
        assert told(outcome) == expected
        assert outcome.code == (str(code) if code else "ok")


@pytest.mark.parametrize(
    ("code", "expected"),
    [(40249, "alarm template"), (43116, "alarm template"), (43117, "retry 3600"), (43004, "drop_address")],
)
def test_errcodes_of_the_official_account(code: int, expected: str) -> None:
    assert told(judge({"errcode": code}, TEMPLATE)) == expected


def test_what_a_success_says() -> None:
    assert judge({}).kind == "done"
    assert judge({"errcode": 0, "msgid": 294402298110051942}).receipt == "294402298110051942"
    assert judge({"errcode": "nonsense"}).kind == "retry"


def test_wrong_data_name_their_field() -> None:
    errmsg = "argument invalid! data.thing1.value is empty rid: 5f"
    assert judge({"errcode": 47003, "errmsg": errmsg}).field == "thing1"
    assert judge({"errcode": 47003}).field is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("success", "done"),
        ("failed:user block", "drop_address"),
        ("failed: user block", "drop_address"),
        ("failed:freq limit", "retry 3600"),
        ("failed: system failed", "retry"),
        ("failed:system failed", "retry"),
        ("weather", "permanent"),
    ],
)
def test_the_end_of_a_template_message(status: str, expected: str) -> None:
    assert told(answers.finished(status)) == expected


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (200, "", "done"),
        (410, "Unregistered", "drop_address"),
        (410, "ExpiredToken", "drop_address"),
        (400, "BadDeviceToken", "drop_address"),
        (400, "DeviceTokenNotForTopic", "drop_address"),
        (403, "ExpiredProviderToken", "alarm channel"),
        (403, "InvalidProviderToken", "alarm channel"),
        (403, "MissingProviderToken", "alarm channel"),
        (403, "Forbidden", "alarm channel"),
        (403, "BadEnvironmentKeyIdInToken", "alarm channel"),
        (403, "BadEnvironmentKeyInToken", "alarm channel"),
        (403, "UnrelatedKeyIdInToken", "alarm channel"),
        (400, "TopicDisallowed", "alarm channel"),
        (429, "TooManyProviderTokenUpdates", "retry 1200"),
        (429, "TooManyRequests", "retry 60"),
        (413, "PayloadTooLarge", "permanent"),
        (400, "BadCollapseId", "permanent"),
        (404, "BadPath", "permanent"),
        (500, "InternalServerError", "retry 900"),
        (503, "ServiceUnavailable", "retry 900"),
        (503, "Shutdown", "retry 900"),
        (502, "", "retry 900"),
    ],
)
def test_apns_reasons(status: int, reason: str, expected: str) -> None:
    assert told(apns.judge(status, reason)) == expected


def test_apns_says_since_when_a_device_is_gone() -> None:
    moment = datetime(2023, 9, 20, 1, 30, tzinfo=UTC)
    assert apns.judge(410, "Unregistered", int(moment.timestamp() * 1000)).since == moment
    assert [apns.judge(410, "Unregistered", odd).since for odd in (None, "x", -1, 10**30)] == [None] * 4


def test_a_burst_of_wrong_devices_blames_ourselves() -> None:
    wrong, good = apns.judge(400, "BadDeviceToken"), apns.judge(200, "")
    gone = apns.judge(410, "Unregistered")
    assert {one.kind for one in apns.suspect([wrong] * 20 + [good] * 19)} == {"alarm", "done"}
    assert {one.kind for one in apns.suspect([wrong] * 20 + [good] * 20)} == {"drop_address", "done"}
    assert {one.kind for one in apns.suspect([wrong] * 19)} == {"drop_address"}
    assert {one.kind for one in apns.suspect([gone] * 100)} == {"drop_address"}


def refusal(code: str, *fields: str, status: str = "INVALID_ARGUMENT") -> dict[str, object]:
    """An error of FCM, with its own details and those of Google's about `fields`."""
    details: list[dict[str, object]] = []
    if code:
        details.append({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
    if fields:
        violations = [{"field": one, "description": "x"} for one in fields]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    return {"error": {"code": 0, "status": status, "details": details}}


@pytest.mark.parametrize(
    ("status", "answer", "after", "expected"),
    [
        (200, {"name": "projects/p/messages/1"}, 0, "done"),
        (200, {}, 0, "retry"),
        (404, refusal("UNREGISTERED"), 0, "drop_address"),
        (404, {}, 0, "permanent"),
        (400, refusal("INVALID_ARGUMENT"), 0, "drop_address"),
        (400, refusal("INVALID_ARGUMENT", "message.token"), 0, "drop_address"),
        (400, refusal("INVALID_ARGUMENT", "message.data[0].value"), 0, "permanent"),
        (400, refusal("INVALID_ARGUMENT", "message.token", "message.android.ttl"), 0, "permanent"),
        (400, refusal("", "message.android.ttl"), 0, "permanent"),
        (400, refusal(""), 0, "permanent"),
        (403, refusal("SENDER_ID_MISMATCH"), 0, "drop_address"),
        (403, refusal("", status="PERMISSION_DENIED"), 0, "alarm channel"),
        (401, refusal("THIRD_PARTY_AUTH_ERROR"), 0, "alarm channel"),
        (401, refusal("", status="UNAUTHENTICATED"), 0, "alarm channel"),
        (429, refusal("QUOTA_EXCEEDED"), 0, "retry 60"),
        (429, refusal("QUOTA_EXCEEDED"), 7, "retry 7"),
        (503, refusal("UNAVAILABLE"), 0, "retry"),
        (503, refusal("UNAVAILABLE"), 9, "retry 9"),
        (500, refusal("INTERNAL"), 0, "retry"),
        (500, {"error": "nonsense"}, 0, "retry"),
        (400, {"error": {"details": "nonsense"}}, 0, "permanent"),
    ],
)
def test_fcm_errors(status: int, answer: dict[str, object], after: float, expected: str) -> None:
    assert told(fcm.judge(status, answer, after)) == expected


@pytest.mark.parametrize(
    ("code", "one", "many"),
    [
        (1000, "retry", "retry"),
        (1030, "retry", "retry"),
        (2002, "retry 60", "retry 60"),
        (1003, "drop_address", "permanent"),
        (1011, "drop_address", "permanent"),
        (1004, "alarm channel", "alarm channel"),
        (1008, "alarm channel", "alarm channel"),
        (1009, "alarm channel", "alarm channel"),
        (1005, "permanent", "permanent"),
        (2003, "alarm channel", "alarm channel"),
        (2007, "alarm channel", "alarm channel"),
        (1234, "permanent", "permanent"),
    ],
)
def test_jpush_errors(code: int, one: str, many: str) -> None:
    answer = {"error": {"code": code, "message": "x"}}
    assert told(jpush.judge(400, answer, single=True)) == one
    assert told(jpush.judge(400, answer, single=False)) == many


def test_jpush_otherwise() -> None:
    assert jpush.judge(200, {"sendno": "0", "msg_id": "18100287"}, single=True).receipt == "18100287"
    assert jpush.judge(200, {}, single=True).kind == "retry"
    assert told(jpush.judge(429, {"error": {"code": 2002}}, single=True, reset="17")) == "retry 17"
    assert told(jpush.judge(401, {}, single=True)) == "alarm channel"
    assert told(jpush.judge(503, {}, single=True)) == "retry"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, "done"),
        (404, "drop_address"),
        (410, "drop_address"),
        (400, "permanent"),
        (422, "permanent"),
        (401, "alarm channel"),
        (302, "alarm channel"),
        (429, "retry 5"),
        (503, "retry 5"),
    ],
)
def test_answers_of_a_gateway_of_text_messages(status: int, expected: str) -> None:
    assert told(sms.judge(status, "id-1", 5 if expected.startswith("retry") else 0)) == expected
