"""A limit on each request's time, so that a frozen database costs an answer, not a greenlet for ever."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import gevent
import sqlalchemy
from flask import Flask
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import PASSED, ServiceError, respond
from service.extensions import db
from service.headers import secure

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SECONDS = 4.5
# Where a request finds what gives it its time anew.
MORE_TIME = "chunshui.more_time"
READY_SECONDS = 1.0
SOCKETS = "/socket.io"


class Deadline:
    """WSGI middleware: a request that takes longer than SECONDS is answered with 503 database_unavailable.

    gevent's Timeout is no Exception, and SQLAlchemy takes it for what it is: the connection in use is thrown away
    instead of being asked, in vain, to roll back. Sockets live longer and are left alone.
    """

    def __init__(self, app: Flask, wrapped: "WSGIApplication") -> None:
        self._app = app
        self._wrapped = wrapped

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(SOCKETS):
            return self._wrapped(environ, start_response)
        limits = [gevent.Timeout.start_new(SECONDS)]

        def renew() -> None:
            limits[-1].close()
            limits.append(gevent.Timeout.start_new(SECONDS))

        environ[PASSED] = lambda: not limits[-1].pending
        environ[MORE_TIME] = renew
        try:
            return self._wrapped(environ, start_response)
        except gevent.Timeout as timeout:
            if timeout is not limits[-1]:
                raise
            self._app.logger.warning("request given up after %s s", SECONDS)
            with self._app.request_context(environ):
                answer = secure(respond(ServiceError("database_unavailable", retry_after=2)))
            return answer(environ, start_response)
        finally:
            limits[-1].close()


def more_time(environ: "WSGIEnvironment") -> None:
    """Let a request that has got on begin its time anew: what a slow line takes is no fault of the database's."""
    environ.get(MORE_TIME, lambda: None)()


def database_answers() -> bool:
    """Whether PostgreSQL does, within READY_SECONDS; within an application's context."""
    limit = gevent.Timeout(READY_SECONDS)
    try:
        with limit:
            db.session.execute(sqlalchemy.text("SELECT 1"))
    except (DBAPIError, PoolTimeout):
        return False
    except gevent.Timeout as timeout:
        if timeout is not limit:
            raise
        return False
    return True
