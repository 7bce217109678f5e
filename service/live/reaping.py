"""Tasks of `chunshui worker` that keep Valkey true: reap the dead, refill what was lost, audit.

Promises: any number of workers may run them at once and any run may be repeated; members of a dead gateway leave the
count within a lease and two ticks; figures call themselves exact again only when joined, checked-in and peak are back
from PostgreSQL and every gateway had one full lease to push whom it holds. Reaping needs Valkey alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import redis
import structlog
from flask import Flask, current_app
from sqlalchemy import Select, func, select

from service import valkey
from service.activity.models import Stream
from service.clock import now as read_clock
from service.config import Config
from service.extensions import db
from service.live import figures, recording
from service.live.audit import audit
from service.live.curves import Recorder
from service.live.models import Stay
from service.live.scripts import Timing
from service.working import Task

TICK_SECONDS = 1.0
REFILL_SECONDS = 0.25
# Two ticks were missed when more than so many intervals lie between two.
MISSED = 2.5
RECONCILE_SECONDS = 10.0
AUDIT_SECONDS = 30.0
# Above this an audit reads for seconds.
AUDITED_MEMBERS = 200_000
STAYS_SECONDS = 5.0
# Known before anybody can join, so that the first join finds exact figures; kept until the last viewer has gone.
EARLY, LATE = timedelta(minutes=10), timedelta(hours=24)
PAGE = 5000

Ledger = Callable[[int], Select[int]]

log = structlog.get_logger(__name__)


def register_ledger(app: Flask, check_ins: Ledger) -> None:
    """Name the SELECT of the members that checked in to a stream's sitting; their room is to the right of ours."""
    app.extensions["check_in_ledger"] = check_ins


def ledgers(stream: int) -> dict[figures.Noted, Select[int]]:
    """Who joined and who checked in, according to PostgreSQL, once each."""
    found: dict[figures.Noted, Select[int]] = {
        "joined": select(Stay.member_id).where(Stay.stream_id == stream).distinct()
    }
    if check_ins := current_app.extensions.get("check_in_ledger"):
        found["checked_in"] = check_ins(stream).distinct()
    return found


def tasks(config: Config) -> list[Task]:
    """The live room's tasks, with their intervals."""
    keeper = Keeper(Timing.of(config))
    silence = timedelta(seconds=config.stay_silence_seconds)
    closer = recording.Closer(silence=silence, missed=timedelta(seconds=STAYS_SECONDS * MISSED))
    recorder = Recorder(Timing.of(config), config.curve_seconds)
    return [
        Task("streams", TICK_SECONDS, lambda _: keeper.look_up(read_clock())),
        Task("reap", TICK_SECONDS, lambda _: keeper.reap(valkey.client())),
        Task("refill", REFILL_SECONDS, lambda _: keeper.refill(valkey.client())),
        Task("reconcile", RECONCILE_SECONDS, lambda _: keeper.reconcile(valkey.client(), read_clock())),
        Task("audit", AUDIT_SECONDS, lambda _: keeper.audit(valkey.client())),
        Task("peaks", TICK_SECONDS, lambda _: recording.record_peaks(keeper.peaks())),
        Task("curve", recorder.spacing, lambda _: recorder.record(valkey.client(), keeper.streams, read_clock())),
        Task("stays", STAYS_SECONDS, lambda _: closer.close(read_clock())),
    ]


@dataclass
class Keeper:
    """What one worker knows of the live streams. The list outlives PostgreSQL's absence, the ticks Valkey's."""

    timing: Timing
    streams: tuple[recording.Live, ...] = ()
    ticks: dict[int, figures.Tick] = field(default_factory=dict)
    _refilled: dict[int, str] = field(default_factory=dict)

    def look_up(self, now: datetime) -> None:
        """Learn from PostgreSQL which streams are live, were a day ago or will be in minutes."""
        columns = (Stream.id, Stream.opens_at, Stream.closes_at, Stream.peak, Stream.peak_at)
        window = (Stream.opens_at <= now + EARLY, Stream.closes_at >= now - LATE)
        self.streams = tuple(recording.Live(*row) for row in db.session.execute(select(*columns).where(*window)))
        known = {stream.id for stream in self.streams}
        self.ticks = {stream: tick for stream, tick in self.ticks.items() if stream in known}

    def reap(self, client: redis.Redis, *, now: int = 0) -> None:
        """Tick every stream and take the members of dead gateways out of its count."""
        for stream in self.streams:
            tick = figures.tick(
                client, stream.id, timing=self.timing, missed=round(TICK_SECONDS * MISSED * 1000), now=now
            )
            self.ticks[stream.id] = tick
            for boot in tick.expired:
                self._reap(client, stream.id, boot, now)

    def refill(self, client: redis.Redis, *, now: int = 0) -> None:
        """Give every stream whose epoch is new its history back; at the end of its first lease call it exact."""
        for stream in self.streams:
            tick = self.ticks.get(stream.id)
            if tick is not None and tick.rebuilding:
                try:
                    self._refill(client, stream, tick, now)
                except figures.EpochGoneError:
                    log.warning("valkey was emptied again", stream=stream.id)

    def reconcile(self, client: redis.Redis, at: datetime, *, now: int = 0) -> None:
        """Note again what PostgreSQL knows and Valkey does not: it missed a check-in, or a replica the last seconds."""
        for stream in self.streams:
            tick = self.ticks.get(stream.id)
            if tick is None or tick.rebuilding or not stream.opens_at - EARLY <= at <= stream.closes_at + EARLY:
                continue
            for noted, ledger in ledgers(stream.id).items():
                missing = counted(ledger) - getattr(tick, noted)
                if missing > 0:
                    fresh = figures.note(client, stream.id, members(ledger), field=noted, now=now)
                    log.info("reconciled with the ledger", stream=stream.id, field=noted, added=fresh)
            if tick.peak < stream.peak:
                self._settle(client, stream, tick, now)

    def audit(self, client: redis.Redis) -> None:
        """Recount every stream of bearable size; a difference at rest is a defect, and is said."""
        for stream in self.streams:
            seen = figures.read_snapshot(client, stream.id, timing=self.timing)
            if not seen.online or seen.online > AUDITED_MEMBERS:
                continue
            found = audit(client, stream.id)
            if found.at_rest and found.differences:
                log.error("audit difference", stream=stream.id, **found.differences)

    def peaks(self) -> Iterator[tuple[int, int, datetime]]:
        """The peaks that Valkey has and PostgreSQL, when last asked, had not."""
        for stream in self.streams:
            tick = self.ticks.get(stream.id)
            if tick is not None and tick.peak_at is not None and tick.peak > stream.peak:
                yield stream.id, tick.peak, tick.peak_at

    def _reap(self, client: redis.Redis, stream: int, boot: str, now: int) -> None:
        remaining = figures.reap(client, stream, boot, timing=self.timing, now=now)
        while remaining > 0:
            remaining = figures.reap(client, stream, boot, timing=self.timing, now=now)
        if remaining == 0:
            log.info("reaped", stream=stream, boot=boot)

    def _refill(self, client: redis.Redis, stream: recording.Live, tick: figures.Tick, now: int) -> None:
        """Twice: at once, and when ripe, for the stays that gateways had not written yet at the first time."""
        if self._refilled.get(stream.id) == tick.epoch and not tick.ripe:
            return
        for noted, ledger in ledgers(stream.id).items():
            figures.note(client, stream.id, members(ledger), field=noted, epoch=tick.epoch, now=now)
        self._refilled[stream.id] = tick.epoch
        if self._settle(client, stream, tick, now):
            log.info("figures are exact", stream=stream.id)

    def _settle(self, client: redis.Redis, stream: recording.Live, tick: figures.Tick, now: int) -> bool:
        lease, peak, peak_at = self.timing.lease, stream.peak, stream.peak_at
        return figures.settle(client, stream.id, epoch=tick.epoch, lease=lease, peak=peak, peak_at=peak_at, now=now)


def counted(ledger: Select[int]) -> int:
    """How many members a ledger names."""
    return db.session.scalar(select(func.count()).select_from(ledger.subquery())) or 0


def members(ledger: Select[int]) -> Iterator[int]:
    """The members of a ledger, in pages: no transaction stays open while Valkey is told."""
    column = ledger.subquery().c[0]
    last = -1
    while page := db.session.scalars(select(column).where(column > last).order_by(column).limit(PAGE)).all():
        db.session.rollback()
        yield from page
        last = page[-1]
