"""The command: help everywhere, exit codes that mean something, two languages."""

import os
import subprocess
import sys

import pytest

from service.supervisor import HERE

COMMANDS = ["demo", "up", "web", "gateway", "worker", "rehearse", "organiser add", "db upgrade", "import divisions"]


def chunshui(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """The command with nothing of our environment but the path, and `environ`."""
    clean = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments], cwd=HERE, env=clean, capture_output=True, text=True, check=False
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
