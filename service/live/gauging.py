"""What the worker tells Prometheus of every live stream. A stream that is over is told no longer."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import redis
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.live.figures import Snapshot, read_snapshot

if TYPE_CHECKING:
    from service.live.reaping import Keeper

FIGURES = {
    "online": "Members online.",
    "connections": "Connections of members.",
    "joined": "Members that ever joined.",
    "in_doubt": "Members whose gateway was not heard in time.",
}


class StreamGauges(Collector):
    """The figures that were read last; `read` is a task, `collect` asks nobody."""

    def __init__(self, keeper: "Keeper") -> None:
        self._keeper = keeper
        self._seen: dict[int, Snapshot] = {}

    def read(self, client: redis.Redis) -> None:
        """Read the figures of every live stream; those of the others are forgotten."""
        streams, timing = self._keeper.streams, self._keeper.timing
        self._seen = {stream.id: read_snapshot(client, stream.slots, timing=timing) for stream in streams}

    def collect(self) -> Iterator[Metric]:
        """Every gauge with one sample a stream."""
        for name, doc in FIGURES.items():
            yield self._gauge(name, doc, {stream: getattr(seen, name) for stream, seen in self._seen.items()})
        exact = {stream: int(seen.reason is None) for stream, seen in self._seen.items()}
        yield self._gauge("exact", "1 when the figures are exact, 0 when degraded.", exact)
        rebuilding = {stream: int(seen.reason == "rebuilding") for stream, seen in self._seen.items()}
        yield self._gauge("rebuilding", "1 while Valkey is given its history back.", rebuilding)

    def _gauge(self, name: str, doc: str, values: dict[int, int]) -> Metric:
        gauge = GaugeMetricFamily(f"chunshui_stream_{name}", doc, labels=["stream"])
        for stream, value in values.items():
            gauge.add_metric([str(stream)], value)
        return gauge
