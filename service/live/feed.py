"""The organisers' feed: each web process reads Valkey itself and tells its own clients. Nothing else emits.

Promises: what is told is absolute and says of when it is and how good; every reading is told, also one that changed
nothing, so that nobody shows an old count for want of news. Without Valkey the last figures are told, as degraded.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import redis
import structlog
from flask import Flask
from flask_socketio import SocketIO
from gevent import Timeout
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.clock import now as read_clock
from service.config import Config
from service.deadline import SECONDS
from service.live.disclosure import Told, disclosed
from service.live.figures import Snapshot, read_snapshot
from service.live.nodes import View
from service.live.schemas import SnapshotOut
from service.live.scripts import Slot, Timing
from service.metrics import Board
from service.org.accounts.sessions import Terms, still_open

NAMESPACE = "/organisers"
SESSION_SECONDS = 15.0

SNAPSHOT = SnapshotOut()
PARTS = ("organisation", "organisations", "place", "places", "channels", "sources")
FIGURES = tuple(name for name in SNAPSHOT.fields if name not in PARTS)
COUNTS = ("online", "connections", "joined", "peak", "peak_at", "peak_basis", "checked_in")
UNKNOWN = dict.fromkeys(COUNTS) | {"basis": "degraded", "reason": "valkey"}
NOTHING = Told({}, {}, {}, {})

Key = TypeVar("Key")
Emit = Callable[[dict[str, Any], list[str]], None]

log = structlog.get_logger(__name__)


class Feed:
    """What this process's clients watch. One reading serves all clients of a stream."""

    def __init__(self, client: redis.Redis, *, timing: Timing, emit: Emit) -> None:
        self._client = client
        self._timing = timing
        self._emit = emit
        self._watching: dict[View, set[str]] = {}
        self._watched: dict[tuple[str, int], View] = {}
        self._last: dict[int, Snapshot] = {}
        self._away = False
        self._failed = False
        self._fresh_at = time.monotonic()

    @property
    def watchers(self) -> int:
        """How many clients watch something."""
        return len({client for client, _ in self._watched})

    @property
    def reachable(self) -> bool:
        """Whether Valkey answered the last reading."""
        return not self._away

    def age(self, monotonic: float) -> float:
        """Seconds since everything that is watched was read."""
        return monotonic - self._fresh_at if self._watching else 0.0

    def watch(self, client: str, view: View) -> None:
        """Show `view` to a client from the next reading on, in place of what it saw of that stream."""
        self.unwatch(client, view.stream)
        self._watched[client, view.stream] = view
        self._watching.setdefault(view, set()).add(client)

    def unwatch(self, client: str, stream: int) -> None:
        """Show a stream no longer; quiet if it was not shown."""
        view = self._watched.pop((client, stream), None)
        if view is not None:
            self._watching[view].discard(client)
            if not self._watching[view]:
                del self._watching[view]

    def forget(self, client: str) -> None:
        """A client has gone."""
        for known, stream in list(self._watched):
            if known == client:
                self.unwatch(client, stream)

    def tick(self) -> None:
        """Read every watched stream and tell everybody who watches it."""
        self._failed = False
        for slots in {view.slots for view in self._watching}:
            views = [view for view in self._watching if view.slots == slots]
            seen = self._read(slots, views)
            # Somebody may have left while Valkey answered.
            for view in views:
                if clients := self._watching.get(view):
                    self._emit(shown(view, seen), sorted(clients))
        self._last = {stream: self._last[stream] for _, stream in self._watched if stream in self._last}
        if not self._failed:
            self._fresh_at = time.monotonic()

    def _read(self, slots: Sequence[Slot], views: Iterable[View]) -> Snapshot | None:
        stream = slots[0].stream
        # One failure is enough a round: a frozen Valkey would hold up every stream in turn.
        if not self._failed:
            try:
                self._last[stream] = self._ask(slots, views)
                self._away = False
                return self._last[stream]
            except redis.RedisError as error:
                self._failed = True
                self._say_away(error)
        last = self._last.get(stream)
        return replace(last, reason="valkey") if last else None

    def _ask(self, slots: Sequence[Slot], views: Iterable[View]) -> Snapshot:
        organisations = sorted({node for view in views for node in (*ids(homes(view)), *view.outlook.organisations)})
        places = sorted({node for view in views for node in (*ids(places_of(view)), *view.outlook.divisions)})
        return read_snapshot(self._client, slots, timing=self._timing, organisations=organisations, places=places)

    def _say_away(self, error: redis.RedisError) -> None:
        if not self._away:
            log.warning("the feed has no valkey", error=type(error).__name__)
        self._away = True


def homes(view: View) -> list[tuple[int, str]]:
    """The organisations of a view, with their names."""
    return [*([view.organisation] if view.organisation else []), *view.organisations]


def places_of(view: View) -> list[tuple[str, str]]:
    """The divisions of a view, with their names."""
    return [*([view.place] if view.place else []), *view.places]


def ids(nodes: Iterable[tuple[Key, str]]) -> Iterable[Key]:
    """Nodes without their names."""
    return (node for node, _ in nodes)


def shown(view: View, seen: Snapshot | None) -> dict[str, Any]:
    """The event `snapshot` for one view; figures that Valkey never gave us, or that are not for this view, are null."""
    if seen is None:
        figures = {"stream": view.stream, "epoch": "", "seq": 0, "in_doubt": 0, "as_of": read_clock()} | UNKNOWN
        return dump(figures, view, NOTHING)
    figures = {name: getattr(seen, name) for name in FIGURES}
    return dump(figures, view, disclosed(seen, view.outlook))


def dump(figures: dict[str, Any], view: View, told: Told) -> dict[str, Any]:
    """`figures` with the view's nodes, as JSON values."""
    home = [{"id": id_, "name": name, "online": told.organisations.get(id_)} for id_, name in homes(view)]
    there = [{"code": code, "name": name, "online": told.places.get(code)} for code, name in places_of(view)]
    nodes = {
        "organisation": home.pop(0) if view.organisation else None,
        "organisations": home,
        "place": there.pop(0) if view.place else None,
        "places": there,
        "channels": told.channels,
        "sources": told.sources,
    }
    found: dict[str, Any] = SNAPSHOT.dump(figures | nodes)
    return found


def told_by(feed: Feed, board: Board) -> Callable[[], None]:
    """What tells Prometheus of the feed, once a second."""
    watching = board.gauge("web_organisers_watching", "Clients that watch a live count.")
    age = board.gauge("web_snapshot_age_seconds", "Since the watched figures were read from Valkey.", over="max")

    def tell() -> None:
        watching.set(feed.watchers)
        age.set(feed.age(time.monotonic()))
        board.vitals.valkey.set(feed.reachable)

    return tell


def init_app(app: Flask, socketio: SocketIO) -> Feed:
    """The feed of `app`; it starts to read when somebody first watches."""
    config: Config = app.config["CHUNSHUI"]

    def emit(told: dict[str, Any], clients: list[str]) -> None:
        socketio.emit("snapshot", told, to=clients, namespace=NAMESPACE)

    return Feed(app.extensions["valkey"], timing=Timing.of(config), emit=emit)


class Reader:
    """The background loops of a web process: one drives the feed, one cuts off whoever has logged out meanwhile.

    Two, because the second one asks PostgreSQL, and a frozen PostgreSQL must not stop the count.
    """

    def __init__(self, app: Flask, socketio: SocketIO, feed: Feed) -> None:
        self._app = app
        self._socketio = socketio
        self._feed = feed
        self._every: float = app.config["CHUNSHUI"].feed_seconds
        self._running = False
        self.sessions: dict[str, int] = {}

    def start(self) -> None:
        """Begin, once per process."""
        if not self._running:
            self._running = True
            self._socketio.start_background_task(self._repeat, self._feed.tick, self._every)
            self._socketio.start_background_task(self._repeat, lambda: self.cut_off(read_clock()), SESSION_SECONDS)

    def cut_off(self, now: datetime) -> None:
        """Disconnect the clients whose session has ended; without PostgreSQL everybody stays."""
        if not self.sessions:
            return
        limit = Timeout(SECONDS)
        try:
            with limit, self._app.app_context():
                terms = Terms.of(self._app.config["CHUNSHUI"])
                still = still_open(set(self.sessions.values()), purpose="activities", terms=terms, now=now)
        except (DBAPIError, PoolTimeout):
            return
        except Timeout as timeout:
            if timeout is not limit:
                raise
            return
        for client, session in list(self.sessions.items()):
            if session not in still:
                self._socketio.server.disconnect(client, namespace=NAMESPACE)

    def _repeat(self, act: Callable[[], None], seconds: float) -> None:
        while True:
            due = time.monotonic() + seconds
            try:
                act()
            except Exception:
                # A defect in one round must not leave every wall without figures for good.
                log.exception("the feed failed")
            self._socketio.sleep(max(0.05, due - time.monotonic()))
