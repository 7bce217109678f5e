"""Parts that die during a rehearsal: the wall says so, the count is right again, no written stay is lost or doubled."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg
import pytest

from service import founding
from service.clock import now
from service.demo import LOGIN, Wishes, local_url, plan_of, prepared, settings
from service.live import rehearsal
from service.supervisor import Installation, installed, kept_secret
from service.watching import Watcher
from tests.waiting import eventually

MEMBERS = 300
# The bound of the promise, and what a laden machine may add to it.
RECOVERY_SECONDS, LADEN_SECONDS = 4.0, 5.0


class History(Watcher):
    """A watcher that keeps every snapshot with the moment it came."""

    def __init__(self, url: str, *, cookie: str) -> None:
        self.all: list[tuple[float, dict[str, Any]]] = []
        super().__init__(url, cookie=cookie)

    def _heard(self, figures: dict[str, Any]) -> None:
        super()._heard(figures)
        self.all.append((time.monotonic(), figures))

    def since(self, moment: float) -> list[dict[str, Any]]:
        return [figures for at, figures in self.all if at >= moment]


class Rehearsal:
    """A crowd that stays until told to leave, and what it says of itself."""

    def __init__(self, plan: rehearsal.Plan) -> None:
        self.stop = threading.Event()
        self.progress: rehearsal.Progress | None = None
        self.result: rehearsal.Result | None = None
        self._thread = threading.Thread(target=self._run, args=(plan,))
        self._thread.start()

    def _run(self, plan: rehearsal.Plan) -> None:
        self.result = rehearsal.run(plan, self._hear, self.stop)

    def _hear(self, progress: rehearsal.Progress) -> None:
        self.progress = progress

    @property
    def online(self) -> int:
        return self.progress.tally.online if self.progress else 0

    def end(self) -> rehearsal.Result:
        self.stop.set()
        self._thread.join(60)
        assert self.result is not None
        return self.result


class Stage:
    """One installation with a crowd in it and somebody who watches."""

    def __init__(self, installation: Installation, day: founding.Enactment, history: History, crowd: Rehearsal) -> None:
        self.installation = installation
        self.day = day
        self.history = history
        self.crowd = crowd

    @property
    def right(self) -> bool:
        """Exact, and what the members say; nobody wanders in these plans."""
        figures = self.history.figures
        return figures.get("basis") == "exact" and figures.get("online") == self.crowd.online == MEMBERS

    def stays(self) -> tuple[int, int, int]:
        """Stays, distinct keys, and open ones in PostgreSQL."""
        query = """SELECT count(*), count(DISTINCT (connection, sequence)), count(*) FILTER (WHERE left_at IS NULL)
            FROM stays WHERE stream_id = %s"""
        with psycopg.connect(self.installation.postgres.url) as connection:
            row = connection.execute(query, (self.day.stream,)).fetchone()
        assert row is not None
        return row

    def strike(self, blow: Callable[[], None]) -> list[dict[str, Any]]:
        """Strike once the count is right and every open stay is written; the snapshots until it is right again."""
        eventually(lambda: self.right and self.stays()[2] == MEMBERS, within=60)
        struck = time.monotonic()
        blow()

        def recovered() -> bool:
            self.installation.keep_running(print)
            degraded = any(figures["basis"] == "degraded" for figures in self.history.since(struck))
            return degraded and self.right

        eventually(recovered, within=RECOVERY_SECONDS + LADEN_SECONDS)
        return self.history.since(struck)


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="chunshui-faults-", dir="/tmp"))
    folder.chmod(0o755)
    wishes = Wishes(members=MEMBERS, leave=True, json=True, lan=False, data_dir=folder)
    environ = settings(wishes) | {"LEASE_SECONDS": "2", "RENEW_SECONDS": "0.5", "STAY_SILENCE_SECONDS": "4"}
    with installed(environ, data_dir=folder, say=print, sandbox=True) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture
def stage(installation: Installation) -> Iterator[Stage]:
    password = kept_secret(Path(installation.config.data_dir) / "organiser_password")
    with prepared(installation.config, password) as day:
        plan = plan_of(installation.config, local_url(installation), day, MEMBERS, stay=True)
        history = History(plan.url, cookie=founding.seat(LOGIN, installation.config, now()))
        history.watch(day.stream)
        crowd = Rehearsal(replace(plan, arrival_seconds=1.5, churn_per_minute=0.0, check_in_share=0.1))
        try:
            yield Stage(installation, day, history, crowd)
        finally:
            crowd.end()
            history.close()


def gateway_workers(installation: Installation) -> list[int]:
    master = next(process.running for process in installation.processes if process.name == "gateway")
    assert master is not None
    return [int(pid) for pid in Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()]


@pytest.mark.timeout(180)
def test_a_killed_gateway_worker(stage: Stage) -> None:
    before = stage.stays()[0]
    seen = stage.strike(lambda: os.kill(gateway_workers(stage.installation)[0], signal.SIGKILL))
    assert max(figures["in_doubt"] for figures in seen) > 0
    result = stage.crowd.end()
    eventually(lambda: stage.stays()[2] == 0, within=40)
    rows, distinct, _ = stage.stays()
    # Opens of the killed worker's last half second were never written; everybody had been written before the blow.
    assert rows == distinct
    assert rows == result.stays > before
    assert result.joined == MEMBERS == stage.history.figures["joined"]


@pytest.mark.timeout(180)
def test_an_emptied_valkey(stage: Stage) -> None:
    process = stage.installation.valkey.process
    assert process is not None
    seen = stage.strike(process.kill)
    assert {figures["reason"] for figures in seen} - {None} <= {"valkey", "rebuilding", "lease"}
    assert stage.history.figures["joined"] == MEMBERS
    assert stage.history.figures["peak"] == MEMBERS
    result = stage.crowd.end()
    eventually(lambda: stage.stays()[2] == 0, within=20)
    rows, distinct, _ = stage.stays()
    assert rows == distinct == result.stays == MEMBERS


@contextmanager
def frozen(installation: Installation) -> Iterator[None]:
    """Every process of PostgreSQL stands still: it neither answers nor refuses."""
    master = installation.postgres.process
    assert master is not None
    below = Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()
    pids = [master.pid, *map(int, below)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            # A backend that had just ended is gone as soon as its parent moves again.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def answer(url: str) -> tuple[int, dict[str, str], float]:
    """Status, headers and duration of a GET."""
    began = time.monotonic()
    try:
        with urlopen(url, timeout=30) as response:
            return response.status, dict(response.headers), time.monotonic() - began
    except HTTPError as error:
        with error:
            return error.code, dict(error.headers), time.monotonic() - began


@pytest.mark.timeout(180)
def test_a_frozen_postgresql(stage: Stage) -> None:
    eventually(lambda: stage.right and stage.stays()[2] == MEMBERS, within=60)
    with frozen(stage.installation):
        struck = time.monotonic()
        status, headers, seconds = answer(f"{local_url(stage.installation)}/readyz")
        assert (status, "Retry-After" in headers) == (503, True)
        assert seconds < 5 + LADEN_SECONDS
        eventually(lambda: len(stage.history.since(struck)) >= 2 and stage.right, within=20)
        stage.crowd.stop.set()
        eventually(lambda: stage.history.figures["online"] == 0, within=30)
    result = stage.crowd.end()
    eventually(lambda: stage.stays()[2] == 0, within=20)
    rows, distinct, _ = stage.stays()
    assert rows == distinct == result.stays == MEMBERS
