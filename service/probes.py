"""What load balancers, supervisors and Prometheus ask every process: /healthz, /readyz, /metrics.

`/healthz`: the process answers at all. `/readyz`: it can do its work now; else 503 `not_ready` with the reason.
`/metrics`: for who brings METRICS_TOKEN; 404 where that is not set. Web answers them with its views, gateway and
worker, which serve no views, with `page`.
"""

import hmac
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from service import metrics
from service.errors import ServiceError

JSON = "application/json"
HEALTHY = {"status": "ok"}

Readiness = Callable[[], dict[str, Any]]


class Page(NamedTuple):
    """The body of an answer, and its media type."""

    body: bytes
    kind: str


def page(path: str, authorization: str, *, readiness: Readiness, board: metrics.Board, token: str) -> Page | None:
    """The answer to a GET, None if the path is none of ours; ServiceError if it is to be refused."""
    if path == "/healthz":
        return Page(json.dumps(HEALTHY).encode(), JSON)
    if path == "/readyz":
        return Page(json.dumps(readiness()).encode(), JSON)
    if path == "/metrics":
        authorize(token, authorization)
        return Page(board.page(), metrics.KIND)
    return None


def authorize(token: str, authorization: str) -> None:
    """ServiceError unless a request brings the bearer `token`; where none is set there is nothing to see."""
    if not token:
        raise ServiceError("not_found")
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        raise ServiceError("token_missing")
    if not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise ServiceError("token_invalid")
