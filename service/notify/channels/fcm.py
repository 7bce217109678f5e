"""Firebase Cloud Messaging, HTTP v1: one request for each message.

As told by Firebase's pages on the v1 API, its ErrorCode and its quotas. It leaves the country: an installation that has
no recorded legal basis for that has no such channel.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import jwt

from service.notify.channels.clients import Clients, unanswered
from service.notify.channels.http import Answer, target
from service.notify.channels.sends import Outcome, Send, alarm, done, drop_address, permanent, retry
from service.notify.channels.webhook import seconds_to_wait

URL = "https://fcm.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
FCM_ERROR = "google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "google.rpc.BadRequest"
MAX_BYTES = 4096
QUOTA_SECONDS = 60.0
PATIENCE_SECONDS = 15.0
MARGIN_SECONDS = 120.0


class GrantRefusedError(Exception):
    """Google gives this service account no token."""


class AccountTokens:
    """Access tokens of a service account, kept for as long as they are good. Within one event loop."""

    def __init__(self, account: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        self._account, self._clock = account, clock
        self._kept = ("", 0.0)
        self._one = asyncio.Lock()

    async def current(self, client: Clients) -> str:
        """A good one; GrantRefusedError."""
        async with self._one:
            if self._kept[1] <= self._clock():
                self._kept = await self._fetch(client)
            return self._kept[0]

    def forget(self, token: str) -> None:
        """Let the next one who asks fetch another one than `token`."""
        if self._kept[0] == token:
            self._kept = ("", 0.0)

    async def _fetch(self, client: Clients) -> tuple[str, float]:
        now, account = int(self._clock()), self._account
        claims = {"iss": account["client_email"], "scope": SCOPE, "aud": account["token_uri"], "iat": now}
        key = {"kid": account.get("private_key_id", "")}
        assertion = jwt.encode(claims | {"exp": now + 3600}, account["private_key"], algorithm="RS256", headers=key)
        body = urlencode({"grant_type": GRANT, "assertion": assertion}).encode()
        kind = {"content-type": "application/x-www-form-urlencoded"}
        answer = await client.http.post(target(account["token_uri"], trusted=True), headers=kind, content=body)
        told = answer.json()
        token = told.get("access_token")
        if 400 <= answer.status < 500:
            raise GrantRefusedError
        if not token or not isinstance(token, str):
            raise ConnectionError("no token")
        return token, now + float(told.get("expires_in", 0)) - MARGIN_SECONDS


def message(send: Send, now: datetime) -> bytes:
    """The body for `messages:send`; data are texts only."""
    data = {**send.data, **({"page": send.page} if send.page else {})}
    android: dict[str, Any] = {"priority": "high"}
    if send.expires_at is not None:
        android["ttl"] = f"{max(0, int((send.expires_at - now).total_seconds()))}s"
    if send.collapse:
        android["collapse_key"] = send.collapse
    shown = {"title": send.title, "body": send.text}
    whole = {"token": send.address, "notification": shown, "android": android, **({"data": data} if data else {})}
    return json.dumps({"message": whole}, ensure_ascii=False, separators=(",", ":")).encode()


def judge(status: int, answer: Mapping[str, Any], retry_after: float = 0.0) -> Outcome:
    """What an answer means. INVALID_ARGUMENT drops an address only if it alone is blamed: no field of ours is."""
    if status == 200:
        return done(receipt=str(answer["name"])) if "name" in answer else retry("no_name")
    error = answer.get("error")
    told = error if isinstance(error, dict) else {}
    found = told.get("details")
    details = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    code = _code(details) or str(told.get("status") or status)
    if code == "INVALID_ARGUMENT":
        return _invalid(details)
    return _fate(status, code, retry_after)


def _fate(status: int, code: str, retry_after: float) -> Outcome:
    if code == "UNREGISTERED" or (status == 404 and code == "NOT_FOUND"):
        return drop_address(code)
    if code == "SENDER_ID_MISMATCH":
        return drop_address(code)  # a token of another project's app: it will never be ours
    if status == 429:
        return retry(code, after=retry_after or QUOTA_SECONDS)
    if status >= 500:
        return retry(code, after=retry_after)
    if status in (401, 403):
        return alarm(code)
    return permanent(code)


def _code(details: Sequence[Mapping[str, Any]]) -> str:
    return next((str(one.get("errorCode", "")) for one in details if str(one.get("@type")).endswith(FCM_ERROR)), "")


def _invalid(details: Sequence[Mapping[str, Any]]) -> Outcome:
    violations = [
        str(violation.get("field", ""))
        for one in details
        if str(one.get("@type")).endswith(BAD_REQUEST)
        for violation in one.get("fieldViolations", [])
        if isinstance(violation, dict)
    ]
    ours = [name for name in violations if name != "message.token"]
    if ours:
        return permanent("INVALID_ARGUMENT", wrong=ours[0])
    return drop_address("INVALID_ARGUMENT") if _code(details) else permanent("INVALID_ARGUMENT")


@dataclass(frozen=True, kw_only=True)
class Fcm:
    """The channel; `project` is in the service account's file."""

    project: str
    tokens: AccountTokens = field(repr=False)
    url: str = URL
    name: str = "fcm"
    batch: int = 100

    async def send(self, client: Clients, sends: Sequence[Send]) -> list[Outcome]:
        """Send each, all at once."""
        return await asyncio.gather(*(self._one(client, one) for one in sends))

    async def _one(self, client: Clients, send: Send) -> Outcome:
        now = datetime.now(UTC)
        content = message(send, now)
        if len(content) > MAX_BYTES:
            return permanent("too_large")
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await self._post(client, content)
        except GrantRefusedError:
            return alarm("grant_refused")
        except Exception as error:
            return unanswered(error)
        return judge(answer.status, answer.json(), seconds_to_wait(answer.headers.get("retry-after", ""), now))

    async def _post(self, client: Clients, content: bytes) -> Answer:
        """The answer; a token that is refused as such is replaced once."""
        goal = target(f"{self.url}/v1/projects/{self.project}/messages:send", trusted=True)
        token = await self.tokens.current(client)
        answer = await self._with(client, goal, token, content)
        if answer.status == 401 and b"THIRD_PARTY_AUTH_ERROR" not in answer.body:
            self.tokens.forget(token)
            answer = await self._with(client, goal, await self.tokens.current(client), content)
        return answer

    async def _with(self, client: Clients, goal: Any, token: str, content: bytes) -> Answer:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json; charset=utf-8"}
        return await client.http.post(goal, headers=headers, content=content)
