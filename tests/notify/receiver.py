"""A receiver of webhooks on the loopback: real HTTP, kept connections, answers as told."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


@dataclass
class Reply:
    """What to answer, and how late."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    body: bytes = b""


@dataclass(frozen=True)
class Arrival:
    """One request as it came."""

    headers: dict[str, str]
    content: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.content)
        return found

    def verified(self, secret: str) -> dict[str, Any]:
        """The body, if the reference library takes its signature."""
        found: dict[str, Any] = Webhook(secret).verify(self.content, self.headers)
        return found


class Receiver:
    """Keeps what arrives; `reply(arrival)` decides each answer."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.reply: Callable[[Arrival], Reply] = lambda _: Reply()
        self.url = ""
        self._lock = threading.Lock()

    def take(self, arrival: Arrival) -> Reply:
        with self._lock:
            self.arrivals.append(arrival)
        return self.reply(arrival)

    @property
    def ids(self) -> list[str]:
        return [arrival.id for arrival in self.arrivals]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: object) -> None:
        """A client that refuses our certificate is what some tests want."""


@contextmanager
def receiving(tls: ssl.SSLContext | None = None, *, host: str = "127.0.0.1") -> Iterator[Receiver]:
    """A running receiver at `receiver.url`, which names `host`; over TLS if given a context."""
    receiver = Receiver()
    server = Server(("127.0.0.1", 0), handler(receiver))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.url = f"{'https' if tls else 'http'}://{host}:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.take(Arrival(headers, content, time.monotonic()))
            time.sleep(reply.delay)
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Tests say what they find themselves."""

    return Handler
