"""The gateway as it runs in production: gunicorn with the shipped configuration, in processes of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.request import urlopen

from service.config import Config
from tests.live.stage import children
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

    def stop(self) -> int:
        """End it as an operator does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def running(config: Config, folder: Path, *, workers: int = 1) -> Iterator[Running]:
    """A gateway with `workers` workers, which must end without having logged an exception."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {field.name.upper(): str(getattr(config, field.name)) for field in fields(config)}
    environ = os.environ | settings | {"GATEWAY_PORT": str(port), "GATEWAY_WORKERS": str(workers)}
    log = folder / "gateway.log"
    arguments = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "deploy/gunicorn/gateway.py")]
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, env=environ, cwd=ROOT, stdout=output, stderr=output)
    gateway = Running(process, port, log)
    try:
        eventually(lambda: gateway.serving() == workers and gateway.healthy(), within=20)
        yield gateway
    finally:
        if process.poll() is None:
            gateway.stop()
    assert "Traceback" not in log.read_text()
