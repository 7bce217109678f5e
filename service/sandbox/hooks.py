"""A receiver of webhooks to try an endpoint with: takes what is signed as Standard Webhooks says, and shows it.

Written from the specification, by itself: for the secrets it is given, a signature under any of them will do.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from service.sandbox.faults import Answer

TOLERANCE_SECONDS = 300
MOST = 1000


class Hooks:
    """Takes events for `secrets` (whsec_…); each id once."""

    def __init__(self, secrets: list[str], clock: Callable[[], float] = time.time) -> None:
        self._secrets = [base64.b64decode(one.removeprefix("whsec_") + "==") for one in secrets]
        self._clock = clock
        self.taken: deque[dict[str, Any]] = deque(maxlen=MOST)
        self._ids: deque[str] = deque(maxlen=MOST)

    def take(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """204 for an event and for its repeats, 401 for what was not signed, or not lately."""
        refusal = self.refusal(headers, body)
        if refusal:
            return Answer({"error": refusal}, status=401)
        if headers["webhook-id"] not in self._ids:
            self._ids.append(headers["webhook-id"])
            self.taken.append(json.loads(body))
        return Answer({}, status=200)

    def refusal(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """What is wrong with a request; None if it is to be believed."""
        identifier, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not identifier or not (moment.isascii() and moment.isdigit()) or len(moment) > 12:
            return "headers"
        if abs(int(moment) - self._clock()) > TOLERANCE_SECONDS:
            return "timestamp"
        signed = f"{identifier}.{moment}.".encode() + body
        expected = [hmac.digest(secret, signed, hashlib.sha256) for secret in self._secrets]
        given = [_decoded(one) for one in headers.get("webhook-signature", "").split()]
        # Every pair is compared, so that the time taken tells nothing of which one fits.
        fits = [hmac.compare_digest(one, other) for one in given for other in expected]
        return None if any(fits) else "signature"


def _decoded(signature: str) -> bytes:
    version, _, text = signature.partition(",")
    try:
        return base64.b64decode(text, validate=True) if version == "v1" else b""
    except (binascii.Error, ValueError):
        return b""
