"""The command: help everywhere, exit codes that mean something, two languages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.supervisor import HERE, InstallationError, exclusive, note_settings, running_settings

COMMANDS = [
    "demo",
    "up",
    "web",
    "gateway",
    "worker",
    "rehearse",
    "organiser add",
    "db upgrade",
    "db grant",
    "import divisions",
    "import organisations",
    "division find",
    "organisation export",
    "audit verify",
    "person erase",
    "register show",
]
COMMANDS += ["keys show", "keys rotate", "certificate verify", "roster import", "roster export"]


def chunshui(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """The command with nothing of our environment but the path, and `environ`."""
    clean = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        cwd=HERE,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = chunshui(*command.split(), "--help")
    assert done.returncode == 0
    assert "--help" in done.stdout


def test_help_speaks_chinese_and_english() -> None:
    assert "主题党日" in chunshui("--help").stdout
    assert "themed days" in chunshui("--help", LANG="en_US.UTF-8").stdout


@pytest.mark.parametrize("command", ["web", "gateway", "worker", "db upgrade"])
def test_bad_settings_stop_the_start(command: str) -> None:
    done = chunshui(*command.split(), DATABASE_URL="nonsense", LANG="en_US.UTF-8")
    assert done.returncode == 2
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_use_is_code_two() -> None:
    assert chunshui("demo", "--members", "0").returncode == 2
    assert chunshui("import", "divisions", "no-such-file.csv").returncode == 2


@pytest.mark.parametrize("wrong", ["WEB_PORT=abc", "GATEWAY_PORT=0", "LOG_LEVEL=loud"])
def test_an_installation_refuses_wrong_settings(wrong: str, tmp_path: Path) -> None:
    name, value = wrong.split("=")
    tmp_path.chmod(0o755)
    done = chunshui("up", "--data-dir", str(tmp_path), **{name: value})
    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_a_running_installation_tells_its_settings(tmp_path: Path) -> None:
    told = {"DATABASE_URL": "postgresql://u:p'a ss@h/d?x=1&y=2", "SECRET_KEY": "k" * 40}
    with exclusive(tmp_path):
        note_settings(tmp_path / "environment", told | {"PATH": "/bin"})
        assert (tmp_path / "environment").stat().st_mode & 0o777 == 0o600
        assert running_settings(tmp_path) == told
    with pytest.raises(InstallationError):  # left behind by one that was killed
        running_settings(tmp_path)


@pytest.mark.parametrize(
    "command", ["rehearse --members 1", "organiser add li --name li --organisation 1", "db upgrade"]
)
def test_without_an_installation_a_command_says_so(command: str, tmp_path: Path) -> None:
    done = chunshui(*command.split(), "--data-dir", str(tmp_path), LANG="en_US.UTF-8")
    assert done.returncode == 1
    assert "no installation is running" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_away_is_one_line() -> None:
    away = {
        "DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SECRET_KEY": "k" * 40,
    }
    done = chunshui("db", "upgrade", **away)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
