"""`chunshui audit`: exit codes that mean something, and copies that verify."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask
from sqlalchemy import text

from service.audit import anchors
from service.config import Config
from service.extensions import db
from service.supervisor import HERE
from tests.audit.conftest import NOW, noted
from tests.concurrency import really_committed


@pytest.fixture
def committed(app: APIFlask) -> Iterator[None]:
    with really_committed():
        noted(5)
        anchors.anchor(NOW)
        yield


def chunshui(config: Config, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environ = {"DATABASE_URL": config.database_url, "REDIS_URL": config.redis_url, "SECRET_KEY": config.secret_key}
    command = [sys.executable, "-m", "service.cli", "audit", *arguments]
    return subprocess.run(
        command, cwd=HERE, env=environ | {"LANG": "en_US.UTF-8"}, capture_output=True, text=True, check=False
    )


def test_a_whole_log_and_one_that_was_cut(committed: None, config: Config, tmp_path: Path) -> None:
    copies = chunshui(config, "anchors")
    assert copies.returncode == 0, copies.stderr
    (tmp_path / "anchors").write_text(copies.stdout)
    verify = ("verify", "--json", "--anchors", str(tmp_path / "anchors"))
    whole = chunshui(config, *verify)
    assert (whole.returncode, json.loads(whole.stdout)["whole"]) == (0, True), whole.stderr
    with db.engine.begin() as owner:
        owner.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER USER"))
        owner.execute(text("DELETE FROM audit_entries WHERE position = 5"))
        owner.execute(text("ALTER TABLE audit_entries ENABLE TRIGGER USER"))
    cut = chunshui(config, *verify)
    assert (cut.returncode, json.loads(cut.stdout)["findings"]) == (1, [{"kind": "tail_removed", "where": 1}])


def test_what_somebody_did(committed: None, config: Config) -> None:
    traced = chunshui(config, "trace", "member", "3")
    [line] = traced.stdout.splitlines()
    assert json.loads(line)["event"] == "login"
    assert json.loads(line)["role"] == "actor"
