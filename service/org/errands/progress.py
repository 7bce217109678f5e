"""How far an errand is, in Valkey: it is happening, and nobody misses it afterwards."""

import json
import time
from collections.abc import Callable
from typing import Any

import redis

from service import valkey

LIFE_SECONDS = 300
# More often than anybody asks would only keep Valkey busy.
PAUSE_SECONDS = 0.2


def teller(errand: int) -> Callable[[str, int, int | None], None]:
    """What a rule tells its progress to; without Valkey nobody hears it."""
    told: list[Any] = [None, 0.0]

    def tell(step: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if step == told[0] and now - told[1] < PAUSE_SECONDS and done != total:
            return
        told[:] = step, now
        try:
            shown = json.dumps({"step": step, "done": done, "total": total})
            valkey.client().set(key(errand), shown, ex=LIFE_SECONDS)
        except redis.RedisError:
            pass

    return tell


def of(errand: int) -> dict[str, Any] | None:
    """The step that is being done, how much of it is done, and of how much; None if it is not known."""
    try:
        told: Any = valkey.client().get(key(errand))
    except redis.RedisError:
        return None
    return json.loads(told) if told else None


def key(errand: int) -> str:
    """Where it is kept."""
    return f"errand:{errand}"
