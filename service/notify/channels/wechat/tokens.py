"""Access tokens by `stable_token`: one for all processes, in Valkey, fetched by one of them at a time.

A token is thrown away only by who found it dead, and only if it is still the one that all use; it is never asked for by
force. Without Valkey every process asks for itself: the stable token is the same for all who ask.
"""

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import redis

from service.notify.channels.wechat.answers import errcode, number

# Ours must be gone before WeChat's: a token's last five minutes overlap with the next one's.
MARGIN_SECONDS = 240.0
# Longer than the patience with WeChat, and short enough for who waits behind one that died.
LOCK_SECONDS = 5.0
LOOK_SECONDS = 0.05

# KEYS: token. ARGV: the dead token. Throws it away unless another one has taken its place.
DROP = """
local kept = redis.call('GET', KEYS[1])
if kept and cjson.decode(kept).token == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
# KEYS: lock. ARGV: its holder.
UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class TokenRefusedError(Exception):
    """WeChat gives no token; `code` is its errcode."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class Tokens:
    """The access tokens of one app. `ask` posts a body to `/cgi-bin/stable_token` and returns the JSON answer."""

    def __init__(
        self,
        valkey: redis.Redis,
        *,
        appid: str,
        secret: str,
        ask: Callable[[dict[str, Any]], Mapping[str, Any]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._valkey, self._ask, self._clock = valkey, ask, clock
        self.appid = appid
        self._wanted = {"grant_type": "client_credential", "appid": appid, "secret": secret}
        self._key = f"notify:wechat:{{{appid}}}:token"
        self._lock_key = f"notify:wechat:{{{appid}}}:lock"
        self._held: tuple[str, float] | None = None
        # Within a process one thread looks, the others wait for what it finds.
        self._one = threading.Lock()

    def at_hand(self) -> str | None:
        """The token if this process has it and it is good as far as we know: without waiting for anybody."""
        held = self._held
        return held[0] if held is not None and held[1] > self._clock() else None

    def current(self) -> str:
        """A token that is good as far as we know; TokenRefusedError, or whatever `ask` raises."""
        if token := self.at_hand():
            return token
        with self._one:
            held = self._held
            if held is None or held[1] <= self._clock():
                held = self._held = self._shared() or self._fetch_alone()
            return held[0]

    def replace(self, dead: str) -> str:
        """Another token than `dead`, which WeChat just refused; the first who says so lets a new one be fetched."""
        with self._one:
            if self._held is not None and self._held[0] == dead:
                self._held = None
            # Without Valkey every process finds out for itself.
            with contextlib.suppress(redis.RedisError):
                self._valkey.eval(DROP, 1, self._key, dead)
        return self.current()

    def _shared(self) -> tuple[str, float] | None:
        """The common token, or one that is fetched for all; None if Valkey is away."""
        deadline = time.monotonic() + LOCK_SECONDS
        me = uuid.uuid4().hex
        try:
            while time.monotonic() < deadline:
                if kept := self._kept():
                    return kept
                if self._valkey.set(self._lock_key, me, nx=True, px=int(LOCK_SECONDS * 1000)):
                    return self._fetch_for_all(me)
                time.sleep(LOOK_SECONDS)
        except redis.RedisError:
            pass
        return None

    def _kept(self) -> tuple[str, float] | None:
        text = self._valkey.get(self._key)
        if not text:
            return None
        found = json.loads(text)
        return (found["token"], found["until"]) if found["until"] > self._clock() else None

    def _fetch_for_all(self, me: str) -> tuple[str, float]:
        try:
            # Who held the lock before may have left a token since we looked.
            if kept := self._kept():
                return kept
            token, until = self._fetch_alone()
            text = json.dumps({"token": token, "until": until})
            self._valkey.set(self._key, text, px=max(1, int((until - self._clock()) * 1000)))
            return token, until
        finally:
            self._valkey.eval(UNLOCK, 1, self._lock_key, me)

    def _fetch_alone(self) -> tuple[str, float]:
        answer = self._ask(dict(self._wanted))
        code = errcode(answer)
        token = answer.get("access_token")
        if code != 0 or not token or not isinstance(token, str):
            raise TokenRefusedError(code or -1)
        seconds = max(0, number(answer.get("expires_in", 0)))
        # Near its end the stable token may have less left than our margin: then it is good for what is left, halved.
        return token, self._clock() + max(seconds - MARGIN_SECONDS, seconds / 2)
