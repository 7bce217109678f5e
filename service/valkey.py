"""The one client of Valkey (redis-py). Each room owns a key prefix; `live:` belongs to the live room."""

from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.backoff
import redis.retry
from flask import current_app

from service.config import Config


def connect(config: Config) -> redis.Redis:
    """A synchronous client that gives up after `valkey_timeout_seconds` and never retries by itself.

    The callers' protocols decide what a lost reply means; a silent second attempt would hide it.
    """
    retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    return redis.Redis.from_url(config.redis_url, retry=retry, **_patience(config))


def connect_async(config: Config) -> redis.asyncio.Redis:
    """The same for an asyncio loop."""
    retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
    return redis.asyncio.Redis.from_url(config.redis_url, retry=retry, **_patience(config))


def client() -> redis.Redis:
    """The current application's client."""
    found: redis.Redis = current_app.extensions["valkey"]
    return found


def _patience(config: Config) -> dict[str, Any]:
    return {
        "socket_timeout": config.valkey_timeout_seconds,
        "socket_connect_timeout": config.valkey_timeout_seconds,
    }
