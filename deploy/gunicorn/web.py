"""gunicorn's settings for the web process; `chunshui web` uses this very file."""

import signal
from typing import Any

import gevent
from gunicorn import util

from service import metrics
from service.config import Config

settings = Config.from_env()
metrics.share("web")

bind = f"{settings.web_host}:{settings.web_port}"
# The supervisor holds the port with a socket of its own.
reuse_port = True
worker_class = "gevent"
workers = settings.web_workers
worker_connections = 2000
graceful_timeout = 10
timeout = 30
keepalive = 15
# More than one web process may run on a machine; gunicorn's control socket has one fixed place.
control_socket_disable = True
wsgi_app = "wsgi:app"
accesslog = None
proc_name = "chunshui-web"
limit_request_line = 4094
limit_request_fields = 64


def post_fork(server: object, worker: object) -> None:
    """Logs of our form; psycopg is imported by the application, after gevent has patched the process."""
    from service.logs import configure

    configure(settings.log_level, "web")


def post_worker_init(worker: Any) -> None:
    """A worker that is told to end lets the walls go at once: they come back to the next one by themselves."""
    # A wall that hangs up while its socket is being closed is no error; engineio's writer lets it escape.
    hub = gevent.get_hub()
    hub.NOT_ERROR = (*hub.NOT_ERROR, ConnectionError)
    util.write_error = refuse
    worker.wsgi.extensions["traffic"].start()
    door = worker.wsgi.extensions["organisers_door"]
    end = signal.getsignal(signal.SIGTERM)

    def leave(number: int, frame: Any) -> None:
        gevent.spawn(door.close)
        end(number, frame)  # type: ignore[misc, operator]

    signal.signal(signal.SIGTERM, leave)


def child_exit(server: object, worker: Any) -> None:
    """However a worker ended, what it counted stays."""
    metrics.bury(worker.pid)


def on_exit(server: object) -> None:
    """Leave nothing behind."""
    metrics.clear_away()


def refuse(client: Any, status: int, reason: str, message: str) -> None:
    """Answer what gunicorn cannot read as everything else is refused, instead of with its own page."""
    from service.errors import ServiceError, problem
    from service.live import packets, upgrade

    error = ServiceError({431: "headers_too_large", 500: "internal"}.get(status, "bad_request"))
    body = packets.to_json(problem(error, settings.default_language))
    util.write_nonblock(client, upgrade.response(error.status, body, kind="application/problem+json; charset=utf-8"))
