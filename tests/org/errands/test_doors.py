"""The doors of errands, told as a story."""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service.org.access import COOKIE
from service.org.errands import work
from service.org.models import Organisation
from service.sheets import read
from tests.factories import make_organiser
from tests.org.errands.steps import roster

API = "/api/v1"


@pytest.fixture
def browser(client: FlaskClient, city: Organisation) -> FlaskClient:
    client.set_cookie(COOKIE, make_organiser(organisation=city)[1])
    return client


def test_the_story_over_http(
    db: Session, browser: FlaskClient, city: Organisation, branch: Organisation, tmp_path: Path
) -> None:
    upload = {"data": roster(branch, 2), "content_type": "text/csv", "headers": {"Accept-Language": "en"}}
    taken = browser.post(f"{API}/organisations/{city.id}/imports", **upload)
    assert taken.status_code == 202
    at = taken.headers["Location"]
    assert browser.get(at).json["state"] == "waiting"  # type: ignore[index]
    work.work_once(datetime.now(UTC))
    told: Any = browser.get(at).json
    assert (told["state"], told["counts"], told["label"]) == ("compared", {"added": 1}, "sensitive")
    assert browser.get(f"{at}/differences").json == {"differences": []}
    accepted = browser.put(f"{at}/acceptance", json={"outcome": told["outcome"]})
    assert (accepted.status_code, accepted.json["state"]) == (202, "accepted")  # type: ignore[index]
    work.work_once(datetime.now(UTC))
    report = browser.get(f"{at}/file")
    assert report.content_type == "text/csv; charset=utf-8"
    assert report.headers["Content-Disposition"].endswith("-sensitive.csv")
    assert report.headers["Cache-Control"] == "no-store"
    assert report.data.decode("utf-8-sig").splitlines()[1].startswith("2,added,")
    asked = browser.post(f"{API}/organisations/{city.id}/exports", json={"subject": "roster"})
    work.work_once(datetime.now(UTC))
    table = tmp_path / "roster.xlsx"
    table.write_bytes(browser.get(f"{asked.headers['Location']}/file").data)
    assert [row.cells["name"] for row in read(table, headings={"姓名": "name"})] == ["党员2"]
    listed: Any = browser.get(f"{API}/errands").json
    assert [one["id"] for one in listed["errands"]] == [int(asked.headers["Location"].rpartition("/")[2]), told["id"]]
    assert browser.delete(asked.headers["Location"]).json["state"] == "made"  # type: ignore[index]
    assert browser.get(f"{asked.headers['Location']}/file").status_code == 404


def test_a_body_is_bounded_and_no_form(
    app: APIFlask, browser: FlaskClient, city: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = f"{API}/organisations/{city.id}/imports"
    assert browser.post(door, data={"file": (BytesIO(b"x"), "x.csv")}).status_code == 415
    monkeypatch.setattr(app.view_functions["errands.send_in"], "most_bytes", 10)
    for size, status in ((11, 413), (10, 202)):
        assert browser.post(door, data=b"x" * size, content_type="text/csv").status_code == status
