"""`chunshui person` and `chunshui register`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask

from service.config import Config
from service.extensions import db
from service.org.models import Member
from tests.commands import chunshui
from tests.concurrency import really_committed
from tests.factories import make_member, make_place

REGISTER = Path(__file__).parents[3] / "docs" / "processing-register.md"


@pytest.fixture
def ana(app: APIFlask, valkey: object) -> Iterator[int]:
    """A member's number."""
    with really_committed():
        yield make_member(name="安娜", place=make_place()).id


def test_export_correct_and_erase(ana: int, config: Config) -> None:
    person = str(ana)
    exported = chunshui(config, "person", "export", person)
    assert json.loads(exported.stdout)["held"]["members"][0]["name"] == "安娜"
    assert chunshui(config, "person", "correct", person, "--name", "安娜二").exit_code == 0
    db.session.rollback()
    assert db.session.get_one(Member, ana).name == "安娜二"
    assert chunshui(config, "person", "withdraw", person, "reminders").exit_code == 0
    assert chunshui(config, "person", "erase", person, given="n\n").exit_code == 1
    assert chunshui(config, "person", "erase", person, "--yes").exit_code == 0
    gone = chunshui(config, "person", "export", person)
    assert gone.exit_code == 1
    assert "not_found" in gone.output


def test_the_register_and_its_bases(ana: int, config: Config) -> None:
    assert chunshui(config, "register", "show", "--product").stdout == REGISTER.read_text()
    assert chunshui(config, "register", "basis", "attendance", "consent", "--reference", "法务 1").exit_code == 0
    assert chunshui(config, "register", "basis", "attendance", "whim", "--reference", "法务 1").exit_code == 1
    [row] = [line for line in chunshui(config, "register", "show").stdout.splitlines() if line.startswith("| `stays`")]
    assert "个人同意" in row
