"""One stream, one worker process and a clock that only the test moves: flushes arrive when the test says so."""

from datetime import UTC, datetime
from itertools import count

import redis

from service.activity.models import Stream
from service.live import figures
from service.live.presence import Attribution, Batch, Holding, Reply
from service.live.reaping import Keeper
from service.live.scripts import Slot, Timing, call

TIMING = Timing(lease=5000, stale=1500)
NOW = datetime(2026, 9, 20, 1, tzinfo=UTC)
HOME = Attribution("1.2.3", "54.5401", "h5", "hls")


class Scene:
    """One stream, one worker process and a clock that only the test moves."""

    def __init__(self, client: redis.Redis, stream: Stream, *, timing: Timing = TIMING) -> None:
        self.valkey = client
        self.timing = timing
        self.stream = stream.id
        self.slot = Slot(stream.id)
        self.keeper = Keeper(timing)
        self.now = 1_000_000
        self.boots = count(1)
        self.keeper.look_up(NOW)

    def holding(self, *members: int) -> Holding:
        holding = Holding(self.slot, boots=lambda: f"boot-{next(self.boots)}")
        for member in members:
            holding.join(member, HOME)
            holding.connect()
        return holding

    def flush(self, holding: Holding, *, renew: bool = True) -> Reply:
        reply = None
        while batch := holding.batch(renew=renew):
            renew = False
            reply = self.deliver(batch)
            holding.acknowledge(reply)
        assert reply is not None
        return reply

    def deliver(self, batch: Batch | None) -> Reply:
        """Execute a flush, whenever it was sent."""
        assert batch is not None
        arguments = batch.arguments(self.timing)[1:]
        return Reply.parse(call(self.valkey, "flush", self.slot, *arguments, boot=batch.boot, now=self.now))

    def tick(self, *holdings: Holding, seconds: int = 1, refill: bool = True) -> None:
        """So many seconds in which the worker is awake and `holdings` renew their leases."""
        for _ in range(seconds):
            self.now += 1000
            for holding in holdings:
                self.flush(holding)
            self.keeper.reap(self.valkey, now=self.now)
            if refill:
                self.keeper.refill(self.valkey, NOW, now=self.now)

    def seen(self) -> figures.Snapshot:
        return figures.read_snapshot(
            self.valkey, [self.slot], timing=self.timing, organisations=[1, 3], places=["5401"], now=self.now
        )
