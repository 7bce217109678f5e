"""The gateway as it runs in production: gunicorn with the shipped configuration, in processes of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.request import urlopen

from service.config import Config
from tests.live.stage import children
from tests.logs import unhandled
from tests.ports import free_port
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Running:
    """A running gateway."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def workers(self) -> list[int]:
        """The workers' process ids."""
        return children(self.process.pid)

    def healthy(self) -> bool:
        """Whether it answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def serving(self) -> int:
        """How many workers have begun to serve since the start."""
        return self.log.read_text().count("gateway serves")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it as an operator does; its exit code."""
        self.process.send_signal(how)
        return self.process.wait(20)


@contextmanager
def running(config: Config, folder: Path, *, workers: int = 1, off: float = 0.0) -> Iterator[Running]:
    """A gateway with `workers` workers, whose clock is `off`; it must end without having logged what nobody handled."""
    port = free_port()
    own = replace(config, gateway_port=port, gateway_workers=workers)
    log = folder / "gateway.log"
    process = started(own, log, "gunicorn", "-c", str(ROOT / "deploy/gunicorn/gateway.py"), off=off)
    gateway = Running(process, port, log)
    try:
        eventually(lambda: gateway.serving() == workers and gateway.healthy(), within=20)
        yield gateway
    finally:
        if process.poll() is None:
            gateway.stop(signal.SIGINT)  # nobody is to be held for a successor
    assert unhandled(log) == []


@contextmanager
def working(config: Config, folder: Path, *, off: float = 0.0) -> Iterator[Path]:
    """`chunshui worker` at work, whose clock is `off`; its log, in which nothing may be left that nobody handled."""
    log = folder / "worker.log"
    process = started(replace(config, worker_port=free_port()), log, "service.cli", "worker", off=off)
    try:
        eventually(lambda: "working" in log.read_text(), within=20)
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert unhandled(log) == []


def started(config: Config, log: Path, *module: str, off: float) -> "subprocess.Popen[bytes]":
    """A Python module as a process with these settings; its wall clock is `off` by so many seconds."""
    settings = {field.name.upper(): str(getattr(config, field.name)) for field in fields(config)}
    skewed = ["tests.live.skewed", str(off)] if off else []
    arguments = [sys.executable, "-m", *skewed, *module]
    with log.open("wb") as output:
        return subprocess.Popen(arguments, env=os.environ | settings, cwd=ROOT, stdout=output, stderr=output)
