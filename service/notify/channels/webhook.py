"""Webhooks by Standard Webhooks 1.0: what is sent, how it is signed, what an answer means.

Only 2xx is success. Redirects are not followed, bodies of answers are neither kept nor shown: a receiver learns
nothing about our network, and whoever registers one learns nothing about other servers through us.
"""

import asyncio
import hashlib
import hmac
import json
import ssl
import uuid
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from service.clock import iso
from service.notify.channels import signing
from service.notify.channels.addresses import AddressRefusedError, NameUnknownError
from service.notify.channels.http import AnswerError, Client, target
from service.notify.channels.sends import Outcome, done, drop_address, retry

GONE = 410


@dataclass(frozen=True, kw_only=True)
class Message:
    """One delivery, ready to be signed and sent; `secret` as `signing` keeps it."""

    id: uuid.UUID
    topic: str
    happened_at: datetime
    payload: dict[str, Any]
    subject_member: int | None
    url: str
    secret: bytes
    subject_key: bytes

    @property
    def webhook_id(self) -> str:
        """The same for every attempt, another for every endpoint."""
        return f"msg_{self.id.hex}"


def subject(key: bytes, member: int) -> str:
    """An endpoint's own pseudonym of a member: stable there, meaningless anywhere else."""
    return "sub_" + hmac.new(key, str(member).encode(), hashlib.sha256).hexdigest()[:32]


def body(message: Message) -> str:
    """The JSON that is sent; the same, byte for byte, in every attempt."""
    data = dict(message.payload)
    if message.subject_member is not None:
        data["subject"] = subject(message.subject_key, message.subject_member)
    whole = {"type": message.topic, "timestamp": iso(message.happened_at), "data": data}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def headers(message: Message, *, content: str, now: datetime) -> dict[str, str]:
    """The request's headers, the signature among them; `now` is the time of this attempt."""
    signature = signing.sign(message.secret, message_id=message.webhook_id, content=content, now=now)
    return {
        "content-type": "application/json; charset=utf-8",
        "user-agent": "Chunshui-Webhooks/1",
        "webhook-id": message.webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }


def judge(status: int, retry_after: str, now: datetime) -> Outcome:
    """What an answer means."""
    if 200 <= status < 300:
        return done(status=status)
    if status == GONE:
        return drop_address("gone", status=status)
    word = "redirect" if 300 <= status < 400 else "status"
    return retry(word, after=seconds_to_wait(retry_after, now), status=status)


def seconds_to_wait(retry_after: str, now: datetime) -> float:
    """A Retry-After header in seconds from `now`; 0 if there is none or it cannot be read."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        # Nobody waits longer than a delivery lives; the bound keeps absurd numbers out of date arithmetic.
        return float(min(int(text[:10]), 10_000_000))
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0


class Sender:
    """Sends messages over kept connections, within one event loop. Never raises for a receiver's fault."""

    def __init__(self, *, patience: float, most_idle: int, private: bool) -> None:
        self._patience = patience
        self._client = Client(private=private, most_idle=most_idle)

    async def send(self, message: Message, now: datetime) -> Outcome:
        """Make one attempt, within `patience` seconds from name look-up to answer."""
        content = body(message)
        signed = headers(message, content=content, now=now)
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._client.post(target(message.url), headers=signed, content=content.encode())
        except Exception as error:
            # Whatever a receiver or the network can provoke ends as a failed attempt, never as a crash.
            return retry(reason(error))
        return judge(answer.status, answer.headers.get("retry-after", ""), now)

    def close(self) -> None:
        """Close the kept connections."""
        self._client.close()


def reason(error: BaseException) -> str:
    """The stable word for what went wrong on the way."""
    return next((word for kind, word in REASONS if isinstance(error, kind)), "connection")


# The first that fits; TimeoutError and SSLError are OSErrors.
REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (AddressRefusedError, "address_refused"),
    (NameUnknownError, "name_unknown"),
    (TimeoutError, "timeout"),
    (ssl.SSLError, "tls"),
    (AnswerError, "not_http"),
    (httpx.InvalidURL, "url"),
)
