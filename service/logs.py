"""Structured logs: one JSON object a line on standard error; no bodies, tokens, codes or addresses of people."""

import logging
import re
import sys
from typing import Any

import structlog

# What may carry a secret or a person's data in its messages is heard from warning upwards only.
QUIET = (
    "engineio",
    "engineio.server",
    "socketio",
    "socketio.server",
    "httpx",
    "httpcore",
    "werkzeug",
    "geventwebsocket",
)


def configure(level: str, process: str) -> None:
    """Send the logs of `process` to standard error from `level` upwards. Call once, at the start."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            lambda _, __, event: {"process": process, **event},
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    adopt_gunicorn()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def adopt_gunicorn() -> None:
    """Let a worker's gunicorn log as we do, and without the addresses of those whose requests it cannot read."""
    log = logging.getLogger("gunicorn.error")
    log.handlers.clear()
    log.propagate = True
    log.addFilter(without_address)


def without_address(record: logging.LogRecord) -> bool:
    """Take the client's address out of gunicorn's message; the record is kept."""
    record.msg = re.sub(r" from ip=\S+:", ":", str(record.msg), count=1)
    return True
