"""JPush REST API v3: one request for up to a thousand devices that get the same message.

As told by JPush's pages on the push API and its error codes. An answer is for the whole request, so what is known of
single devices comes only from requests with a single one: a request that one malformed id spoils is halved.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any

import redis

from service.notify.channels.clients import Clients, unanswered
from service.notify.channels.http import target
from service.notify.channels.sends import Outcome, Send, alarm, done, drop_address, permanent, retry

URL = "https://api.jpush.cn"
MOST_IDS = 1000
LONGEST_SECONDS = 864_000
PATIENCE_SECONDS = 15.0
RATE_SECONDS = 60.0
# JPush hands out ids of requests, a few at a time, and answers a repeat under one of them as before for a day.
CIDS, CID_SECONDS = 10, 86_400
INVALID_VALUE, NO_TARGET, RATE = 1003, 1011, 2002
TABLE = {
    1000: retry("1000"),
    1030: retry("1030"),
    1005: permanent("1005"),
    **{code: alarm(str(code)) for code in (1004, 1008, 1009, *range(2003, 2008))},
}


def body(sends: Sequence[Send], *, production: bool, now: datetime) -> dict[str, Any]:
    """One request for `sends`, which are the same but for their addresses."""
    one = sends[0]
    extras = {**one.data, **({"page": one.page} if one.page else {})}
    shown = {"alert": one.text, "title": one.title, "extras": extras}
    apple = {"alert": {"title": one.title, "body": one.text}, "extras": extras}
    options: dict[str, Any] = {"apns_production": production}
    if one.expires_at is not None:
        left = int((one.expires_at - now).total_seconds())
        options["time_to_live"] = min(max(0, left), LONGEST_SECONDS)
    if one.collapse:
        options["apns_collapse_id"] = one.collapse
    return {
        "platform": "all",
        "audience": {"registration_id": [send.address for send in sends]},
        "notification": {"android": shown, "ios": apple},
        "options": options,
    }


def judge(status: int, answer: Mapping[str, Any], *, single: bool, reset: str = "") -> Outcome:
    """What an answer means for each send of its request; `reset` is the header X-Rate-Limit-Reset."""
    error = answer.get("error")
    code = _number(error.get("code")) if isinstance(error, dict) else 0
    if status == 200 and code == 0:
        return done(receipt=str(answer["msg_id"])) if "msg_id" in answer else retry("no_msg_id")
    if code == RATE or status == 429:
        return retry(str(code or status), after=float(reset) if reset.isascii() and reset.isdigit() else RATE_SECONDS)
    if code in (INVALID_VALUE, NO_TARGET):
        return drop_address(str(code)) if single else permanent(str(code))
    if code in TABLE:
        return TABLE[code]
    if status in (401, 403):
        return alarm(str(code or status))
    return retry(str(code or status)) if status >= 500 else permanent(str(code or status))


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


class Cids:
    """The `cid` of each request, the same for the same sends within a day, whichever process repeats them."""

    def __init__(self, valkey: redis.Redis) -> None:
        self._valkey = valkey
        self._spare: list[str] = []

    async def of(self, sends: Sequence[Send], fetch: Callable[[], Awaitable[list[str]]]) -> str | None:
        """One that was given to these sends before, or a new one; None where there is none to be had."""
        keys = "".join(sorted(send.key.hex for send in sends))
        name = f"notify:jpush:cid:{hashlib.sha256(keys.encode()).hexdigest()}"
        if not self._spare:
            self._spare += await fetch()
        if not self._spare:
            return None
        try:
            return await asyncio.to_thread(self._choose, name, self._spare.pop())
        except redis.RedisError:
            return None

    def _choose(self, name: str, fresh: str) -> str:
        if self._valkey.set(name, fresh, nx=True, ex=CID_SECONDS):
            return fresh
        kept = self._valkey.get(name)
        return kept.decode() if isinstance(kept, bytes) else fresh


@dataclass(frozen=True, kw_only=True)
class JPush:
    """The channel; `production` chooses Apple's environment, which is never left to a default."""

    app_key: str
    master_secret: str = field(repr=False)
    production: bool
    cids: Cids
    url: str = URL
    name: str = "jpush"
    batch: int = MOST_IDS

    async def send(self, client: Clients, sends: Sequence[Send]) -> list[Outcome]:
        """Send to each, with a request for each thousand of those who get the same."""
        alike: dict[tuple[Any, ...], list[int]] = {}
        for place, one in enumerate(sends):
            alike.setdefault(_content(one), []).append(place)
        parts = [
            places[start : start + MOST_IDS] for places in alike.values() for start in range(0, len(places), MOST_IDS)
        ]
        answers = await asyncio.gather(*(self._part(client, [sends[place] for place in part]) for part in parts))
        outcomes = dict(zip(chain(*parts), chain(*answers), strict=True))
        return [outcomes[place] for place in range(len(sends))]

    async def _part(self, client: Clients, sends: Sequence[Send]) -> list[Outcome]:
        """One request; where a value is invalid, halves of it, until it is known whose."""
        outcome = await self._request(client, sends)
        if outcome.code != str(INVALID_VALUE) or len(sends) == 1:
            return [outcome] * len(sends)
        middle = len(sends) // 2
        first = await self._part(client, sends[:middle])
        return first + await self._part(client, sends[middle:])

    async def _request(self, client: Clients, sends: Sequence[Send]) -> Outcome:
        whole = body(sends, production=self.production, now=datetime.now(UTC))
        goal = target(f"{self.url}/v3/push", trusted=True)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                cid = await self.cids.of(sends, partial(self._fetch, client))
                content = json.dumps(whole | ({"cid": cid} if cid else {}), ensure_ascii=False, separators=(",", ":"))
                answer = await client.http.post(goal, headers=self._headers(), content=content.encode())
        except Exception as error:
            return unanswered(error)
        reset = answer.headers.get("x-rate-limit-reset", "")
        return judge(answer.status, answer.json(), single=len(sends) == 1, reset=reset)

    async def _fetch(self, client: Clients) -> list[str]:
        """Some cids; none where JPush gives none, for a message without one is better than no message."""
        goal = target(f"{self.url}/v3/push/cid?count={CIDS}", trusted=True)
        answer = await client.http.get(goal, headers=self._headers())
        found = answer.json().get("cidlist")
        return [str(one) for one in found] if isinstance(found, list) else []

    def _headers(self) -> dict[str, str]:
        login = base64.b64encode(f"{self.app_key}:{self.master_secret}".encode()).decode()
        return {"authorization": f"Basic {login}", "content-type": "application/json"}


def _content(send: Send) -> tuple[Any, ...]:
    return (send.title, send.text, tuple(sorted(send.data.items())), send.page, send.collapse, send.expires_at)
