"""API clients: programmes of push services that act for an organisation (OAuth 2 client credentials, RFC 6749, 4.4).

A secret is shown once. At a rotation the old one stays good for a week, so that nothing stands still; there are never
more than two. An access token is signed, lives ten minutes, and ends at once with its client.
"""

import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import joinedload

from service.errors import ServiceError
from service.extensions import db
from service.org.accounts.models import ApiClient, ApiClientSecret
from service.org.accounts.notes import note
from service.org.models import Organisation, covers
from service.org.organisers import Organiser
from service.scope import scoped

# What a programme may be let do; `events:read` is for the pull of events.
SCOPES = ("endpoints:read", "endpoints:write", "events:read")
TOKEN_SECONDS = 600
OVERLAP = timedelta(days=7)
MOST_CLIENTS = 20


@dataclass(frozen=True, slots=True)
class Programme:
    """An API client at a door: it stands where the organiser would stand who answers for it, within its scopes."""

    id: int
    client: int
    organisation_id: int
    organisation_path: str
    scopes: frozenset[str]

    def paths(self, purpose: str) -> tuple[str, ...]:
        """Its organisation's path, for `push` alone."""
        return (self.organisation_path,) if purpose == "push" else ()

    def may(self, purpose: str, path: str) -> bool:
        """Whether it may act for `purpose` at the node `path`."""
        return any(covers(own, path) for own in self.paths(purpose))


def register(organiser: Organiser, *, name: str, scopes: Collection[str], now: datetime) -> tuple[ApiClient, str]:
    """A new client of the organiser's organisation and its secret; committed. ServiceError forbidden, client_limit."""
    if not organiser.may("push", organiser.organisation_path):
        raise ServiceError("forbidden")
    mine = scoped(select(func.count(ApiClient.id)), ApiClient.organisation_id == organiser.organisation_id)
    if db.session.scalars(mine.where(ApiClient.disabled_at.is_(None))).one() >= MOST_CLIENTS:
        raise ServiceError("client_limit", limit=MOST_CLIENTS)
    client = ApiClient(
        client_id=secrets.token_urlsafe(18),
        name=name,
        organisation_id=organiser.organisation_id,
        scopes=sorted(set(scopes)),
        created_by=organiser.id,
    )
    db.session.add(client)
    db.session.flush()
    secret = _new_secret(client, now)
    note("client.created", by=organiser.id, now=now, client=client.id, scopes=" ".join(client.scopes))
    db.session.commit()
    return client, secret


def rotate(organiser: Organiser, client_id: int, now: datetime) -> tuple[ApiClient, str]:
    """A second secret; the one before is good for another week, any other ends now. Committed.

    ServiceError not_found.
    """
    client = find(organiser, client_id, lock=True)
    # From the newest: the first stays for the overlap, unless its end is nearer.
    newest = select(ApiClientSecret).where(ApiClientSecret.client_id == client.id).order_by(ApiClientSecret.id.desc())
    for place, old in enumerate(db.session.scalars(newest)):
        until = now + OVERLAP if place == 0 else now
        old.expires_at = until if old.expires_at is None else min(old.expires_at, until)
    secret = _new_secret(client, now)
    note("client.changed", by=organiser.id, now=now, client=client.id, change="secret")
    db.session.commit()
    return client, secret


def disable(organiser: Organiser, client_id: int, now: datetime) -> None:
    """End a client with all its tokens, at once and for good. Commits. ServiceError not_found."""
    client = find(organiser, client_id, lock=True)
    client.disabled_at = now
    note("client.changed", by=organiser.id, now=now, client=client.id, change="disabled")
    db.session.commit()


def visible(organiser: Organiser) -> Sequence[ApiClient]:
    """The clients of the organiser's part of the tree, disabled ones too."""
    return db.session.scalars(_within(organiser).order_by(ApiClient.id)).all()


def find(organiser: Organiser, client_id: int, *, lock: bool = False) -> ApiClient:
    """One of them that is not disabled; ServiceError not_found for any other."""
    question = _within(organiser).where(ApiClient.id == client_id, ApiClient.disabled_at.is_(None))
    found = db.session.scalars(question.with_for_update(of=ApiClient) if lock else question).one_or_none()
    if found is None:
        raise ServiceError("not_found")
    return found


def issue(client_id: str, secret: str, *, scope: str | None, key: str, now: datetime) -> tuple[str, frozenset[str]]:
    """An access token for a client that shows a secret, and its scopes: all of the client's unless fewer are asked.

    ServiceError client_invalid, scope_invalid, as RFC 6749 names them.
    """
    valid = or_(ApiClientSecret.expires_at.is_(None), ApiClientSecret.expires_at > now)
    question = select(ApiClient).join(ApiClientSecret, ApiClientSecret.client_id == ApiClient.id)
    question = scoped(question, ApiClient.client_id == client_id, ApiClient.disabled_at.is_(None), valid)
    shown = question.where(ApiClientSecret.secret_hash == hashed(secret))
    # A number of ours is printable; PostgreSQL could not even be asked for others.
    client = db.session.scalars(shown).one_or_none() if client_id.isprintable() else None
    if client is None:
        raise ServiceError("client_invalid", error="invalid_client")
    scopes = frozenset(client.scopes if scope is None else scope.split())
    if not scopes <= set(client.scopes) or not scopes:
        raise ServiceError("scope_invalid", error="invalid_scope")
    expires = int(now.timestamp()) + TOKEN_SECONDS
    payload = _encode(json.dumps([client.id, sorted(scopes), expires]).encode())
    return f"{payload}.{_encode(_sign(key, payload))}", scopes


def of_token(token: str, *, keys: Sequence[str], now: datetime) -> Programme:
    """The programme of an access token; ServiceError token_invalid, token_expired."""
    payload, _, signature = token.partition(".")
    if not any(hmac.compare_digest(_decode(signature), _sign(key, payload)) for key in keys):
        raise ServiceError("token_invalid")
    number, scopes, expires = json.loads(_decode(payload))
    if now.timestamp() >= expires:
        raise ServiceError("token_expired")
    question = select(ApiClient).options(joinedload(ApiClient.organisation))
    client = db.session.scalars(scoped(question, ApiClient.id == number, ApiClient.disabled_at.is_(None))).one_or_none()
    if client is None:
        raise ServiceError("token_invalid")
    return Programme(client.created_by, client.id, client.organisation_id, client.organisation.path, frozenset(scopes))


def hashed(secret: str) -> bytes:
    """What is stored of a client's secret."""
    return sha256(secret.encode("utf-8", "replace")).digest()


def _new_secret(client: ApiClient, now: datetime) -> str:
    secret = secrets.token_urlsafe(32)
    db.session.add(ApiClientSecret(client_id=client.id, secret_hash=hashed(secret), created_at=now))
    return secret


def _within(organiser: Organiser) -> Select[ApiClient]:
    reached = select(Organisation.id).where(organiser.reaches("push", Organisation.path))
    return scoped(select(ApiClient), ApiClient.organisation_id.in_(reached))


def _sign(key: str, payload: str) -> bytes:
    derived = sha256(b"chunshui client token\0" + key.encode()).digest()
    return hmac.new(derived, payload.encode("utf-8", "surrogatepass"), sha256).digest()


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise ServiceError("token_invalid") from None
