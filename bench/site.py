"""A whole installation of its own for a measurement: every process as in production, an organiser at the wall.

Members come with tokens issued directly: logging in is another row. What the organiser's client shows, and how old it
is, is kept from the first moment on.
"""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import psutil
import redis
from sqlalchemy import select

from bench.stage import free_port
from service import founding
from service.config import Config
from service.demo import prepared
from service.extensions import db
from service.home import rehearsed
from service.live.rehearsal import Candidate
from service.live.scripts import Slot, slots_of
from service.org.models import Division, Organisation, within
from service.supervisor import Installation, installed
from service.tokens import issue_access
from service.watching import Witness


@dataclass
class Site:
    """A running installation with an open stream and a witness."""

    installation: Installation
    stream: int
    witness: Witness
    told: list[str] = field(default_factory=list)

    @property
    def config(self) -> Config:
        return self.installation.config

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Where the stream's members are counted."""
        return slots_of(self.stream, self.config.live_shards)

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.config.gateway_port}"

    def gateway_workers(self) -> list[int]:
        """The processes that hold connections."""
        return [one.pid for one in psutil.Process(self._pid("gateway")).children()]

    def pids(self) -> dict[str, int]:
        """The first process of each part."""
        pids = {one.name: one.running.pid for one in self.installation.processes if one.running}
        servers = {"PostgreSQL": self.installation.postgres.process, "Valkey": self.installation.valkey.process}
        return pids | {name: process.pid for name, process in servers.items() if process}

    def cpu(self) -> dict[str, float]:
        """User and system seconds so far, by part."""
        return {name: family_cpu(pid) for name, pid in self.pids().items()}

    def valkey(self) -> redis.Redis:
        """A client of the private Valkey."""
        return redis.Redis.from_url(self.installation.valkey.url)

    def keep_running(self) -> None:
        """Start again what ended, as the supervisor does; from the main thread."""
        self.installation.keep_running(self.told.append)

    def candidates(self, members: int, *, first: int = 1) -> tuple[Candidate, ...]:
        """Members of the real branches, in the real counties, each with a token; the numbers from `first` on."""
        branches = db.session.scalars(select(Organisation.path).where(Organisation.level == "branch")).all()
        counties = select(Division.path).where(within(Division.path, founding.PRESENT), Division.level == "county")
        places = db.session.scalars(counties).all()
        db.session.rollback()
        now = datetime.now(UTC)
        numbers = range(first, first + members)
        spread = zip(numbers, cycle(branches), cycle(places), cycle(founding.CHANNELS), strict=False)
        return tuple(
            Candidate(token=self._token(number, home, place, now), channel=channel)
            for number, home, place, channel in spread
        )

    def _token(self, number: int, home: str, place: str, now: datetime) -> str:
        return issue_access(
            self.config.secret_key, member=number, organisation=rehearsed(home), place=place, now=now, seconds=86_400
        )

    def _pid(self, name: str) -> int:
        [process] = [one for one in self.installation.processes if one.name == name]
        if process.running is None:
            raise RuntimeError(f"{name} does not run")
        return process.running.pid


def family_cpu(pid: int) -> float:
    """User and system seconds of a process and all its children, the ended ones included."""
    parent = psutil.Process(pid)
    return sum(sum(one.cpu_times()) for one in (parent, *parent.children(recursive=True)))


@contextmanager
def open_site(workers: int, **settings: str) -> Iterator[Site]:
    """Start an installation in a temporary folder; end and remove it with everything it started."""
    folder = Path(tempfile.mkdtemp(prefix="chunshui-site-"))
    folder.chmod(0o755)
    ports = {"WEB_PORT": str(free_port()), "GATEWAY_PORT": str(free_port())}
    config = {"GATEWAY_WORKERS": str(workers), "LOG_LEVEL": "info", **ports, **settings}
    password = secrets.token_urlsafe(16)
    try:
        with (
            installed(config, data_dir=folder, say=print, sandbox=False) as installation,
            prepared(installation.config, password) as day,
        ):
            url = f"http://127.0.0.1:{installation.config.web_port}"
            witness = Witness(url, cookie=founding.seat("chengdu", installation.config, datetime.now(UTC)))
            witness.watch(day.stream)
            try:
                yield Site(installation, day.stream, witness)
            finally:
                witness.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
