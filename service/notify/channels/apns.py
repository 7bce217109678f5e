"""Apple's push service over HTTP/2, one request for each message, many at once on one connection.

As told by Apple's pages "Establishing a token-based connection to APNs", "Sending notification requests to APNs" and
"Handling notification responses from APNs". Texts are as neutral as the caller makes them: they show on lock screens.
"""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import jwt

from service.notify.channels.clients import Clients, unanswered
from service.notify.channels.http import Answer, target
from service.notify.channels.sends import Outcome, Send, alarm, done, drop_address, permanent, retry

MAX_PAYLOAD_BYTES = 4096
MAX_COLLAPSE_BYTES = 64
PATIENCE_SECONDS = 15.0
# A device token is hexadecimal, of a length that Apple does not promise.
DEVICE = re.compile(r"[0-9A-Fa-f]{16,400}")
# Apple takes a provider token for an hour and wants no other within twenty minutes.
JWT_SECONDS, JWT_REST_SECONDS = 2400, 1200
SERVER_SECONDS, DEVICE_SECONDS = 900.0, 60.0
GONE = frozenset({"Unregistered", "ExpiredToken"})
WRONG_DEVICE = frozenset({"BadDeviceToken", "DeviceTokenNotForTopic"})
OURS = frozenset(
    {
        "InvalidProviderToken", "MissingProviderToken", "Forbidden", "BadEnvironmentKeyIdInToken",
        "BadEnvironmentKeyInToken", "UnrelatedKeyIdInToken", "TopicDisallowed", "BadCertificate",
        "BadCertificateEnvironment",
    }
)  # fmt: skip
# So many wrong devices in one call, and more than half of it, are no devices' fault.
BURST = 20


class ProviderTokens:
    """The JWT by which Apple knows us: all processes sign the same claims, because time is cut into equal pieces."""

    def __init__(self, *, key: str, key_id: str, team: str, clock: Callable[[], float] = time.time) -> None:
        self._key, self._key_id, self._team, self._clock = key, key_id, team, clock
        self._kept = ("", 0)
        self._renewed = float("-inf")

    def current(self) -> str:
        """The token of this piece of time."""
        text, issued = self._kept
        now = self._clock()
        if not text or now - issued >= JWT_SECONDS:
            text = self._sign(int(now // JWT_SECONDS) * JWT_SECONDS)
        return text

    def renew(self, expired: str) -> str | None:
        """Another one than `expired`; None if there was one within twenty minutes, so that the clocks must differ."""
        if self._kept[0] != expired:
            return self._kept[0]
        if self._clock() - self._renewed < JWT_REST_SECONDS:
            return None
        self._renewed = self._clock()
        return self._sign(int(self._clock()))

    def _sign(self, issued: int) -> str:
        claims = {"iss": self._team, "iat": issued}
        text = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})
        self._kept = (text, issued)
        return text


def headers(send: Send, *, topic: str, token: str) -> dict[str, str]:
    """What goes beside the payload."""
    expires = int(send.expires_at.timestamp()) if send.expires_at else 0
    found = {
        "authorization": f"bearer {token}",
        "apns-topic": topic,
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": str(expires),
        "apns-id": str(send.key),
    }
    return found | ({"apns-collapse-id": collapse_id(send.collapse)} if send.collapse else {})


def collapse_id(text: str) -> str:
    """`text`, or a digest of one that is too long or not plain."""
    plain = text.isascii() and text.isprintable() and len(text) <= MAX_COLLAPSE_BYTES
    return text if plain else hashlib.sha256(text.encode()).hexdigest()


def payload(send: Send) -> bytes:
    """The JSON that the device gets."""
    alert = {"title": send.title, "body": send.text} if send.title else {"body": send.text}
    whole = {"aps": {"alert": alert, "sound": "default"}, **send.data, **({"page": send.page} if send.page else {})}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def judge(status: int, reason: str, timestamp: object = None) -> Outcome:
    """What an answer means."""
    if status == 200:
        return done()
    if status == 410 or reason in GONE:
        return drop_address(reason or "410", since=_moment(timestamp))
    if reason in WRONG_DEVICE:
        return drop_address(reason)
    if reason in OURS or status == 403:
        return alarm(reason or "403")
    if reason == "TooManyProviderTokenUpdates":
        return retry(reason, after=float(JWT_REST_SECONDS))
    if status == 429:
        return retry(reason or "429", after=DEVICE_SECONDS)
    if status >= 500 or reason == "Shutdown":
        return retry(reason or str(status), after=SERVER_SECONDS)
    return permanent(reason or str(status))


def _moment(milliseconds: object) -> datetime | None:
    if not isinstance(milliseconds, int) or not 0 < milliseconds < 10**14:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def suspect(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """`outcomes`, less the blame on devices where so many are wrong at once that environment or topic must be."""
    wrong = sum(outcome.kind == "drop_address" and outcome.code in WRONG_DEVICE for outcome in outcomes)
    if wrong < BURST or wrong * 2 <= len(outcomes):
        return list(outcomes)
    return [alarm(outcome.code) if outcome.code in WRONG_DEVICE else outcome for outcome in outcomes]


@dataclass(frozen=True, kw_only=True)
class Apns:
    """The channel; `url` is production's or the development environment's, `topic` the app's bundle id."""

    url: str
    topic: str
    tokens: ProviderTokens = field(repr=False)
    name: str = "apns"
    batch: int = 500

    async def send(self, client: Clients, sends: Sequence[Send]) -> list[Outcome]:
        """Send each, all at once."""
        return suspect(await asyncio.gather(*(self._one(client, one) for one in sends)))

    async def _one(self, client: Clients, send: Send) -> Outcome:
        content = payload(send)
        if not DEVICE.fullmatch(send.address):
            return drop_address("malformed")
        if len(content) > MAX_PAYLOAD_BYTES:
            return permanent("PayloadTooLarge")
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._attempt(client, send, content)
        except Exception as error:
            return unanswered(error)

    async def _attempt(self, client: Clients, send: Send, content: bytes) -> Outcome:
        """One attempt, and another with a new provider token if the old one has expired."""
        token: str | None = self.tokens.current()
        outcome = retry("unsent")
        for _ in range(2):
            if token is None:
                return alarm("ExpiredProviderToken")
            answer = await self._post(client, send, token, content)
            told = answer.json()
            outcome = judge(answer.status, str(told.get("reason", "")), told.get("timestamp"))
            if outcome.code != "ExpiredProviderToken":
                break
            token = self.tokens.renew(token)
        receipt = answer.headers.get("apns-id")
        return done(receipt=receipt) if outcome.kind == "done" else outcome

    async def _post(self, client: Clients, send: Send, token: str, content: bytes) -> Answer:
        goal = replace(target(self.url, trusted=True), path=f"/3/device/{send.address}".encode())
        return await client.http2.post(goal, headers=headers(send, topic=self.topic, token=token), content=content)
