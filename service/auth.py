"""Access tokens: signed by HMAC, read without a database; and who may call what.

The org room registers three callables in `app.extensions`: `deny_list`, the current DenyList; `organiser`, the
organiser of the current request; `programme`, the API client of the current request's token, which must have a scope.

A token is two base64url parts, payload and signature. The payload carries what every door needs to decide:
member number, organisation path, place path, scopes, session, issue and expiry time.
"""

import base64
import binascii
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, NamedTuple, TypeVar

from flask import current_app, g, request

from service.clock import now as read_clock
from service.errors import ServiceError

# From the URL-safe alphabet of base64 to the standard one, which is what the fast decoder reads.
_STANDARD = bytes.maketrans(b"-_", b"+/")

View = TypeVar("View", bound=Callable[..., Any])


class Actor(NamedTuple):
    """Who calls: a member number with its home organisation's and present place's paths."""

    member: int
    organisation: str
    place: str
    scopes: frozenset[str]
    session: int
    issued_at: int
    expires_at: int


class DenyList:
    """Sessions whose access tokens are refused; replaced as a whole, never edited.

    By session, not by a moment of issue: a log-in within the second of a log-out must work while the old token
    must not, and who logs out on one phone stays logged in on the other.
    """

    __slots__ = ("sessions",)

    def __init__(self, sessions: Iterable[int] = ()) -> None:
        self.sessions = frozenset(sessions)

    def denies(self, actor: Actor) -> bool:
        """Whether the session that `actor`'s token belongs to has been revoked."""
        return actor.session in self.sessions


def issue_access(
    secret: str,
    *,
    member: int,
    organisation: str,
    place: str,
    session: int = 0,
    scopes: Sequence[str] = ("member",),
    now: datetime,
    seconds: int,
) -> str:
    """A token good for up to `seconds`, cut by a random tenth so that a day's log-ins do not expire at once."""
    issued = int(now.timestamp())
    expires = issued + seconds - random.randrange(seconds // 10 + 1)
    fields = [member, organisation, place, list(scopes), session, issued, expires]
    payload = _encode(json.dumps(fields, separators=(",", ":")).encode())
    return f"{payload}.{_encode(_sign(secret, payload))}"


def read_access(secrets: Sequence[str], token: str, now: datetime) -> Actor:
    """The actor of `token`; ServiceError token_invalid or token_expired."""
    payload, _, signature = token.partition(".")
    given = _decode(signature)
    for secret in secrets:
        if hmac.compare_digest(_sign(secret, payload), given):
            break
    else:
        raise ServiceError("token_invalid")
    member, organisation, place, scopes, session, issued, expires = json.loads(_decode(payload).decode())
    if now.timestamp() >= expires:
        raise ServiceError("token_expired")
    return Actor(member, organisation, place, frozenset(scopes), session, issued, expires)


def public(view: View) -> View:
    """Declare that `view` asks for no log-in."""
    view.authentication = "public"  # type: ignore[attr-defined]
    return view


def member_required(view: View) -> View:
    """Let `view` run for a bearer of a member's token only; the actor is in `g.actor`."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.actor = bearer()
        return view(*args, **kwargs)

    guarded.authentication = "member"  # type: ignore[attr-defined]
    return guarded  # type: ignore[return-value]


def organiser_required(view: View) -> View:
    """Let `view` run for a logged-in organiser, who is then in `g.organiser`: for his own account's sake only."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.organiser = current_app.extensions["organiser"]()
        return view(*args, **kwargs)

    guarded.authentication = "organiser"  # type: ignore[attr-defined]
    return guarded  # type: ignore[return-value]


def granted(*purposes: str) -> Callable[[View], View]:
    """Let a view run for an organiser in `g.organiser` who holds a grant for one of `purposes`, anywhere in the tree.

    How far it reaches is for the rule to ask. ServiceError second_factor_missing, forbidden.
    """

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            g.organiser = current_app.extensions["organiser"]()
            g.organiser.check(*purposes)
            return view(*args, **kwargs)

        guarded.authentication = "organiser"  # type: ignore[attr-defined]
        guarded.purposes = purposes  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return guard


def push_service(scope: str) -> Callable[[View], View]:
    """Let a view run for an organiser with a grant for `push`, or for a programme whose token has `scope`.

    Either is in `g.organiser`.
    """

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if "Authorization" in request.headers:
                g.organiser = current_app.extensions["programme"](scope)
            else:
                g.organiser = current_app.extensions["organiser"]()
                g.organiser.check("push")
            return view(*args, **kwargs)

        guarded.authentication = "organiser or programme"  # type: ignore[attr-defined]
        guarded.purposes = ("push",)  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return guard


def bearer() -> Actor:
    """The actor of the request's bearer token; ServiceError if missing, wrong, expired or denied."""
    actor = read_access(current_app.config["CHUNSHUI"].secrets, bearer_token(), read_clock())
    if current_app.extensions["deny_list"]().denies(actor):
        raise ServiceError("token_denied")
    return actor


def bearer_token() -> str:
    """The request's bearer token, unread; ServiceError token_missing without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ServiceError("token_missing")
    return token


@lru_cache(maxsize=4)
def _key(secret: str) -> "hmac.HMAC":
    # A purpose of its own: no other signature made with the same secret can pass for a token.
    return hmac.new(hashlib.sha256(b"chunshui access token\0" + secret.encode()).digest(), digestmod=hashlib.sha256)


def _sign(secret: str, payload: str) -> bytes:
    signature = _key(secret).copy()
    signature.update(payload.encode("utf-8", "surrogatepass"))
    return signature.digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii").translate(_STANDARD) + b"=" * (-len(text) % 4))
    except ValueError:
        raise ServiceError("token_invalid") from None
