"""What every server under test stands on: a private PostgreSQL and Valkey, and one open stream."""

import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import redis
from flask_migrate import upgrade

from service import embedded
from service.activity.models import Activity, Sitting, Stream
from service.app import create_core
from service.config import Config
from service.extensions import db
from service.live.rehearsal import Candidate
from service.tokens import issue_access

SECRET = "a secret of this benchmark alone, 32+"
BRANCHES = 1_000
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Stage:
    """Running servers, an open stream, and the members' tokens."""

    postgres: embedded.Postgres
    valkey: embedded.Valkey
    stream: int

    @property
    def valkey_url(self) -> str:
        """Valkey by TCP: the peers' message queues know no Unix sockets."""
        return f"redis://127.0.0.1:{self.valkey.settings['port']}/0"

    @property
    def environment(self) -> dict[str, str]:
        """The settings that servers under test share."""
        return {"DATABASE_URL": self.postgres.url, "REDIS_URL": self.valkey_url, "SECRET_KEY": SECRET}

    def clear(self) -> None:
        """Empty Valkey between two servers."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()

    def stored_cpu(self) -> tuple[float, float]:
        """CPU seconds that Valkey and PostgreSQL have used."""
        return process_cpu(self.valkey.process), process_cpu(self.postgres.process)


def process_cpu(process: "subprocess.Popen[bytes] | None") -> float:
    """User and system seconds of a process and all its children, the ended ones included."""
    if process is None:
        return 0.0
    parent = psutil.Process(process.pid)
    return sum(sum(one.cpu_times()) for one in (parent, *parent.children(recursive=True)))


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Start the servers in a temporary folder; stop and remove them at the end."""
    folder = Path(tempfile.mkdtemp(prefix="chunshui-bench-"))
    folder.chmod(0o755)
    postgres, valkey = embedded.Postgres(folder), embedded.Valkey(folder, {"port": str(free_port())})
    try:
        postgres.start()
        valkey.start()
        yield Stage(postgres, valkey, stream=_make_stream(postgres.url))
    finally:
        valkey.stop()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port below the ephemeral ones, so that no client connection takes it.

    At random: with `reuse_port` two gateways that are started on one port at a time would share it in silence.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def _make_stream(url: str) -> int:
    """The real schema, and an open stream in it."""
    now = datetime.now(UTC)
    begin, end = now - DAY, now + DAY
    stream = Stream(title="benchmark", opens_at=begin, closes_at=end)
    sitting = Sitting(starts_at=begin, ends_at=end, checkin_opens_at=begin, checkin_closes_at=end, streams=[stream])
    config = Config(database_url=url, redis_url="unix:///nowhere", secret_key=SECRET)
    with create_core(config).app_context():
        upgrade(directory=str(Path(embedded.__file__).parent / "migrations"))
        db.session.add(Activity(kind="themed_day", theme="benchmark", sittings=[sitting]))
        db.session.commit()
        number = stream.id
        db.session.remove()
        db.engine.dispose()
    return number


def candidates(members: int, *, first: int = 1) -> tuple[Candidate, ...]:
    """Members with tokens, spread over branches five levels deep and over the counties of a region."""
    now = datetime.now(UTC)
    return tuple(_candidate(number, now) for number in range(first, first + members))


def _candidate(number: int, now: datetime) -> Candidate:
    branch = number % BRANCHES
    organisation = f"1.{2 + branch % 5}.{10 + branch % 50}.{100 + branch % 250}.{1000 + branch}"
    place = f"54.54{1 + branch % 7:02d}.54{1 + branch % 7:02d}{1 + branch % 70:02d}"
    token = issue_access(SECRET, member=number, organisation=organisation, place=place, now=now, seconds=86_400)
    return Candidate(token=token, channel="mini_program", source="hls")
