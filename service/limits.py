"""Limits on what one account or one network may ask, counted in Valkey for all processes together.

While Valkey is away each process counts alone, and a metric says so. A limit keeps one from taking what is there for
all; it guards no secret. Guesses at an account are counted in PostgreSQL, whatever Valkey does.
"""

import math
import time
from collections.abc import Callable
from functools import wraps
from ipaddress import ip_address, ip_network
from typing import Any, Protocol, TypeVar, cast

import redis
from flask import Flask, Response, current_app, g, request
from flask_limiter import Limiter, RateLimitExceeded
from limits.storage import Storage

from service import valkey
from service.config import Config
from service.errors import ServiceError, respond
from service.frequency import Frequency

# One round trip; the key is one slot's, so that a cluster can do it too.
COUNT = """
local count = redis.call('INCRBY', KEYS[1], ARGV[2])
if count == tonumber(ARGV[2]) then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count
"""
IPV6_PREFIX = 64
View = TypeVar("View", bound=Callable[..., Any])
WINDOW_SECONDS = 60


class ValkeyStorage(Storage):
    """Counters in the application's own Valkey, single or cluster, with its patience and its errors."""

    STORAGE_SCHEME = ["chunshui"]  # noqa: RUF012 - the library's name and kind

    @property
    def base_exceptions(self) -> type[Exception]:
        """What its commands raise."""
        return redis.RedisError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count `amount` more under `key`; the sum."""
        try:
            script = valkey.client().register_script(COUNT)
            return int(script(keys=[_named(key)], args=[expiry, amount]))
        except redis.RedisError:
            current_app.extensions["limits_uncounted"].inc()
            raise

    def get(self, key: str) -> int:
        """The sum under `key`."""
        return int(valkey.client().get(_named(key)) or 0)

    def get_expiry(self, key: str) -> float:
        """When `key` begins anew, in Unix time."""
        left: Any = valkey.client().ttl(_named(key))
        return time.time() + max(0, int(left))

    def check(self) -> bool:
        """Whether Valkey answers."""
        try:
            valkey.client().get(_named("check"))
        except redis.RedisError:
            return False
        return True

    def reset(self) -> int | None:
        """Nothing: counters end by themselves."""
        return None

    def clear(self, key: str) -> None:
        """Begin `key` anew."""
        valkey.client().delete(_named(key))


def network() -> str:
    """The asker's address; of IPv6 the /64, which one connection has to itself."""
    address = ip_address(request.remote_addr or "0.0.0.0")
    mapped = getattr(address, "ipv4_mapped", None) or address
    return str(mapped if mapped.version == 4 else ip_network((mapped, IPV6_PREFIX), strict=False))


def is_exempt() -> bool:
    """Whether the asker's network is never limited."""
    networks = [ip_network(one.strip()) for one in _config().limits_exempt.split(",") if one.strip()]
    return any(ip_address(request.remote_addr or "0.0.0.0") in one for one in networks)


def account() -> str:
    """The member or organiser that the door has let in."""
    actor = g.get("actor")
    return f"member {actor.member}" if actor is not None else f"organiser {g.organiser.id}"


limiter = Limiter(
    network,
    storage_uri="chunshui://",
    strategy="fixed-window",
    in_memory_fallback_enabled=True,
    swallow_errors=True,
    headers_enabled=False,
)


class Decorator(Protocol):
    """What leaves a view its type."""

    def __call__(self, view: View, /) -> View: ...


def limited(setting: str, key: Callable[[], str], exempt: Callable[[], bool] | None = None) -> Decorator:
    """A decorator of views: at most as many a minute as `setting` says, of all its views together.

    The view says that it is `limited`.
    """
    amount = lambda: f"{getattr(_config(), setting)} per minute"  # noqa: E731 - read at each request
    count = limiter.shared_limit(amount, scope=setting, key_func=key, exempt_when=exempt)

    def limit(view: Any) -> Any:
        counted: Any = count(view)
        counted.limited = setting
        return counted

    return cast(Decorator, limit)


def per_account_here(view: View) -> View:
    """The same limit as `per_account`, of this view alone and counted by each process for itself."""
    frequency = Frequency()

    @wraps(view)
    def counted(*args: Any, **kwargs: Any) -> Any:
        if wait := frequency.wait(g.actor.member, _config().account_requests_per_minute, time.monotonic()):
            raise ServiceError("too_many_requests", retry_after=wait)
        return view(*args, **kwargs)

    counted.limited = "account_requests_per_minute"  # type: ignore[attr-defined]
    return counted  # type: ignore[return-value]


per_account = limited("account_requests_per_minute", account)
logins_per_network = limited("network_logins_per_minute", network, is_exempt)
passwords_per_network = limited("network_passwords_per_minute", network, is_exempt)


def init_app(app: Flask) -> None:
    """Count for `app`, and refuse in the one shape of errors."""
    board = app.extensions["traffic"].board
    uncounted = board.counter("web_limits_uncounted", "Requests that only their own process could count.")
    app.extensions["limits_uncounted"] = uncounted
    limiter.init_app(app)
    # All limits are on views. The library would look for others around every request, in a twelfth of its time.
    app.before_request_funcs[None].remove(limiter._check_request_limit)
    app.after_request_funcs[None].pop()

    @app.errorhandler(RateLimitExceeded)
    def refused(_: RateLimitExceeded) -> Response:
        limit = limiter.current_limit
        left = limit.reset_at - time.time() if limit else WINDOW_SECONDS
        return respond(ServiceError("too_many_requests", retry_after=min(max(1, math.ceil(left)), WINDOW_SECONDS)))


def _config() -> Config:
    config: Config = current_app.config["CHUNSHUI"]
    return config


def _named(key: str) -> str:
    return f"limit:{key}"
