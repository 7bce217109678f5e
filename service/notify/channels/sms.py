"""Text messages, through a gateway that the operator runs or rents: every vendor's API differs, this one does not.

`POST {url}` with `{"to", "text", "key"}`, signed by Standard Webhooks under a secret that both know. `key` is the same
in every attempt, and a gateway that has seen it answers as before without sending again. Answers: 2xx `{"id"}` sent;
404 or 410 no such number; 400, 413 or 422 not this text; 401 or 403 not from us; 429 with Retry-After and 5xx later.

A gateway for a vendor is a dozen lines: verify, call the vendor's API with its own template, translate its answer.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from standardwebhooks import Webhook

from service.notify.channels.clients import Clients, unanswered
from service.notify.channels.http import target
from service.notify.channels.sends import Outcome, Send, alarm, done, drop_address, permanent, retry
from service.notify.channels.webhook import seconds_to_wait

PATIENCE_SECONDS = 15.0


def judge(status: int, identifier: object = None, after: float = 0.0) -> Outcome:
    """What the gateway's answer means."""
    code = str(status)
    if 200 <= status < 300:
        return done(receipt=str(identifier) if identifier is not None else None)
    if status in (404, 410):
        return drop_address(code)
    if status in (401, 403) or 300 <= status < 400:
        return alarm(code)
    if status in (408, 429) or status >= 500:
        return retry(code, after=after)
    return permanent(code)


@dataclass(frozen=True, kw_only=True)
class Sms:
    """The channel; `secret` is as Standard Webhooks writes it, whsec_ and base64."""

    url: str
    secret: str = field(repr=False)
    name: str = "sms"
    batch: int = 50

    async def send(self, client: Clients, sends: Sequence[Send]) -> list[Outcome]:
        """Send each, all at once."""
        return await asyncio.gather(*(self._one(client, one) for one in sends))

    async def _one(self, client: Clients, send: Send) -> Outcome:
        now = datetime.now(UTC)
        text = json.dumps({"to": send.address, "text": send.text, "key": send.key.hex}, ensure_ascii=False)
        message_id = f"msg_{send.key.hex}"
        headers = {
            "content-type": "application/json; charset=utf-8",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(message_id, now, text),
        }
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await client.http.post(target(self.url, trusted=True), headers=headers, content=text.encode())
        except Exception as error:
            return unanswered(error)
        after = seconds_to_wait(answer.headers.get("retry-after", ""), now)
        return judge(answer.status, answer.json().get("id"), after)
