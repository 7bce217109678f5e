"""`chunshui audit`: exit codes that mean something, and copies that verify."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask
from sqlalchemy import text

from service.audit import anchors
from service.config import Config
from service.extensions import db
from tests.audit.conftest import NOW, noted
from tests.commands import chunshui
from tests.concurrency import really_committed


@pytest.fixture
def committed(app: APIFlask) -> Iterator[None]:
    with really_committed():
        noted(5)
        anchors.anchor(NOW)
        yield


def test_a_whole_log_and_one_that_was_cut(committed: None, config: Config, tmp_path: Path) -> None:
    copies = chunshui(config, "audit", "anchors")
    assert copies.exit_code == 0, copies.output
    (tmp_path / "anchors").write_text(copies.stdout)
    verify = ("verify", "--json", "--anchors", str(tmp_path / "anchors"))
    whole = chunshui(config, "audit", *verify)
    assert (whole.exit_code, json.loads(whole.stdout)["whole"]) == (0, True), whole.output
    with db.engine.begin() as owner:
        owner.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER USER"))
        owner.execute(text("DELETE FROM audit_entries WHERE position = 5"))
        owner.execute(text("ALTER TABLE audit_entries ENABLE TRIGGER USER"))
    cut = chunshui(config, "audit", *verify)
    assert (cut.exit_code, json.loads(cut.stdout)["findings"]) == (1, [{"kind": "tail_removed", "where": 1}])


def test_what_somebody_did(committed: None, config: Config) -> None:
    traced = chunshui(config, "audit", "trace", "member", "3")
    [line] = traced.stdout.splitlines()
    assert json.loads(line)["event"] == "login"
    assert json.loads(line)["role"] == "actor"
