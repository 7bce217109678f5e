"""The servers under test: how each is started, and what it has used so far."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import psutil

from bench.stage import Stage, free_port, process_cpu

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
START_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A way to serve members' sockets with one worker process."""

    name: str
    command: tuple[str, ...]
    connections: int
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A started server."""

    server: Server
    url: str
    process: "subprocess.Popen[bytes]"

    def cpu(self) -> float:
        """User and system seconds of all its processes."""
        return process_cpu(self.process)

    def memory(self) -> int:
        """Memory that belongs to it alone (USS), in bytes, all its processes together."""
        parent = psutil.Process(self.process.pid)
        return sum(one.memory_full_info().uss for one in (parent, *parent.children(recursive=True)))


def ours() -> Server:
    """Our gateway, as `chunshui gateway` starts it, with one worker."""
    command = (sys.executable, "-m", "gunicorn", "-c", str(ROOT / "deploy" / "gunicorn" / "gateway.py"))
    return Server("chunshui gateway", command, 8_000, {"GATEWAY_WORKERS": "1", "LOG_LEVEL": "warning"})


def socketio_node() -> Server:
    """Stock socket.io on Node with its Redis adapter."""
    return Server("socket.io (Node)", (str(node_folder() / "node"), str(PEERS / "socketio_node.js")), 8_000)


def our_gateway(workers: int) -> Server:
    """Our gateway with as many workers as it takes to hold everybody."""
    one = ours()
    return replace(one, environment=one.environment | {"GATEWAY_WORKERS": str(workers)})


def our_web() -> Server:
    """Our web process, as `chunshui web` starts it, with one worker."""
    command = (sys.executable, "-m", "gunicorn", "-c", str(ROOT / "deploy" / "gunicorn" / "web.py"), "wsgi:app")
    return Server("chunshui web", command, 0, {"WEB_WORKERS": "1", "LOG_LEVEL": "warning"})


def bare_flask() -> Server:
    """Flask alone on the same worker class."""
    options = ("-k", "gevent", "-w", "1", "-b", "127.0.0.1:{port}", "--log-level", "warning")
    return Server("bare Flask", (sys.executable, "-m", "gunicorn", *options, "bench.peers.bare_flask:app"), 0)


def check_in_node() -> Server:
    """Express, pg and socket.io, one INSERT a check-in."""
    command = (str(node_folder() / "node"), str(PEERS / "check_in_node.js"))
    return Server("Express + pg + socket.io", command, 0)


def flask_socketio() -> Server:
    """Stock Flask-SocketIO on gunicorn's gevent worker, its connection limit raised from 1,000."""
    options = ("-k", "gevent", "-w", "1", "--worker-connections", "15000", "--log-level", "warning")
    command = (sys.executable, "-m", "gunicorn", *options, "-b", "127.0.0.1:{port}")
    return Server("Flask-SocketIO", (*command, "bench.peers.flask_socketio_app:app"), 2_000)


@cache
def node_folder() -> Path:
    """Where node and npm are: the system's, or the wheel's."""
    found = subprocess.run([str(ROOT / "deploy" / "node.sh")], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip())


def install_peers() -> None:
    """Install the Node peers' locked packages, if they are not there."""
    wanted = json.loads((PEERS / "package.json").read_text())["dependencies"]
    if not all((PEERS / "node_modules" / name).exists() for name in wanted):
        path = {"PATH": f"{node_folder()}{os.pathsep}{os.environ['PATH']}"}
        command = [str(node_folder() / "npm"), "ci", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=PEERS, env={**os.environ, **path}, check=True)


def peer_versions() -> list[str]:
    """Node's version and the versions of the Node peer's packages."""
    node = subprocess.run([node_folder() / "node", "--version"], capture_output=True, text=True, check=True)
    wanted = json.loads((PEERS / "package.json").read_text())["dependencies"]
    manifests = (json.loads((PEERS / "node_modules" / name / "package.json").read_text()) for name in wanted)
    return [f"Node {node.stdout.strip()}", *(f"{one['name']} {one['version']}" for one in manifests)]


@contextmanager
def start(server: Server, stage: Stage) -> Iterator[Running]:
    """Start a server and wait until it accepts; end it afterwards."""
    port = str(free_port())
    ports = {"PORT": port, "GATEWAY_PORT": port, "WEB_PORT": port, "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, **stage.environment, **ports, **server.environment}
    command = [part.format(port=port) for part in server.command]
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    try:
        wait_until_it_accepts(int(port), process)
        yield Running(server, f"http://127.0.0.1:{port}", process)
    finally:
        process.send_signal(signal.SIGINT)  # without holding members for their grace
        process.wait(30)


def wait_until_it_accepts(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Return when somebody listens; RuntimeError when the process ends, or does not get that far."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"ended at once with exit code {process.returncode}: {process.args!r}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"does not accept: {process.args!r}")
