"""The REST door of paper lists: what it takes, what it answers, and whose forms it does not."""

import io
from typing import Any

import pytest
from sqlalchemy.orm import Session
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from service.activity.models import Activity
from service.checkin.models import CheckIn
from service.checkin.paper import views
from tests.checkin.people import City
from tests.factories import make_organiser

COOKIE = "chunshui_organiser"


@pytest.fixture
def desk(client: Any, city: City) -> Any:
    client.set_cookie(COOKIE, make_organiser(organisation=city.east, role="branch_secretary", login="desk")[1])
    return client


def send(client: Any, day: Activity, text: str | bytes, headers: Any = None, **form: Any) -> Any:
    raw = text.encode() if isinstance(text, str) else text
    boundary, body = encode_multipart({"file": FileStorage(io.BytesIO(raw), filename="名单.csv"), **form})
    kind = f'multipart/form-data; boundary="{boundary}"'
    path = f"/api/v1/activities/{day.id}/paper-lists"
    return client.post(path, data=body, content_type=kind, headers=headers)


def lines(*members: Any) -> str:
    return "\n".join(["党员编号,姓名", *(f"{one.id},{one.name}" for one in members)])


def test_a_list_over_http(desk: Any, db: Session, city: City, day: Activity) -> None:
    dry = send(desk, day, lines(city.ana, city.cleo), dry_run="true").json
    assert (dry["written"], db.query(CheckIn).count()) == (False, 0)
    done = send(desk, day, lines(city.ana, city.cleo)).json
    assert (done["written"], done["counts"]) == (True, {"entered": 1, "refused": 1})
    good, bad = done["rows"]
    assert (good["row"], good["fate"], good["member"], good["reason"]) == (2, "entered", city.ana.id, None)
    assert (bad["reason"], bad["explanation"]) == ("member_unknown", "未找到该党员")
    again = send(desk, day, lines(city.ana, city.cleo), headers={"Accept-Language": "en"}).json
    assert [one["fate"] for one in again["rows"]] == ["same", "refused"]
    assert again["rows"][1]["explanation"] == "No such member"
    whole = send(desk, day, lines(city.ben, city.cleo), whole="true").json
    assert (whole["written"], db.query(CheckIn).count()) == (False, 1)


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        ("姓名\n张三\n", 422, "sheet_columns"),
        (b"\xff\xff\xff", 422, "sheet_unreadable"),
        (b"PK\x03\x04 no workbook", 422, "sheet_unreadable"),
        (b"", 422, "sheet_columns"),
        ("党员编号,姓名\n" + "7,x\n" * (views.LIMITS.rows + 1), 413, "sheet_too_large"),
        (b"x" * (views.BYTES + 1), 413, "body_too_large"),
    ],
)
def test_what_is_no_list_is_refused_whole(
    desk: Any, db: Session, day: Activity, file: Any, status: int, code: str
) -> None:
    answer = send(desk, day, file)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert db.query(CheckIn).count() == 0


@pytest.mark.parametrize("form", [{"sitting": "x"}, {"sitting": "0"}, {"dry_run": "perhaps"}, {"other": "1"}])
def test_a_form_that_is_not_right_is_refused(desk: Any, day: Activity, form: dict[str, str]) -> None:
    assert send(desk, day, "党员编号,姓名", **form).json["code"] == "validation"
    answer = desk.post(
        f"/api/v1/activities/{day.id}/paper-lists", data={"dry_run": "true"}, content_type="multipart/form-data"
    )
    assert answer.json["code"] == "validation"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"},
    ],
)
def test_no_form_of_another_site_enters_a_list(
    desk: Any, db: Session, city: City, day: Activity, headers: dict[str, str]
) -> None:
    """The last one is a form in a browser so old that it does not say where it comes from."""
    assert send(desk, day, lines(city.ana), headers=headers).status_code in (403, 415)
    assert db.query(CheckIn).count() == 0
    ours = {"Sec-Fetch-Site": "same-origin", "Accept": "application/json"}
    assert send(desk, day, lines(city.ana), headers=ours).json["written"]


def test_no_other_door_takes_a_form(desk: Any, day: Activity) -> None:
    answer = desk.post(f"/api/v1/activities/{day.id}/guests", data={"member": "1"}, content_type="multipart/form-data")
    assert answer.status_code == 415
