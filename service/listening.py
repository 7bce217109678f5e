"""The small HTTP listener of a process that otherwise serves nobody: its probes.

Promises: it never keeps the process from working or ending. While another process has the port, it says so once and
waits for it; whatever a client sends, the answer is short and the shape of an error is that of the rest.
"""

import json
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import structlog

from service.errors import HTTP_CODES, ServiceError, problem
from service.probes import Page

PATIENCE_SECONDS = 5.0
AGAIN_SECONDS = 2.0

Answer = Callable[[str, str], Page | None]

log = structlog.get_logger(__name__)


class Listener(socketserver.ThreadingTCPServer):
    """Answers GET with `answer(path, authorization)`, in threads that end with the process."""

    allow_reuse_address = True
    # The supervisor holds the port with a socket of its own.
    allow_reuse_port = True
    daemon_threads = True

    def __init__(self, host: str, port: int, *, answer: Answer, language: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler, bind_and_activate=False)
        self._host, self._port = host, port
        self.answer = answer
        self.language = language

    def open(self, stopping: threading.Event) -> None:
        """Begin to listen, now or when the port is free, until the process ends."""
        threading.Thread(target=self._serve, args=(stopping,), name="listener", daemon=True).start()

    def _serve(self, stopping: threading.Event) -> None:
        said = False
        while not self._listens():
            if not said:
                log.error("port taken; health and metrics are not told", port=self._port)
                said = True
            if stopping.wait(AGAIN_SECONDS):
                return
        log.info("telling health and metrics", port=self._port)
        self.serve_forever()

    def _listens(self) -> bool:
        try:
            # The port may be shared with who holds it for us, and must not be with another one that answers.
            with socket.create_connection((self._host, self._port), timeout=1.0):
                return False
        except OSError:
            pass
        try:
            self.server_bind()
            self.server_activate()
        except OSError:
            return False
        return True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no event; what else goes wrong is said, without the client's address."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log.error("a probe failed", exc_info=error)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Listener
    timeout = PATIENCE_SECONDS
    default_request_version = "HTTP/1.0"  # what cannot be read at all gets a whole answer too

    def do_GET(self) -> None:
        """One of the pages, or a problem document."""
        try:
            page = self.server.answer(self.path.partition("?")[0], self.headers.get("Authorization", ""))
            if page is None:
                raise ServiceError("not_found")
        except ServiceError as error:
            self.refuse(error)
        else:
            self.reply(200, page)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library refuses by itself."""
        self.refuse(ServiceError("method_not_allowed" if code == 501 else HTTP_CODES.get(code, "bad_request")))

    def refuse(self, error: ServiceError) -> None:
        """Answer with a problem document."""
        body = json.dumps(problem(error, self.server.language), ensure_ascii=False).encode()
        self.reply(error.status, Page(body, "application/problem+json; charset=utf-8"))

    def reply(self, status: int, page: Page) -> None:
        """Send an answer and close."""
        self.send_response(status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(page.body)

    def version_string(self) -> str:
        """Nobody needs to know more."""
        return "chunshui"

    def log_message(self, *_: object) -> None:
        """Probes are many, and their addresses are nobody's business."""
