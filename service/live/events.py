"""The organisers' socket: Flask-SocketIO, namespace /organisers, WebSocket only.

The cookie of the organisers' log-in decides at CONNECT and again at every `watch`. Figures are told by the feed alone.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from engineio.async_drivers.gevent import SimpleWebSocketWSGI
from flask import Flask, current_app, request
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO
from gevent import Timeout
from marshmallow import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from wsproto.utilities import RemoteProtocolError

from service.clock import day_of
from service.clock import now as read_clock
from service.deadline import SECONDS
from service.errors import ServiceError, language_of_request, problem
from service.live import feed
from service.live.nodes import view_of
from service.live.packets import CONNECT, DISCONNECT, EVENT, read_packet, to_json
from service.live.schemas import UnwatchIn, WatchIn
from service.org.organisers import Organiser

Answer = dict[str, Any]
MOST_BYTES = 16_384
# Names that the library means for itself; no client can emit them by its own.
RESERVED = ("connect", "disconnect", "*")

log = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Open the organisers' namespace on the application's sockets."""
    socketio: SocketIO = app.extensions["socketio"]
    door = Door(app, socketio)
    handlers = {"connect": door.connect, "disconnect": door.disconnect}
    events = {"watch": door.watch, "unwatch": door.unwatch, "*": door.unknown}
    for name, handler in {**handlers, **events}.items():
        socketio.on_event(name, handler, namespace=feed.NAMESPACE)
    app.extensions["organisers_door"] = door
    app.extensions["traffic"].also(feed.told_by(door.feed, app.extensions["traffic"].board))
    hear_packets_only(socketio.server.eio)
    # The library itself bounds no message, and has no setting for it.
    engine = socketio.server.eio
    engine._async = {**engine._async, "websocket": partial(BoundedSocket, max_message_size=MOST_BYTES)}


class Door:
    """Who is connected, and what they ask for."""

    authentication = "organiser"

    def __init__(self, app: Flask, socketio: SocketIO) -> None:
        self._socketio = socketio
        self.feed = feed.init_app(app, socketio)
        self.reader = feed.Reader(app, socketio, self.feed)

    def close(self) -> None:
        """End every connection, as a network would: clients come back by themselves, which a refusal would forbid."""
        for one in list(self._socketio.server.eio.sockets.values()):
            one.close(wait=False, abort=True)

    def connect(self, *_: object) -> None:
        """Let a logged-in organiser in; anybody else gets a problem document."""
        answer = answered(self._admit)
        if not answer["ok"]:
            raise Refused(answer["error"]["title"], answer["error"])

    def disconnect(self, *_: object) -> None:
        """Forget what the client watched."""
        self.feed.forget(client())
        self.reader.sessions.pop(client(), None)

    def watch(self, data: object = None, *_: object) -> Answer:
        """Subscribe to a node of a stream."""
        return answered(self._watch, data)

    def unwatch(self, data: object = None, *_: object) -> Answer:
        """End a subscription; quiet if there is none."""
        return answered(self._unwatch, data)

    def unknown(self, event: str, *data: object) -> Answer:
        """Say that there is no such event."""
        return answered(refuse_event)

    def _admit(self) -> None:
        self.reader.sessions[client()] = organiser().session

    def _watch(self, data: object) -> None:
        wanted = WatchIn().load(cast(dict[str, Any], data))
        node = {"organisation": wanted.get("organisation"), "place": wanted.get("place")}
        view = view_of(organiser(), wanted["stream"], today=day_of(read_clock()), **node)
        self.feed.watch(client(), view)
        self.reader.start()

    def _unwatch(self, data: object) -> None:
        self.feed.unwatch(client(), UnwatchIn().load(cast(dict[str, Any], data))["stream"])


class BoundedSocket(SimpleWebSocketWSGI):  # type: ignore[misc]  # the library has no types
    """The library's WebSocket, for which a wrong handshake or an empty message is no accident."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Hold the connection; 400 if the handshake is none."""
        try:
            return super().__call__(environ, start_response)
        except RemoteProtocolError:
            start_response("400 Bad Request", [("Content-Type", "application/problem+json; charset=utf-8")])
            return [to_json(problem(ServiceError("websocket_invalid"), "zh"))]

    def wait(self) -> str | bytes | None:
        """The next message, None at the end; Engine.IO has no empty ones."""
        return super().wait() or None


def hear_packets_only(engine: Any) -> None:
    """Cut off whoever sends what is no packet for this namespace; the library would log an exception for each."""
    handle = engine.handlers["message"]

    def heard(connection: str, message: object) -> None:
        try:
            if fits(message):
                handle(connection, message)
                return
        except (ValueError, RecursionError) as error:
            log.warning("a packet of the organisers' socket was refused: %s", type(error).__name__)
        if connection in engine.sockets:
            engine.sockets[connection].close(wait=False, abort=True)

    engine.on("message", heard)


def fits(message: object) -> bool:
    """Whether a client may send `message`: CONNECT to any namespace, which may be refused, the rest in ours."""
    packet = read_packet(message) if isinstance(message, str) else ""
    return isinstance(packet, tuple) and (
        packet[0] == CONNECT
        or (packet[0] == DISCONNECT and packet[1] == feed.NAMESPACE)
        or (packet[0] == EVENT and packet[1] == feed.NAMESPACE and packet[3][0] not in RESERVED)
    )


def organiser() -> Organiser:
    """The organiser behind the handshake's cookie, as of now, who needs a grant for activities."""
    found: Organiser = current_app.extensions["organiser"]()
    found.check("activities")
    return found


def client() -> str:
    """The socket's id in our namespace."""
    return str(request.sid)  # type: ignore[attr-defined]


def refuse_event() -> None:
    raise ServiceError("event_unknown")


def answered(act: Callable[..., None], *arguments: object) -> Answer:
    """Do it within the time that a request may take; the acknowledgement says how it went."""
    limit = Timeout(SECONDS)
    try:
        with limit:
            act(*arguments)
    except (DBAPIError, PoolTimeout):
        return refused(ServiceError("database_unavailable"))
    except Timeout as timeout:
        if timeout is not limit:
            raise
        return refused(ServiceError("database_unavailable"))
    except ValidationError as error:
        return refused(ServiceError("validation", errors=error.messages))
    except ServiceError as error:
        return refused(error)
    return {"ok": True}


def refused(error: ServiceError) -> Answer:
    """The acknowledgement of a refusal."""
    return {"ok": False, "error": problem(error, language_of_request())}
