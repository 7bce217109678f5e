"""What a browser takes along to the identity provider and brings back: sealed, in a cookie, for ten minutes.

So nothing is kept here of who has set out and never came back, and nobody can come back with what another browser,
or nobody, was given.
"""

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from service import sealing
from service.errors import ServiceError

SECONDS = 600
CONTEXT = "journey to the identity provider"


@dataclass(frozen=True, slots=True)
class Journey:
    """One way there and back. `session` is the organiser's who links his account; 0: somebody wants to log in."""

    state: str
    nonce: str
    verifier: str
    until: int
    session: int = 0


def begin(now: datetime, session: int = 0) -> Journey:
    """A new one: state, nonce and PKCE's verifier are 256 random bits each."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Journey(state, nonce, verifier, until=int(now.timestamp()) + SECONDS, session=session)


def sealed(journey: Journey, key: str) -> str:
    """The cookie."""
    plain = json.dumps(asdict(journey)).encode()
    return urlsafe_b64encode(sealing.of_secrets((key,)).seal(plain, CONTEXT)).decode()


def unsealed(cookie: str | None, *, keys: Sequence[str], now: datetime) -> Journey:
    """The journey of a cookie; ServiceError provider_refused if it is none of ours, or over."""
    try:
        plain = sealing.of_secrets(tuple(keys)).unseal(urlsafe_b64decode(cookie or ""), CONTEXT)
    except (ValueError, sealing.SealBrokenError):
        raise ServiceError("provider_refused") from None
    journey = Journey(**json.loads(plain))
    if now.timestamp() >= journey.until:
        raise ServiceError("provider_refused")
    return journey
