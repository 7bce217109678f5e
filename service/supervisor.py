"""One installation on one machine: private servers and our processes, started together, ended together.

The processes are those of production, started by the same commands; only their settings are chosen here. A process
that ends by itself is started again. Whatever happens to the supervisor, nothing that it started outlives it.
"""

import ctypes
import fcntl
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from service import embedded
from service.config import Config, ConfigError
from service.language import english, words
from service.sandbox.settings import settings as sandbox_settings

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
RESTART_SECONDS = 1.0
HERE = Path(__file__).resolve().parent.parent
# In the data folder while the installation runs: its settings, for commands that are run beside it.
ENVIRONMENT = "environment"

Say = Callable[[str], None]


class InstallationError(RuntimeError):
    """The installation cannot start; the message says why, for the person at the terminal."""


@dataclass
class Process:
    """One of our processes; its output goes to a log file of its own."""

    name: str
    arguments: list[str]
    environ: dict[str, str]
    log: Path
    running: "subprocess.Popen[bytes] | None" = None
    ended_at: float = 0.0
    patience: float = STOP_SECONDS
    ending: signal.Signals = signal.SIGTERM

    def start(self) -> None:
        """Start it. Call from the main thread: the kernel ends it when the thread that started it ends."""
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.arguments,
                env=self.environ,
                cwd=HERE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def ended(self) -> bool:
        """Whether it ended without being asked to."""
        return self.running is not None and self.running.poll() is not None

    def stop(self) -> None:
        """Ask it to end, and insist after a while."""
        if self.running is None or self.running.poll() is not None:
            return
        self.running.send_signal(self.ending)
        try:
            self.running.wait(self.patience)
        except subprocess.TimeoutExpired:
            os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()


@dataclass
class Installation:
    """A running installation; `config` is what its processes were given."""

    config: Config
    postgres: embedded.Postgres
    valkey: embedded.Valkey
    processes: list[Process] = field(default_factory=list)
    ports: list[socket.socket] = field(default_factory=list)

    def hold(self, wanted: int, say: Say) -> int:
        """Reserve a port for as long as the installation runs; which one it became."""
        held = reserve(wanted, say)
        self.ports.append(held)
        return int(held.getsockname()[1])

    def keep_running(self, say: Say) -> None:
        """Start again what ended by itself; call this about every second, from the main thread."""
        now = time.monotonic()
        if self.valkey.process and self.valkey.process.poll() is not None:
            say(words("Valkey 已退出，重新启动（空）", "Valkey ended; starting it again, empty"))
            self.valkey.start()
        if self.postgres.process and self.postgres.process.poll() is not None:
            say(words("PostgreSQL 已退出，重新启动", "PostgreSQL ended; starting it again"))
            self.postgres.start()
        for process in self.processes:
            if process.ended() and now - process.ended_at > RESTART_SECONDS:
                say(
                    words(
                        f"{process.name} 已退出，重新启动，见 {process.log}",
                        f"{process.name} ended; starting it again, see {process.log}",
                    )
                )
                process.ended_at = now
                process.start()

    def stop(self) -> None:
        """End everything, the takers of work first, PostgreSQL last."""
        for process in self.processes:
            process.stop()
        self.valkey.stop()
        self.postgres.stop()
        for port in self.ports:
            port.close()


@contextmanager
def installed(config: dict[str, str], *, data_dir: Path, say: Say, sandbox: bool) -> Iterator[Installation]:
    """Run an installation with its data in `data_dir` for the length of the block.

    `config` holds settings by their variable's name; ports that are taken are replaced, and `say` is told.
    InstallationError if the data is in use or a part does not start. ConfigError if the settings cannot be used.
    """
    data_dir = data_dir.resolve()  # our processes work in another folder than the caller
    data_dir.mkdir(parents=True, exist_ok=True)
    with exclusive(data_dir):
        home = house(data_dir)
        installation = Installation(
            Config(database_url="postgresql://"), embedded.Postgres(home), embedded.Valkey(data_dir / "valkey")
        )
        try:
            start(installation, config, data_dir=data_dir, say=say, sandbox=sandbox)
            yield installation
        finally:
            (data_dir / ENVIRONMENT).unlink(missing_ok=True)
            installation.stop()


def house(data_dir: Path) -> Path:
    """Where the private servers keep their files; InstallationError if that folder cannot be used."""
    try:
        return embedded.home(data_dir)
    except embedded.EmbeddedError as error:
        raise InstallationError(str(error)) from None


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Hold `data_dir` for this process; InstallationError if another one holds it."""
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstallationError(
                words(f"另一个进程正在使用 {data_dir}", f"another process is using {data_dir}")
            ) from None
        yield


def start(installation: Installation, config: dict[str, str], *, data_dir: Path, say: Say, sandbox: bool) -> None:
    """Servers, then schema, then processes; return when all of them answer."""
    try:
        installation.postgres.start()
        installation.valkey.start()
    except embedded.EmbeddedError as error:
        raise InstallationError(str(error)) from None
    environ = settings(installation, config, data_dir=data_dir, say=say)
    ports = (installation.hold(8002, say), installation.hold(8004, say)) if sandbox else None
    if ports:
        own = {name: environ[name] for name in ("WECHAT_APPID", "WECHAT_SECRET") if environ.get(name)}
        environ |= sandbox_settings(port=ports[0], apns_port=ports[1]) | own
    installation.config = Config.from_env(environ)
    note_settings(data_dir / ENVIRONMENT, environ)
    run_to_end([sys.executable, "-m", "service.cli", "db", "upgrade"], environ)
    installation.processes = processes(environ, data_dir / "logs", ports)
    for process in installation.processes:
        process.start()
    wait_ready(installation)


def settings(installation: Installation, config: dict[str, str], *, data_dir: Path, say: Say) -> dict[str, str]:
    """The environment of every process: the caller's, ours, and free ports."""
    environ = os.environ | {"DEFAULT_LANGUAGE": "en" if english() else "zh"} | config
    environ |= {
        "DATABASE_URL": installation.postgres.url,
        "REDIS_URL": installation.valkey.url,
        "SECRET_KEY": kept_secret(data_dir / "secret_key"),
        "DATA_DIR": str(data_dir),
    }
    for name, default in (("WEB_PORT", 8000), ("GATEWAY_PORT", 8001), ("WORKER_PORT", 8003)):
        wanted = environ.get(name) or str(default)
        if not wanted.isdecimal() or not 0 < int(wanted) < 65_336:
            raise ConfigError(f"{name}: 1 to 65335")
        environ[name] = str(installation.hold(int(wanted), say))
    return environ


def note_settings(path: Path, environ: dict[str, str]) -> None:
    """Write the settings in `environ` to `path`, for its owner only, in the form that a shell can read."""
    names = [one.name.upper() for one in fields(Config)]
    lines = [f"{name}={shlex.quote(environ[name])}\n" for name in names if environ.get(name)]
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(lines)


def running_settings(data_dir: Path) -> dict[str, str]:
    """The settings of the installation that runs with `data_dir`; InstallationError if none does."""
    path = data_dir / ENVIRONMENT
    try:
        with exclusive(data_dir):
            running = False  # who can hold the folder has it for himself: the file was left by one that was killed
    except InstallationError:
        running = True
    except OSError:
        running = False
    if not running or not path.exists():
        raise InstallationError(
            words(f"没有正在运行的系统使用 {data_dir}", f"no installation is running with {data_dir}")
        )
    return dict(line.split("=", 1) for line in shlex.split(path.read_text()))


def processes(environ: dict[str, str], logs: Path, sandbox: tuple[int, int] | None) -> list[Process]:
    """Web, gateway and worker, and the stand-ins if there are any (ports: HTTP/1.1, HTTP/2); these last to end."""
    logs.mkdir(exist_ok=True)
    commands = {name: [sys.executable, "-m", "service.cli", name] for name in ("gateway", "web", "worker")}
    if sandbox:
        push = f"http://127.0.0.1:{environ['WEB_PORT']}/api/v1/wechat/mini-program/push"
        ports = ["--port", str(sandbox[0]), "--apns-port", str(sandbox[1]), "--callback-url", push]
        commands["sandbox"] = [sys.executable, "-m", "service.sandbox", *ports]
    # With everything else ending too, there is nobody for whom the gateway should hold its members.
    endings = {"gateway": signal.SIGINT}
    return [
        Process(name, arguments, environ, logs / f"{name}.log", ending=endings.get(name, signal.SIGTERM))
        for name, arguments in commands.items()
    ]


def wait_ready(installation: Installation) -> None:
    """Return when each of our processes is ready; InstallationError with the end of a log if one does not become it."""
    config = installation.config
    for name, port in (("gateway", config.gateway_port), ("web", config.web_port), ("worker", config.worker_port)):
        process = next(one for one in installation.processes if one.name == name)
        deadline = time.monotonic() + READY_SECONDS
        while not answers(f"http://127.0.0.1:{port}/readyz"):
            if process.ended() or time.monotonic() > deadline:
                raise InstallationError(f"{name} did not start:\n{embedded.tail(process.log)}")
            time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered with success."""
    try:
        with urlopen(url, timeout=2) as response:  # noqa: S310 - our own address
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def reserve(wanted: int, say: Say) -> socket.socket:
    """Hold `wanted`, or the next port above it that nobody has, until the socket is closed; `say` is told of a change.

    Bound alone, so that no two can hold one port, and shared afterwards with our own processes, which set
    SO_REUSEPORT. It never listens: no connection comes to it.
    """
    for port in range(wanted, wanted + 200):
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind(("0.0.0.0", port))
        except OSError:
            held.close()
            continue
        # Taken back once bound: with it on both sides two sockets that do not listen would share the port.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if port != wanted:
            say(words(f"端口 {wanted} 已被占用，改用 {port}", f"port {wanted} is taken, using {port}"))
        return held
    raise InstallationError(f"no free port from {wanted} to {wanted + 199}")


def kept_secret(path: Path) -> str:
    """The secret in `path`, made at the first call; readable by its owner only."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text().strip()


def run_to_end(arguments: list[str], environ: dict[str, str]) -> None:
    """Run a command; InstallationError with its output if it fails."""
    done = subprocess.run(arguments, env=environ, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallationError(f"{' '.join(arguments[2:])}: {done.stderr[-2000:]}")


def end_with_parent() -> None:
    """Have the kernel send us SIGTERM when our parent ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(embedded.PR_SET_PDEATHSIG, signal.SIGTERM)
