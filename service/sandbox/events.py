"""WeChat's message push, in secure mode: an event is sealed, signed, and sent again when the answer is late.

Written from WeChat's page on encrypting messages, not from the product's code, so that the two can disagree.
"""

import asyncio
import base64
import hashlib
import json
import secrets
import struct
import time
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import httpx
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

TOKEN = "sandbox"  # noqa: S105 - known to everybody, guards nothing
ENCODING_KEY = "A" * 43
ATTEMPTS, PATIENCE_SECONDS = 3, 5.0


def seal(message: bytes, *, appid: str, key: str = ENCODING_KEY) -> str:
    """`message` as the text in Encrypt."""
    aes = base64.b64decode(key + "=")
    plain = secrets.token_bytes(16) + struct.pack(">I", len(message)) + message + appid.encode()
    missing = 32 - len(plain) % 32
    encryptor = Cipher(AES256(aes), CBC(aes[:16])).encryptor()
    return base64.b64encode(encryptor.update(plain + bytes([missing]) * missing) + encryptor.finalize()).decode()


def sign(*parts: str) -> str:
    """The signature of `parts` in whatever order."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def xml(event: dict[str, Any]) -> str:
    """`event` as WeChat writes XML: a list is an element for each of its members."""

    def element(name: str, value: Any) -> str:
        if isinstance(value, list):
            return "".join(element(name, one) for one in value)
        if isinstance(value, dict):
            return f"<{name}>{''.join(element(key, one) for key, one in value.items())}</{name}>"
        return f"<{name}>{escape(str(value))}</{name}>"

    return element("xml", event)


def popup(openid: str, *choices: tuple[str, str], nested: bool = False) -> dict[str, Any]:
    """What a member chose, as (template, accept or reject): one is an object, several are a list."""
    rows = [
        {"TemplateId": template, "SubscribeStatusString": status, "PopupScene": "0"} for template, status in choices
    ]
    told: Any = rows[0] if len(rows) == 1 else rows
    return _event(openid, "subscribe_msg_popup_event", "SubscribeMsgPopupEvent", told, nested)


def changed(openid: str, template: str, *, nested: bool = False) -> dict[str, Any]:
    """A member took back what he had accepted."""
    row = {"TemplateId": template, "SubscribeStatusString": "reject"}
    return _event(openid, "subscribe_msg_change_event", "SubscribeMsgChangeEvent", row, nested)


def sent(openid: str, template: str, number: int, *, code: int = 0, nested: bool = False) -> dict[str, Any]:
    """What became of a message."""
    status = "success" if code == 0 else "system failed"
    row = {"TemplateId": template, "MsgID": str(number), "ErrorCode": str(code), "ErrorStatus": status}
    return _event(openid, "subscribe_msg_sent_event", "SubscribeMsgSentEvent", row, nested)


def _event(openid: str, name: str, outer: str, told: Any, nested: bool) -> dict[str, Any]:
    whole = {
        "ToUserName": "gh_sandbox", "FromUserName": openid, "CreateTime": int(time.time()), "MsgType": "event",
        "Event": name,
    }  # fmt: skip
    return whole | ({outer: {"List": told}} if nested else {"List": told})


@dataclass(frozen=True)
class Caller:
    """Calls `url` back; `as_xml` as an Official Account does."""

    url: str
    appid: str
    token: str = TOKEN
    key: str = ENCODING_KEY
    as_xml: bool = False

    def request(self, event: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        """Query and body of one call."""
        text = xml(event) if self.as_xml else json.dumps(event)
        encrypted, moment = seal(text.encode(), appid=self.appid, key=self.key), str(int(time.time()))
        nonce = str(secrets.randbelow(10**9))
        query = {
            "signature": sign(self.token, moment, nonce), "timestamp": moment, "nonce": nonce,
            "openid": str(event["FromUserName"]), "encrypt_type": "aes",
            "msg_signature": sign(self.token, moment, nonce, encrypted),
        }  # fmt: skip
        whole: dict[str, Any] = {"ToUserName": str(event["ToUserName"]), "Encrypt": encrypted}
        return query, (xml(whole) if self.as_xml else json.dumps(whole)).encode()

    async def call(self, event: dict[str, Any], *, twice: bool = False) -> int:
        """Send `event` until somebody answers in time, three times at most; how often it was sent."""
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False) as client:
            for attempt in range(1, ATTEMPTS + 1):
                query, body = self.request(event)
                try:
                    answer = await client.post(self.url, params=query, content=body)
                except httpx.HTTPError:
                    await asyncio.sleep(0.05)
                    continue
                if answer.status_code == 200 and answer.text in ("", "success") and not (twice and attempt == 1):
                    return attempt
        return ATTEMPTS
