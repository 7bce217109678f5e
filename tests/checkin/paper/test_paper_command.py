"""`chunshui attendance import`: in the name of an account, with a report, and for as many as there are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask

from service.activity.models import Activity
from service.checkin.models import CheckIn
from service.config import Config
from service.extensions import db
from service.sheets import read
from tests.checkin.people import City, make_city
from tests.commands import chunshui
from tests.concurrency import really_committed
from tests.factories import make_activity, make_organiser

HEADINGS = {"row": "row", "fate": "fate", "details": "details"}


@pytest.fixture(autouse=True)
def committed(app: APIFlask) -> Iterator[None]:
    with really_committed():
        yield


@pytest.fixture
def city() -> City:
    return make_city()


@pytest.fixture
def day(city: City) -> Activity:
    make_organiser(organisation=city.east, role="branch_secretary", login="desk")
    return make_activity(lead=city.city, invited=[city.city])


def test_a_list_at_the_command_line(config: Config, city: City, day: Activity, tmp_path: Path) -> None:
    file, report = tmp_path / "list.csv", tmp_path / "report.xlsx"
    file.write_text(f"党员编号,姓名\n{city.ana.id},张三\n{city.cleo.id},张三\n{city.ben.id},李四\n")
    command = ("attendance", "import", str(file), "--activity", str(day.id), "--by", "desk")
    dry = chunshui(config, *command, "--dry-run")
    assert (dry.exit_code, db.session.query(CheckIn).count()) == (1, 0)
    assert "entered 1  entered before 0  checked in otherwise 0  not signed 0  refused 2" in dry.output
    assert "nothing was written" in dry.output
    whole = chunshui(config, *command, "--whole")
    assert (whole.exit_code, db.session.query(CheckIn).count()) == (1, 0)
    done = chunshui(config, *command, "--report", str(report))
    assert (done.exit_code, db.session.query(CheckIn).count()) == (1, 1)
    assert "row 4: The name is not the one on the roster" in done.output
    assert [row.cells["fate"] for row in read(report, headings=HEADINGS)] == ["entered", "refused", "refused"]
    assert report.stat().st_mode & 0o077 == 0
    file.write_text(f"党员编号,姓名\n{city.ana.id},张三\n")
    assert chunshui(config, *command).exit_code == 0


def test_what_cannot_be_is_told_in_one_line(config: Config, city: City, day: Activity, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("身份证号,姓名\n510101199001010017,张三\n")
    command = ("attendance", "import", str(file), "--activity", str(day.id))
    done = chunshui(config, *command, "--by", "desk")
    assert (done.exit_code, "sheet_columns" in done.output, "member" in done.output) == (1, True, True)
    assert "not_found" in chunshui(config, *command, "--by", "nobody").output
    assert chunshui(config, *command).exit_code == 2
    assert chunshui(config, *command, "--by", "desk", "--report", "x.doc").exit_code == 2


def test_the_sign_in_sheet_at_the_command_line(config: Config, city: City, day: Activity, tmp_path: Path) -> None:
    file = tmp_path / "sheet.xlsx"
    command = ("attendance", "sheet", "--activity", str(day.id), "--by", "desk")
    done = chunshui(config, *command, str(file), "--node", str(city.east.id))
    assert (done.exit_code, done.output) == (0, "wrote 2 people\n")
    assert file.stat().st_mode & 0o077 == 0
    elsewhere = chunshui(config, *command, str(tmp_path / "no.xlsx"), "--node", str(city.west.id))
    assert (elsewhere.exit_code, "not_found" in elsewhere.output) == (1, True)
    assert chunshui(config, *command, str(tmp_path / "x.csv"), "--node", str(city.east.id)).exit_code == 2
