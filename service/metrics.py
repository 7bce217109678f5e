"""Metrics in the form that Prometheus reads: who may read them, and how processes that share a port count together.

gunicorn's workers share a port, so that a scrape hits any one of them. `share`, called before the fork, lets them all
write to files of one folder, and a `Board` adds up what lies there: counters and histograms of everybody, the dead
included; gauges of the living, added, or their highest or lowest, as each says. A process alone needs no folder.
No metric has a label that names a person.
"""

import os
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client import disable_created_metrics as leave_out_ages
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

KIND = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# Where the library looks for the folder.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it

Over = Literal["sum", "max", "min"]
Live = Literal["livesum", "livemax", "livemin"]

leave_out_ages()  # type: ignore[no-untyped-call]
_shared: list[str] = []


def share(process: str) -> None:
    """Let the workers that this process forks count together. May be called again, as a reload does."""
    if not _shared:
        # In memory, where there is such a place: a worker must not wait for a disk in order to count.
        place = MEMORY if os.access(MEMORY, os.W_OK) else None
        _shared.append(tempfile.mkdtemp(prefix=f"chunshui-{process}-", dir=place))
        os.environ[FOLDER] = _shared[0]
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]


def bury(pid: int) -> None:
    """A worker has ended, however it did: its gauges are gone, what it counted stays."""
    mark_process_dead(pid, _shared[0])  # type: ignore[no-untyped-call]


def clear_away() -> None:
    """Remove the folder; for the process that called `share`, at its end."""
    for folder in _shared:
        shutil.rmtree(folder, ignore_errors=True)


class Running:
    """A counter that is told the total so far now and then, and nothing at each event."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._told = 0.0

    def tell(self, total: float) -> None:
        """The total is `total` now."""
        self._counter.inc(max(0.0, total - self._told))
        self._told = max(total, self._told)


class Board:
    """The metrics of one process; `page` is what Prometheus reads."""

    def __init__(self, process: str) -> None:
        self.registry = CollectorRegistry()
        self.vitals = Vitals(self, process)

    def counter(self, name: str, doc: str, labels: Sequence[str] = ()) -> Counter:
        """Something that only grows; of all workers together."""
        return Counter(f"chunshui_{name}", doc, labels, registry=self.registry)

    def gauge(self, name: str, doc: str, *, over: Over = "sum", labels: Sequence[str] = ()) -> Gauge:
        """Something as it is now; `over` the workers that live it is added, or the highest or lowest is shown."""
        mode: Live = f"live{over}"  # type: ignore[assignment]
        return Gauge(f"chunshui_{name}", doc, labels, multiprocess_mode=mode, registry=self.registry)

    def histogram(
        self, name: str, doc: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        """How long something took; of all workers together."""
        return Histogram(f"chunshui_{name}", doc, labels, buckets=buckets, registry=self.registry)

    def page(self) -> bytes:
        """Every metric, of all workers where they share a folder."""
        if not _shared:
            self.vitals.sample()
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, _shared[0])  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class Vitals:
    """What every process tells of itself; `sample` is called about once a second where several share a folder."""

    def __init__(self, board: Board, process: str) -> None:
        labels = ("process", "version", "python")
        build = board.gauge("build_info", "1, with the release in the labels.", over="max", labels=labels)
        build.labels(process, version("chunshui"), platform.python_version()).set(1)
        board.gauge("workers", "Processes that live.").set(1)
        limit = board.gauge("descriptors_limit", "How many descriptors a process may open.", over="min")
        limit.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._sampled = board.gauge("sampled_timestamp_seconds", "When the slowest process last told this.", over="min")
        self._cpu = Running(board.counter("cpu_seconds", "Processor time, user and system."))
        self._memory = board.gauge("resident_bytes", "Memory in use.")
        self._open = board.gauge("open_descriptors", "Open descriptors of the process that has most.", over="max")
        self.database = board.gauge("database_reachable", "1 unless PostgreSQL failed us last.", over="min")
        self.valkey = board.gauge("valkey_reachable", "1 unless Valkey failed us last.", over="min")
        self.database.set(1)
        self.valkey.set(1)
        self.sample()

    def sample(self) -> None:
        """Tell of the process as it is now."""
        self._sampled.set(time.time())
        self._cpu.tell(time.process_time())
        if (memory := resident_bytes()) is not None:
            self._memory.set(memory)
        if (descriptors := open_descriptors()) is not None:
            self._open.set(descriptors)


def loop_lag(board: Board) -> Histogram:
    """For processes with an event loop."""
    return board.histogram("loop_lag_seconds", "How late the event loop's timers were.")


def resident_bytes() -> int | None:
    """Memory in use, where the system tells (Linux)."""
    try:
        pages = Path("/proc/self/statm").read_bytes().split()[1]
    except OSError:
        return None
    return int(pages) * resource.getpagesize()


def open_descriptors() -> int | None:
    """How many descriptors are open, where the system tells without being asked for each (Linux 6.2)."""
    try:
        return os.stat("/proc/self/fd").st_size or None
    except OSError:
        return None
