"""The main job, whole: the command, its processes, its members, its figures."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.supervisor import HERE
from tests.waiting import eventually

COMMAND = [sys.executable, "-m", "service.cli", "demo"]


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """One installation for the module's tests, one after the other: data are kept between runs."""
    with tempfile.TemporaryDirectory(prefix="chunshui-demo-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.timeout(240)
def test_all_sides_count_the_same(data_dir: Path) -> None:
    arguments = [*COMMAND, "--members", "300", "--exit", "--json", "--data-dir", str(data_dir)]
    done = subprocess.run(arguments, cwd=HERE, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    members = figures["members"]
    assert figures["joined"] == members["joined"] == figures["feed"]["joined"] == 300
    assert figures["checked_in"] == members["checked_in"] == figures["feed"]["checked_in"] > 0
    assert figures["stays"] == members["stays"] > 300
    assert figures["peak"] == 300
    assert figures["online_at_end"] == 0
    assert abs(figures["watch_seconds"] - members["watch_seconds"]) <= 0.25 * members["stays"]
    assert members["failed"] == members["lost"] == 0


@pytest.mark.timeout(240)
def test_ctrl_c_leaves_nothing_running(data_dir: Path) -> None:
    """Interrupted early, and after a run that already used the same data."""
    arguments = [*COMMAND, "--members", "50", "--data-dir", str(data_dir)]
    with subprocess.Popen(
        arguments, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"LANG": "en_US.UTF-8"}
    ) as demo:
        eventually(lambda: len(children(demo.pid)) >= 7, within=60)
        started = children(demo.pid)
        demo.send_signal(signal.SIGINT)
        output = demo.communicate(timeout=90)[0].decode()
    assert eventually(lambda: not any(alive(pid) for pid in started), within=15), output
    assert "Traceback" not in output
