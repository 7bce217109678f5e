"""The curves of a stream: exact readings as points, every other time as an outage with its reason, never as a dip.

Promises: every reading may be recorded by several workers at once and again; one of them writes. Whoever finds that
readings are missing, because a worker, Valkey or PostgreSQL was away, records the outage then.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
import structlog
from sqlalchemy import ColumnElement, case, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import InstrumentedAttribute

from service.activity.audience import organiser_may_watch, organising
from service.activity.models import Activity, Sitting, Stream
from service.clock import iso
from service.errors import ServiceError
from service.extensions import db
from service.live.figures import Snapshot, read_snapshot
from service.live.models import CurveMinute, CurveOutage, CurvePoint
from service.live.nodes import CURVED_ORGANISATIONS, CURVED_PLACES, curved_organisations, curved_places, permitted
from service.live.recording import Live
from service.live.scripts import Timing
from service.notify.outbox import publish
from service.org.models import Division, Organisation
from service.org.organisers import Organiser
from service.scope import scoped

ANNOUNCE_SECONDS = 10
# Half a day of points.
MOST_POINTS = 10_000
MINUTE = 60.0
# A reading may fall just before or after the edge of its interval: one that is missing proves nothing yet.
PATIENCE = 2
FIGURES = ("online", "connections", "joined", "checked_in")

log = structlog.get_logger(__name__)


@dataclass
class Recorder:
    """Records the curves of open streams, a point every `spacing` seconds, the nodes once a minute."""

    timing: Timing
    spacing: float
    _minutes: dict[int, datetime] = field(default_factory=dict)
    _ended: set[int] = field(default_factory=set)
    # What kept this worker from writing since it last wrote; not even running, if it knows of nothing.
    _trouble: str = "worker"

    def record(self, client: redis.Redis, streams: Iterable[Live], now: datetime) -> None:
        """Read and record every open stream; raises what Valkey or PostgreSQL raised after that was recorded."""
        try:
            unread = self._record(client, streams, now)
        except (DBAPIError, PoolTimeout):
            self._trouble = "database"
            raise
        self._trouble = "worker"
        if unread is not None:
            raise unread

    def _record(self, client: redis.Redis, streams: Iterable[Live], now: datetime) -> redis.RedisError | None:
        unread = None
        for stream in streams:
            if now > stream.closes_at:
                self._end(stream)
            elif now >= stream.opens_at:
                # One failure is enough a round: a frozen Valkey would hold up every stream in turn.
                try:
                    seen = None if unread else self._read(client, stream, now)
                except redis.RedisError as error:
                    seen, unread = None, error
                self._write(stream, seen, now)
        return unread

    def _read(self, client: redis.Redis, stream: Live, now: datetime) -> Snapshot:
        if self._minutes.get(stream.id) == floor(now, MINUTE):
            return read_snapshot(client, stream.slots, timing=self.timing)
        organisations, places = curved_organisations(), curved_places()
        return read_snapshot(client, stream.slots, timing=self.timing, organisations=organisations, places=places)

    def _write(self, stream: Live, seen: Snapshot | None, now: datetime) -> None:
        if seen is None:
            record_silence(stream.id, floor(now, self.spacing), spacing=self.spacing, reason="valkey")
            return
        record_reading(seen, spacing=self.spacing, missing=self._trouble)
        if not seen.reason:
            self._minutes[stream.id] = floor(seen.as_of, MINUTE)

    def _end(self, stream: Live) -> None:
        """Nobody recorded the end, perhaps: once per stream and worker."""
        if stream.id not in self._ended:
            record_silence(stream.id, stream.closes_at, spacing=self.spacing, reason=self._trouble)
            self._ended.add(stream.id)
            self._minutes.pop(stream.id, None)


def floor(moment: datetime, seconds: float) -> datetime:
    """The last multiple of `seconds` before `moment`."""
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def record_reading(seen: Snapshot, *, spacing: float, missing: str = "worker") -> bool:
    """Record `seen` for the interval of `spacing` seconds that it falls in; False if somebody has. Commits.

    An exact reading is a point, and a minute of the nodes if it has any; another one is an outage or prolongs it. A gap
    before the point is an outage for the reason `missing`. The first reading of every ANNOUNCE_SECONDS tells the
    outbox in the same transaction.
    """
    at = floor(seen.as_of, spacing)
    past = Past.of(seen.stream)
    if seen.reason:
        recorded = past.interrupt(at, seen.reason)
    else:
        recorded = add_point(seen, at)
        if recorded:
            past.resume(at, missing, patience=timedelta(seconds=PATIENCE * spacing))
        add_minute(seen)
    if recorded and at - floor(at, ANNOUNCE_SECONDS) < timedelta(seconds=spacing):
        announce(seen)
    db.session.commit()
    return recorded


def record_silence(stream: int, at: datetime, *, spacing: float, reason: str) -> None:
    """Nothing could be read at `at`: an outage, if nobody else has read anything lately either. Commits."""
    past = Past.of(stream)
    if past.outage or at - past.exact_at > timedelta(seconds=PATIENCE * spacing):
        past.interrupt(at, reason)
    db.session.commit()


@dataclass
class Past:
    """What is recorded of a stream: when it was last exact (else its opening), and the outage since then, if any."""

    stream: int
    exact_at: datetime
    outage: CurveOutage | None

    @classmethod
    def of(cls, stream: int) -> "Past":
        """Read within the caller's transaction, which nobody else's of the same stream overtakes."""
        lock = scoped(select(Stream.opens_at), Stream.id == stream).with_for_update(key_share=True)
        opens_at = db.session.execute(lock).scalar_one()
        point = select(CurvePoint.at).where(CurvePoint.stream_id == stream).order_by(CurvePoint.at.desc()).limit(1)
        exact_at = db.session.scalar(point) or opens_at
        outage = select(CurveOutage).where(CurveOutage.stream_id == stream, CurveOutage.ended_at > exact_at)
        last = db.session.scalars(outage.order_by(CurveOutage.began_at.desc()).limit(1)).first()
        return cls(stream, exact_at, last)

    def interrupt(self, at: datetime, reason: str) -> bool:
        """There is no exact figure at `at`; False if that is known, or somebody has one."""
        if at <= (self.outage.ended_at if self.outage else self.exact_at):
            return False
        if self.outage:
            self.outage.ended_at = at
        else:
            self._add(at, reason)
        return True

    def resume(self, at: datetime, missing: str, *, patience: timedelta) -> None:
        """The figures are exact at `at`."""
        if self.outage:
            self.outage.ended_at = max(at, self.outage.began_at)
        elif at - self.exact_at > patience:
            self._add(at, missing)

    def _add(self, at: datetime, reason: str) -> None:
        db.session.add(CurveOutage(stream_id=self.stream, began_at=self.exact_at, ended_at=at, reason=reason))
        log.warning("outage of the curve", stream=self.stream, began_at=iso(self.exact_at), reason=reason)


def add_point(seen: Snapshot, at: datetime) -> bool:
    """Whether the point was not there."""
    figures = {name: getattr(seen, name) for name in FIGURES}
    point = insert(CurvePoint).values(stream_id=seen.stream, at=at, **figures)
    return db.session.scalar(point.on_conflict_do_nothing().returning(CurvePoint.stream_id)) is not None


def add_minute(seen: Snapshot) -> None:
    """The nodes that `seen` was asked for, unless somebody was first this minute."""
    if seen.organisations or seen.places:
        minute = insert(CurveMinute).values(
            stream_id=seen.stream,
            at=floor(seen.as_of, MINUTE),
            organisations={str(node): online for node, online in seen.organisations.items() if online},
            places={node: online for node, online in seen.places.items() if online},
        )
        db.session.execute(minute.on_conflict_do_nothing())


def announce(seen: Snapshot) -> None:
    """Publish `stream.count` to the organisations that hold the stream, in the caller's transaction."""
    question = scoped(select(Activity.id, Activity.rehearsal).join(Sitting).join(Stream), Stream.id == seen.stream)
    activity, rehearsal = db.session.execute(question).one()
    payload = {
        "activity": activity,
        "stream": seen.stream,
        "rehearsal": rehearsal,
        "as_of": iso(seen.as_of),
        "basis": seen.basis,
        "reason": seen.reason,
        "in_doubt": seen.in_doubt,
        "online": seen.online,
        "connections": seen.connections,
        "joined": seen.joined,
        "peak": seen.peak,
        "checked_in": seen.checked_in,
    }
    paths = [organisation.path for organisation in organising(seen.stream)]
    publish("stream.count", organisation_path=paths, payload=payload)


def read_curve(
    organiser: Organiser,
    stream: int,
    *,
    organisation: int | None = None,
    place: str | None = None,
    since: datetime | None = None,
) -> dict[str, Any]:
    """The points of the stream, or the minutes of one node of it, after `since`, and the outages that end after it.

    A node of another part of the tree has none: its minutes side by side would tell of single members what one moment
    does not. A place's point is None while anybody of another part is online.
    ServiceError stream_unknown, forbidden, not_found (also for a node below the county).
    """
    if not organiser_may_watch(organiser, stream):
        raise ServiceError("stream_unknown")
    table, figures = recorded(organiser, organisation, place)
    points = select(table.at, *figures).where(table.stream_id == stream)
    outages = select(CurveOutage).where(CurveOutage.stream_id == stream)
    if since is not None:
        points, outages = points.where(table.at > since), outages.where(CurveOutage.ended_at > since)
    return {
        "stream": stream,
        "organisation": organisation,
        "place": place,
        "points": list(db.session.execute(points.order_by(table.at).limit(MOST_POINTS))),
        "outages": list(db.session.scalars(outages.order_by(CurveOutage.began_at).limit(MOST_POINTS))),
    }


def recorded(
    organiser: Organiser, organisation: int | None, place: str | None
) -> tuple[type[CurvePoint | CurveMinute], list[ColumnElement[int]]]:
    """Where the curve of the stream, or of one of its nodes, is kept."""
    if organisation is not None:
        if permitted(organiser, organisation).level not in CURVED_ORGANISATIONS:
            raise ServiceError("not_found")
        return CurveMinute, [online_at(CurveMinute.organisations, str(organisation)).label("online")]
    if place is not None:
        division = db.session.get(Division, place)
        if division is None or division.level not in CURVED_PLACES:
            raise ServiceError("not_found")
        return CurveMinute, [case((all_are_of(organiser), online_at(CurveMinute.places, place))).label("online")]
    return CurvePoint, [getattr(CurvePoint, name) for name in FIGURES]


def online_at(nodes: InstrumentedAttribute[dict[str, int]], node: str) -> ColumnElement[int]:
    """The members online at `node`, 0 where it is not named."""
    return func.coalesce(nodes[node].as_integer(), 0)


def all_are_of(organiser: Organiser) -> ColumnElement[bool]:
    """Whether everybody who is online at a minute belongs to the organiser's own part of the tree."""
    tops = db.session.scalars(select(Organisation.id).where(Organisation.parent_id.is_(None))).all()
    own = [path.rpartition(".")[2] for path in organiser.paths("activities")]
    everybody = sum((online_at(CurveMinute.organisations, str(top)) for top in tops), literal(0))
    return everybody <= sum((online_at(CurveMinute.organisations, top) for top in own), literal(0))
