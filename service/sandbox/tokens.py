"""WeChat's access tokens: two kinds that know nothing of each other, each with an overlap of five minutes."""

import secrets
from collections.abc import Callable
from typing import Any

TOKEN_SECONDS = 7200.0
OVERLAP_SECONDS = 300.0
FORCED_A_DAY, FORCED_SECONDS = 20, 30.0


class Tokens:
    """The tokens of one app; `clock` counts seconds."""

    def __init__(self, appid: str, secret: str, clock: Callable[[], float]) -> None:
        self._appid, self._secret, self._clock = appid, secret, clock
        self._stable: dict[str, float] = {}
        self._legacy: dict[str, float] = {}
        self._forced: list[float] = []
        self.fetched = 0

    def stable(self, told: dict[str, Any]) -> dict[str, Any] | int:
        """The token of `stable_token`, or the errcode."""
        if refusal := self._stranger(told):
            return refusal
        self.fetched += 1
        now = self._clock()
        if told.get("force_refresh") and self._may_force(now):
            self._stable = {token: min(ends, now + OVERLAP_SECONDS) for token, ends in self._stable.items()}
        token = next((one for one, ends in self._stable.items() if ends - now > OVERLAP_SECONDS), None)
        if token is None:
            token = _fresh()
            self._stable[token] = now + TOKEN_SECONDS
        return {"access_token": token, "expires_in": int(self._stable[token] - now)}

    def legacy(self, told: dict[str, Any]) -> dict[str, Any] | int:
        """The token of `cgi-bin/token`: every call shortens the life of the one before."""
        if refusal := self._stranger(told):
            return refusal
        now = self._clock()
        self._legacy = {token: min(ends, now + OVERLAP_SECONDS) for token, ends in self._legacy.items()}
        token = _fresh()
        self._legacy[token] = now + TOKEN_SECONDS
        return {"access_token": token, "expires_in": int(TOKEN_SECONDS)}

    def wrong(self, token: str) -> int | None:
        """The errcode for a token that is not good; None if it is."""
        ends = self._stable.get(token) or self._legacy.get(token)
        if ends is None:
            return 40001
        return 42001 if ends <= self._clock() else None

    def revoke(self) -> None:
        """Let no token be good any more."""
        self._stable.clear()
        self._legacy.clear()

    def _stranger(self, told: dict[str, Any]) -> int | None:
        if told.get("appid") != self._appid:
            return 40013
        return 40125 if told.get("secret") != self._secret else None

    def _may_force(self, now: float) -> bool:
        """Twenty times a day and half a minute apart; otherwise the wish is not heard."""
        self._forced = [one for one in self._forced if now - one < 86_400]
        if len(self._forced) >= FORCED_A_DAY or (self._forced and now - self._forced[-1] < FORCED_SECONDS):
            return False
        self._forced.append(now)
        return True


def _fresh() -> str:
    return secrets.token_urlsafe(90)
