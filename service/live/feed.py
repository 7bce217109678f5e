"""The organisers' feed: each web process reads Valkey itself and tells its own clients. Nothing else emits.

Promises: what is told is absolute and says of when it is and how good; every reading is told, also one that changed
nothing, so that nobody shows an old count for want of news. Without Valkey the last figures are told, as degraded.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from service.live.disclosure import Came, Told, disclosed, turned_out
from service.live.figures import Snapshot, read_snapshot
from service.live.nodes import View
from service.live.schemas import SnapshotOut
from service.live.scripts import Slot, Timing
from service.live.turnout import Key as Whose
from service.live.turnout import Turnout, Turnouts
from service.metrics import Board
from service.org.accounts.sessions import Terms, still_open

NAMESPACE = "/organisers"
SESSION_SECONDS = 15.0
TURNOUT_SECONDS = 1.0

SNAPSHOT = SnapshotOut()
PARTS = ("organisation", "organisations", "place", "places", "channels", "sources", "check_ins")
FIGURES = tuple(name for name in SNAPSHOT.fields if name not in PARTS)
COUNTS = ("online", "connections", "joined", "peak", "peak_at", "peak_basis", "checked_in")
UNKNOWN = dict.fromkeys(COUNTS) | {"basis": "degraded", "reason": "valkey"}
NOTHING = Told({}, {}, {}, {})
NOBODY = Came({}, {}, {})

Key = TypeVar("Key")
Emit = Callable[[dict[str, Any], list[str]], None]

log = structlog.get_logger(__name__)


class Feed:
    """What this process's clients watch. One reading serves all clients of a stream."""

    def __init__(self, client: redis.Redis, *, timing: Timing, emit: Emit, turnouts: Turnouts | None = None) -> None:
        self.turnouts = turnouts or Turnouts()
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

    @property
    def wanted(self) -> set[Whose]:
        """Whose check-ins are to be counted."""
        return {whose(view) for view in self._watching}

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
                    self._emit(shown(view, seen, self.turnouts.of(whose(view))), sorted(clients))
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


def whose(view: View) -> Whose:
    """Of which stream, and beside whose people, a view shows check-ins."""
    return view.stream, view.outlook.tops


def shown(view: View, seen: Snapshot | None, turnout: Turnout | None = None) -> dict[str, Any]:
    """The event `snapshot` for one view; figures that Valkey never gave us, or that are not for this view, are null."""
    if seen is None:
        figures = {"stream": view.stream, "epoch": "", "seq": 0, "in_doubt": 0, "as_of": read_clock()} | UNKNOWN
        return dump(figures, view, NOTHING, turnout)
    figures = {name: getattr(seen, name) for name in FIGURES}
    return dump(figures, view, disclosed(seen, view.outlook), turnout)


def dump(figures: dict[str, Any], view: View, told: Told, turnout: Turnout | None = None) -> dict[str, Any]:
    """`figures` with the view's nodes, as JSON values."""
    came = NOBODY
    if turnout and turnout.sums:
        came = turned_out(turnout.sums, view.outlook, ids(homes(view)), ids(places_of(view)))
    home = nodes_of("id", homes(view), told.organisations, came.organisations)
    there = nodes_of("code", places_of(view), told.places, came.places)
    nodes = {
        "organisation": home.pop(0) if view.organisation else None,
        "organisations": home,
        "place": there.pop(0) if view.place else None,
        "places": there,
        "channels": told.channels,
        "sources": told.sources,
        "check_ins": ledger(turnout, came, read_clock()),
    }
    found: dict[str, Any] = SNAPSHOT.dump(figures | nodes)
    return found


def nodes_of(
    key: str, nodes: Iterable[tuple[Key, str]], online: Mapping[Key, int | None], came: Mapping[Key, int]
) -> list[dict[str, Any]]:
    """What is shown of each node."""
    return [{key: node, "name": name, "online": online.get(node), "checked_in": came.get(node)} for node, name in nodes]


def ledger(turnout: Turnout | None, came: Came, now: datetime) -> dict[str, Any]:
    """How good the figures of check-ins are, and those of the whole stream."""
    reason = turnout.reason(now) if turnout else "rebuilding"
    sums = turnout.sums if turnout else None
    return {
        "as_of": turnout.as_of if turnout else None,
        "basis": "degraded" if reason else "exact",
        "reason": reason,
        "total": sums.total if sums else None,
        "methods": came.methods,
    }


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

    corrected = app.extensions["traffic"].board.counter(
        "web_turnout_corrected", "Figures of check-ins that a recount corrected."
    )
    return Feed(app.extensions["valkey"], timing=Timing.of(config), emit=emit, turnouts=Turnouts(corrected.inc))


class Reader:
    """The background loops of a web process: one drives the feed, one counts check-ins, one cuts off who logged out.

    Apart, because the others ask PostgreSQL, and a frozen PostgreSQL must not stop the count.
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
            self._socketio.start_background_task(self._repeat, lambda: self.count(read_clock()), TURNOUT_SECONDS)
            self._socketio.start_background_task(self._repeat, lambda: self.cut_off(read_clock()), SESSION_SECONDS)

    def count(self, now: datetime) -> None:
        """Read the check-ins that are watched; without PostgreSQL they stay as they were read."""
        opening = self._app.extensions.get("turnout")
        if opening and (wanted := self._feed.wanted):
            limit = Timeout(SECONDS)
            try:
                with limit, self._app.app_context():
                    self._feed.turnouts.read(wanted, opening, now)
            except Timeout as timeout:
                if timeout is not limit:
                    raise

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
