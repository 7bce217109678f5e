"""The main job, whole: the command, its processes, its members, its figures."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import select
from sqlalchemy.exc import NoResultFound

from service import founding
from service.activity.models import ActivityInvitation, Sitting, Stream
from service.clock import now
from service.demo import connected, local_url
from service.extensions import db
from service.home import rehearsed
from service.live.models import Stay
from service.live.rehearsal import Result
from service.org.models import Organisation
from service.reckoning import compare
from service.rehearsing import Wishes, planned, witnessed
from service.supervisor import HERE, installed
from service.watching import Witness
from tests.waiting import eventually

RESULT: dict[str, Any] = {one.name: 0 for one in fields(Result)} | {"errors": {}, "join_ms": {}, "online": []}
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


def ignore_interrupts() -> None:
    """As a shell script does for what it puts into the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
    assert abs(figures["connection_seconds"] - members["watch_seconds"]) <= 0.25 * members["stays"]
    assert 0 < figures["watch_seconds"] <= figures["connection_seconds"]
    assert members["failed"] == members["lost"] == 0


@pytest.mark.timeout(240)
def test_ctrl_c_leaves_nothing_running(data_dir: Path) -> None:
    """Interrupted early, and after a run that already used the same data."""
    arguments = [*COMMAND, "--members", "50", "--data-dir", str(data_dir)]
    with subprocess.Popen(
        arguments,
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"LANG": "en_US.UTF-8"},
        preexec_fn=ignore_interrupts,
    ) as demo:
        eventually(lambda: len(children(demo.pid)) >= 7, within=60)
        started = children(demo.pid)
        demo.send_signal(signal.SIGINT)
        output = demo.communicate(timeout=90)[0].decode()
    assert eventually(lambda: not any(alive(pid) for pid in started), within=15), output
    assert "Traceback" not in output


@pytest.mark.timeout(120)
def test_nothing_outlives_a_killed_supervisor(data_dir: Path) -> None:
    arguments = [sys.executable, "-m", "service.cli", "up", "--data-dir", str(data_dir)]
    with subprocess.Popen(arguments, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as up:
        assert up.stdout is not None
        while b"http://" not in (line := up.stdout.readline()):
            assert line, "ended early"
        started = [pid for child in children(up.pid) for pid in (child, *children(child))]
        up.kill()
    assert len(started) > 8
    assert eventually(lambda: not any(alive(pid) for pid in started), within=10)


@pytest.mark.timeout(120)
def test_a_copy_is_rehearsed_beside_the_real_wechat(data_dir: Path) -> None:
    """Nobody can mint codes there: the members bring tokens; the account that watches is gone afterwards."""
    with installed({}, data_dir=data_dir, say=print, sandbox=False) as installation, connected(installation.config):
        day = founding.copied(of_two_counties(), now())
        founding.enrol_organiser("rehearsal", "a password that nobody keeps", day.root, now())
        wishes = Wishes(
            members=20, curve="burst", arrival_seconds=1.0, plateau_seconds=4.0, second_devices=0.5, drop=0.2
        )
        plan = replace(planned(installation.config, local_url(installation), day, wishes), away_seconds=1.0)
        seat = Witness(plan.url, cookie=founding.seat("rehearsal", installation.config, now()))
        report = witnessed(plan, day, seat, Console(quiet=True))
        assert report["agreed"], (report["agreement"], report["audits"], report["feed"], report["members"])
        assert (report["joined"], report["peak"]) == (20, 20)
        assert report["members"]["devices"] == 30
        assert report["members"]["dropped"] >= 6
        assert report["audits"]["at_rest"] > 0
        assert report["audits"]["outside"] == []
        assert set(report["join_ms"]) == set(report["count_age_seconds"]) | {"p95"}
        assert homes_of(day.stream) == {True}
        founding.dismiss_organiser("rehearsal")
        with pytest.raises(NoResultFound):
            founding.seat("rehearsal", installation.config, now())


def of_two_counties() -> int:
    """A real activity of next month, to which two counties of Chengdu are invited."""
    founding.load(now())
    counties = db.session.scalars(select(Organisation).where(Organisation.level == "county").limit(2)).all()
    later = now() + timedelta(days=30)
    stream = founding.hold(later, later + timedelta(hours=1), rehearsal=False)
    activity = stream.sitting.activity
    activity.attendance = "rostered"
    activity.invitations = [ActivityInvitation(organisation_id=county.id) for county in counties]
    db.session.commit()
    return activity.id


def homes_of(stream: int) -> set[bool]:
    """Whether those who stayed carry the path of synthetic members, below one that is invited."""
    invited = db.session.scalars(
        select(Organisation.path)
        .join(ActivityInvitation, ActivityInvitation.organisation_id == Organisation.id)
        .join(Sitting, Sitting.activity_id == ActivityInvitation.activity_id)
        .join(Stream, Stream.sitting_id == Sitting.id)
        .where(Stream.id == stream)
    ).all()
    paths = db.session.scalars(select(Stay.organisation_path).where(Stay.stream_id == stream)).all()
    return {any(path.startswith(f"{rehearsed(one)}.") for one in invited) for path in paths}


def test_guests_are_counted_apart() -> None:
    stays = {"joined": 21, "stays": 22, "open_stays": 1, "connection_seconds": 90.0, "checked_in": 11}
    guests = {"joined": 1, "stays": 1, "open_stays": 1, "connection_seconds": 0.0, "checked_in": 1}
    result = RESULT | {"joined": 20, "stays": 21, "peak": 20, "checked_in": 10, "watch_seconds": 90.0}
    feed = {"joined": 21, "checked_in": 11, "online": 1, "connections": 1, "peak": 21}
    ledger = stays | {"guests": guests}
    assert compare(ledger, Result(**result), feed)["agreed"]
    assert not compare(ledger, Result(**result), feed | {"online": 2})["agreed"]
    assert not compare(ledger, Result(**result), feed | {"peak": 22})["agreed"]
    assert not compare(ledger, Result(**result), feed | {"peak": 19})["agreed"]
    broken_off = Result(**result | {"peak": 18})
    assert compare(ledger, broken_off, feed | {"peak": 19})["agreed"]
    assert not compare(ledger, Result(**result), feed | {"online": None})["agreed"]
    assert not compare(ledger | {"guests": guests | {"joined": 0}}, Result(**result), feed)["agreed"]
