"""Tasks of `chunshui worker` that keep Valkey true: reap the dead, refill what was lost, audit.

Promises: any number of workers may run them at once and any run may be repeated; members of a dead gateway leave the
count within a lease and two ticks; figures call themselves exact again only when joined, checked-in and peak are back
from PostgreSQL and every gateway had one full lease to push whom it holds. Reaping needs Valkey alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import redis
import structlog
from flask import Flask, current_app
from sqlalchemy import Select, func, select

from service import metrics, valkey
from service.activity.models import Stream
from service.clock import now as read_clock
from service.config import Config
from service.extensions import db
from service.live import figures, recording
from service.live.curves import Recorder
from service.live.gauging import StreamGauges
from service.live.inspection import defects
from service.live.models import Stay
from service.live.scripts import Slot, Timing
from service.scope import everything, scoped
from service.working import Task

TICK_SECONDS = 1.0
REFILL_SECONDS = 0.25
# Two ticks were missed when more than so many intervals lie between two.
MISSED = 2.5
RECONCILE_SECONDS = 10.0
# Above this a recount reads for seconds.
RECOUNTED_MEMBERS = 10_000
STAYS_SECONDS = 5.0
GAUGE_SECONDS = 2.0
# Known before anybody can join, so that the first join finds exact figures; kept until the last viewer has gone.
EARLY, LATE = timedelta(minutes=10), timedelta(hours=24)
# Longer than a clock may be wrong and a gateway's rules may be old: whoever joins a stream joins it later than this.
UNTOUCHED = timedelta(minutes=1)
NO_PATIENCE = -1
PAGE = 5000

Ledger = Callable[[int], Select[int]]

log = structlog.get_logger(__name__)


def register_ledger(app: Flask, check_ins: Ledger, taken_back: Ledger | None = None) -> None:
    """Name the SELECT of the members that checked in to a stream's sitting; their room is to the right of ours.

    `taken_back` is that of those who had and have not any more.
    """
    app.extensions["check_in_ledger"] = check_ins
    app.extensions["taken_back_ledger"] = taken_back


def ledgers(stream: int) -> dict[figures.Noted, Select[int]]:
    """Who joined and who checked in, according to PostgreSQL, once each."""
    found: dict[figures.Noted, Select[int]] = {
        "joined": scoped(select(Stay.member_id), Stay.stream_id == stream).distinct()
    }
    if check_ins := current_app.extensions.get("check_in_ledger"):
        found["checked_in"] = check_ins(stream).distinct()
    return found


def tasks(config: Config, board: metrics.Board) -> list[Task]:
    """The live room's tasks, with their intervals; what the audit finds goes to `board`."""
    wrong = board.gauge("audit_difference", "What the last audit found wrong, in members and connections.", over="max")
    timing = Timing.of(config)
    keeper = Keeper(timing)
    gauges = StreamGauges(keeper)
    board.registry.register(gauges)
    silence = timedelta(seconds=config.stay_silence_seconds)
    closer = recording.Closer(silence=silence, missed=timedelta(seconds=STAYS_SECONDS * MISSED))
    recorder = Recorder(timing, config.curve_seconds)
    return [
        Task("streams", TICK_SECONDS, lambda _: keeper.look_up(read_clock())),
        Task("reap", timing.tick / 1000, lambda _: keeper.reap(valkey.client())),
        Task("refill", REFILL_SECONDS, lambda _: keeper.refill(valkey.client(), read_clock())),
        Task("reconcile", RECONCILE_SECONDS, lambda _: keeper.reconcile(valkey.client(), read_clock())),
        Task("audit", config.audit_seconds, lambda _: wrong.set(keeper.audit(valkey.client()))),
        Task("peaks", TICK_SECONDS, lambda _: recording.record_peaks(keeper.peaks())),
        Task("curve", recorder.spacing, lambda _: recorder.record(valkey.client(), keeper.streams, read_clock())),
        Task("gauges", GAUGE_SECONDS, lambda _: gauges.read(valkey.client())),
        Task("stays", STAYS_SECONDS, lambda _: closer.close(read_clock())),
    ]


@dataclass
class Keeper:
    """What one worker knows of the live streams. The list outlives PostgreSQL's absence, the ticks Valkey's."""

    timing: Timing
    streams: tuple[recording.Live, ...] = ()
    ticks: dict[Slot, figures.Tick] = field(default_factory=dict)
    highest: dict[int, figures.Peak] = field(default_factory=dict)
    _refilled: dict[Slot, str] = field(default_factory=dict)

    def look_up(self, now: datetime) -> None:
        """Learn from PostgreSQL which streams are live, were a day ago or will be in minutes."""
        columns = (Stream.id, Stream.opens_at, Stream.closes_at, Stream.peak, Stream.peak_at, Stream.shards)
        window = (Stream.opens_at <= now + EARLY, Stream.closes_at >= now - LATE)
        self.streams = tuple(recording.Live(*row) for row in db.session.execute(scoped(select(*columns), *window)))
        slots = {slot for stream in self.streams for slot in stream.slots}
        self.ticks = {slot: tick for slot, tick in self.ticks.items() if slot in slots}
        self.highest = {stream.id: self._highest(stream) for stream in self.streams}

    def reap(self, client: redis.Redis, *, now: int = 0) -> None:
        """Tick every slot and take the members of dead gateways out of its count.

        A slot that cannot be reached keeps no other one waiting; its error is raised at the end.
        """
        failed: redis.RedisError | None = None
        for stream in self.streams:
            for slot in stream.slots:
                try:
                    self._tick(client, slot, now)
                except redis.RedisError as error:
                    failed = error
            self.highest[stream.id] = self._highest(stream)
        if failed is not None:
            raise failed

    def refill(self, client: redis.Redis, at: datetime, *, now: int = 0) -> None:
        """Give every slot whose epoch is new its history back; call it exact when all gateways had time to push."""
        for stream in self.streams:
            epochs = {slot: tick.epoch for slot, tick in self._ticks(stream).items() if self._owed(slot, tick)}
            try:
                self._refill(client, stream, epochs, at, now)
            except figures.EpochGoneError:
                log.warning("valkey was emptied again", stream=stream.id)

    def reconcile(self, client: redis.Redis, at: datetime, *, now: int = 0) -> None:
        """Note again what PostgreSQL knows and Valkey does not: it missed a check-in, or a replica the last seconds."""
        for stream in self.streams:
            if not stream.opens_at - EARLY <= at <= stream.closes_at + EARLY:
                continue
            ticks = self._ticks(stream)
            if len(ticks) < stream.shards or any(tick.rebuilding for tick in ticks.values()):
                continue
            for noted, ledger in ledgers(stream.id).items():
                recorded = counted(ledger)
                # Read afterwards: the ledger follows Valkey, so whoever joins meanwhile is no reason to read it all.
                if recorded > getattr(figures.read_snapshot(client, stream.slots, timing=self.timing), noted):
                    fresh = figures.note(client, dict.fromkeys(stream.slots, ""), members(ledger), field=noted, now=now)
                    log.info("reconciled with the ledger", stream=stream.id, field=noted, added=fresh)
            if taken_back := current_app.extensions.get("taken_back_ledger"):
                figures.take_back(client, stream.slots, members(taken_back(stream.id)))

    def audit(self, client: redis.Redis) -> int:
        """Compare every stream with the gateways' bitmaps; a small or a suspect one is also recounted at rest.

        What is left is a defect, and is said; the sum of all differences.
        """
        difference = 0
        for stream in self.streams:
            seen = figures.read_snapshot(client, stream.slots, timing=self.timing)
            if seen.online:
                wrong = defects(client, stream.slots, timing=self.timing, recount=seen.online <= RECOUNTED_MEMBERS)
                difference += sum(map(abs, wrong.values()))
                if wrong:
                    log.error("audit difference", stream=stream.id, **wrong)
        return difference

    def peaks(self) -> Iterator[tuple[int, int, datetime]]:
        """The peaks that are known here and PostgreSQL, when last asked, had not."""
        for stream in self.streams:
            online, at = self.highest[stream.id]
            if at is not None and online > stream.peak:
                yield stream.id, online, at

    def _ticks(self, stream: recording.Live) -> dict[Slot, figures.Tick]:
        return {slot: self.ticks[slot] for slot in stream.slots if slot in self.ticks}

    def _tick(self, client: redis.Redis, slot: Slot, now: int) -> None:
        missed, highest = round(self.timing.tick * MISSED), self.highest.get(slot.stream, figures.NO_PEAK)
        tick = figures.tick(client, slot, timing=self.timing, missed=missed, highest=highest, now=now)
        self.ticks[slot] = tick
        for boot in tick.expired:
            remaining = figures.reap(client, slot, boot, timing=self.timing, now=now)
            while remaining > 0:
                remaining = figures.reap(client, slot, boot, timing=self.timing, now=now)
            if remaining == 0:
                log.info("reaped", stream=slot.stream, shard=slot.shard, boot=boot)

    def _highest(self, stream: recording.Live) -> figures.Peak:
        """The highest count that is recorded, that a slot knows, or that the slots add up to now.

        One slot alone has seen every count; several are added up once a tick, so between two ticks more may have been.
        """
        ticks = self._ticks(stream).values()
        known = [figures.Peak(stream.peak, stream.peak_at), *(tick.highest for tick in ticks)]
        if len(ticks) == stream.shards:
            known.append(figures.Peak(sum(tick.sure for tick in ticks), min(tick.as_of for tick in ticks)))
        return max(known, key=lambda peak: peak.online)

    def _owed(self, slot: Slot, tick: figures.Tick) -> bool:
        """Twice: at once, and when ripe, for the stays that gateways had not written yet at the first time."""
        return tick.rebuilding and (tick.ripe or self._refilled.get(slot) != tick.epoch)

    def _refill(
        self, client: redis.Redis, stream: recording.Live, epochs: Mapping[Slot, str], at: datetime, now: int
    ) -> None:
        if not epochs:
            return
        for noted, ledger in ledgers(stream.id).items():
            figures.note(client, epochs, members(ledger), field=noted, now=now)
        self._refilled.update(epochs)
        patience = NO_PATIENCE if untouched(stream, at) else self.timing.lease
        for slot, epoch in epochs.items():
            if figures.settle(client, slot, epoch=epoch, lease=patience, now=now):
                log.info("figures are exact", stream=stream.id, shard=slot.shard)


def untouched(stream: recording.Live, at: datetime) -> bool:
    """Whether no gateway can hold anybody of `stream`: it opens later, and nobody ever joined it.

    The second half is for a stream that was open already and then put off.
    """
    if at >= stream.opens_at - UNTOUCHED:
        return False
    return db.session.scalar(scoped(select(Stay.member_id), Stay.stream_id == stream.id).limit(1)) is None


def counted(ledger: Select[int]) -> int:
    """How many members a ledger names."""
    return (
        db.session.scalar(everything("one stream's ledger", select(func.count()).select_from(ledger.subquery()))) or 0
    )


def members(ledger: Select[int]) -> Iterator[int]:
    """The members of a ledger, in pages: no transaction stays open while Valkey is told."""
    column = ledger.subquery().c[0]
    last = -1
    pages = everything("one stream's ledger", select(column).order_by(column).limit(PAGE))
    while page := db.session.scalars(pages.where(column > last)).all():
        db.session.rollback()
        yield from page
        last = page[-1]
