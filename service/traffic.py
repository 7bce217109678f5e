"""What the web process tells Prometheus: its requests by route, and what the rooms let it read once a second.

Requests are named by the template of their route, never by their path, which may name people. Sockets are not timed.
"""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import gevent
from flask import Flask, request

from service.deadline import SOCKETS, database_answers
from service.metrics import Board, loop_lag

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

READ_SECONDS = 1.0
LOOK_SECONDS = 5.0
# Where a request finds the list into which its route is put: middleware between us and it copies the environment.
ROUTE = "chunshui.route"
UNKNOWN = "unknown"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Read = Callable[[], None]


class Traffic:
    """Counts requests in WSGI middleware; `start` begins to read what is no request."""

    def __init__(self, app: Flask, board: Board) -> None:
        self._app = app
        self.board = board
        labels = ("route", "method")
        self._answers = board.counter("web_requests", "Requests answered.", (*labels, "status"))
        self._seconds = board.histogram("web_request_seconds", "Time until an answer began.", labels)
        self._under_way = board.gauge("web_requests_under_way", "Requests being answered.")
        self._lag = loop_lag(board)
        self._open = 0
        self._reads: list[Read] = [board.vitals.sample, lambda: self._under_way.set(self._open)]
        app.before_request(note_route)

    def also(self, read: Read) -> None:
        """Call `read` once a second."""
        self._reads.append(read)

    def start(self) -> None:
        """Begin to read, in a process that serves."""
        gevent.spawn(self._repeat, self._read, READ_SECONDS)
        gevent.spawn(self._repeat, self._look, LOOK_SECONDS)

    def around(self, wrapped: "WSGIApplication") -> "WSGIApplication":
        """`wrapped`, with its requests counted; for the outermost."""

        def counted(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            if environ["PATH_INFO"].startswith(SOCKETS):
                return wrapped(environ, start_response)
            return self._pass(wrapped, environ, start_response)

        return counted

    def _pass(
        self, wrapped: "WSGIApplication", environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        status, began = "500", time.monotonic()
        route: list[str] = []
        environ[ROUTE] = route

        def begin(line: str, *rest: object) -> Callable[[bytes], object]:
            nonlocal status
            status = line[:3]
            return start_response(line, *rest)  # type: ignore[arg-type]

        self._open += 1
        try:
            return wrapped(environ, begin)
        finally:
            self._open -= 1
            self._count(environ["REQUEST_METHOD"], route[0] if route else UNKNOWN, status, time.monotonic() - began)

    def _count(self, method: str, route: str, status: str, seconds: float) -> None:
        labels = (route, method if method in METHODS else UNKNOWN)
        self._answers.labels(*labels, status).inc()
        self._seconds.labels(*labels).observe(seconds)

    def _read(self) -> None:
        for read in self._reads:
            read()

    def _look(self) -> None:
        with self._app.app_context():
            self.board.vitals.database.set(database_answers())

    def _repeat(self, act: Read, seconds: float) -> None:
        while True:
            due = time.monotonic() + seconds
            gevent.sleep(seconds)
            self._lag.observe(max(0.0, time.monotonic() - due))
            try:
                act()
            except Exception:
                self._app.logger.exception("metrics were not read")


def note_route() -> None:
    """Leave the route's template for the middleware."""
    if request.url_rule is not None:
        request.environ.setdefault(ROUTE, []).append(request.url_rule.rule)
