"""Endpoints: the receivers that organisers register, and their secrets, which rest sealed.

The secret is shown once, at registration. Everyone may see only what belongs to their own part of the tree.
"""

import re
import secrets as randomness
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import httpx
import structlog
from sqlalchemy import ARRAY, BigInteger, Boolean, ColumnElement, bindparam, false, func, or_, select, text

from service import sealing
from service.errors import ServiceError
from service.extensions import db
from service.notify.channels import signing as signatures
from service.notify.channels.addresses import is_public, literal
from service.notify.models import Delivery, Endpoint, Outbox
from service.notify.outbox import TOPICS
from service.scope import everything, scoped

log = structlog.get_logger(__name__)

KEY_BYTES = 32
TEST = "endpoint.test"
# A name as it goes to the resolver, Chinese ones already in their ASCII form.
HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
# Every event is multiplied by the endpoints that listen: the bound is on what one organisation may cause.
MOST_ENDPOINTS = 20


class Organiser(Protocol):
    """What this room needs to know of who asks: an organiser, or a programme of one."""

    @property
    def id(self) -> int: ...
    @property
    def organisation_id(self) -> int: ...
    @property
    def organisation_path(self) -> str: ...
    def paths(self, purpose: str) -> Sequence[str]: ...
    def may(self, purpose: str, path: str) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where an endpoint is, with its secrets in the clear, as `signing` keeps them; never logged, never written."""

    url: str
    secret: bytes
    subject_key: bytes


def register(
    organiser: Organiser, *, url: str, topics: Collection[str], secret: str, private: bool
) -> tuple[Endpoint, bytes]:
    """A new endpoint of the organiser's organisation and its signing secret. Commits.

    ServiceError forbidden without a grant there, endpoint_refused for an address that webhooks may not go to,
    endpoint_limit for one too many.
    """
    if not organiser.may("push", organiser.organisation_path):
        raise ServiceError("forbidden")
    check_url(url, private=private)
    mine = scoped(select(func.count(Endpoint.id)), Endpoint.organisation_id == organiser.organisation_id)
    if db.session.scalars(mine).one() >= MOST_ENDPOINTS:
        raise ServiceError("endpoint_limit", limit=MOST_ENDPOINTS)
    signing = signatures.fresh()
    endpoint = Endpoint(
        organisation_id=organiser.organisation_id,
        organisation_path=organiser.organisation_path,
        url=url,
        topics=sorted(set(topics)),
        created_by=organiser.id,
    )
    _seal(endpoint, signing=signing, subject_key=randomness.token_bytes(KEY_BYTES), secret=secret)
    db.session.add(endpoint)
    db.session.commit()
    return endpoint, signing


def check_url(url: str, *, private: bool) -> None:
    """Refuse an address that can never be delivered to; names are looked up at each connection, not here."""
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError):
        raise ServiceError("endpoint_refused", reason="url") from None
    schemes = ("https", "http") if private else ("https",)
    address = literal(host)
    wrong = {
        "scheme": parsed.scheme not in schemes,
        "host": address is None and not HOST.fullmatch(host),
        "port": parsed.port is not None and not 0 < parsed.port < 65_536,
        "userinfo": bool(parsed.userinfo),
        "fragment": bool(parsed.fragment),
        "address": not private and address is not None and not is_public(address),
    }
    for reason, broken in wrong.items():
        if broken:
            raise ServiceError("endpoint_refused", reason=reason)


def visible(organiser: Organiser) -> list[Endpoint]:
    """The endpoints of the organiser's part of the tree."""
    return list(db.session.scalars(scoped(select(Endpoint), _within(organiser)).order_by(Endpoint.id)))


def find(endpoint_id: int, organiser: Organiser) -> Endpoint:
    """One of them; ServiceError not_found for any other."""
    found = db.session.scalar(scoped(select(Endpoint), Endpoint.id == endpoint_id, _within(organiser)))
    if found is None:
        raise ServiceError("not_found")
    return found


# Only those whose state changes, in one order, so that two workers do not wait for each other.
LEARN = text(
    """
    -- scope: endpoints that were tried
    WITH changed AS (
        SELECT endpoints.id, told.well FROM endpoints
        JOIN unnest(:numbers, :wells) AS told (id, well) ON told.id = endpoints.id
        WHERE (endpoints.failing_since IS NULL) <> told.well ORDER BY endpoints.id FOR UPDATE OF endpoints
    )
    UPDATE endpoints SET failing_since = CASE WHEN changed.well THEN NULL ELSE CAST(:now AS timestamptz) END
    FROM changed WHERE endpoints.id = changed.id
    """
).bindparams(bindparam("numbers", type_=ARRAY(BigInteger)), bindparam("wells", type_=ARRAY(Boolean)))


def learn(well: Mapping[int, bool], now: datetime) -> None:
    """Whether anything reached each endpoint just now; in the caller's transaction."""
    db.session.execute(LEARN, {"numbers": list(well), "wells": list(well.values()), "now": now})


def enable(endpoint: Endpoint) -> None:
    """Let traffic flow again. Commits; what was given up meanwhile is not sent unless it is replayed."""
    endpoint.enabled, endpoint.disabled_reason, endpoint.failing_since = True, None, None
    db.session.commit()


def remove(endpoint: Endpoint) -> None:
    """Forget an endpoint with its deliveries. Commits."""
    db.session.delete(endpoint)
    db.session.commit()


def rotate(endpoint: Endpoint, *, secrets: Sequence[str], now: datetime) -> tuple[bytes, datetime]:
    """A new signing secret for `endpoint`, and until when the one before is good too. Commits.

    ServiceError endpoint_sealed if the one before cannot be opened, so that no receiver could be told of both.
    """
    # Whoever seals anew at the same time would write back what he read before.
    db.session.refresh(endpoint, with_for_update=True)
    try:
        kept, subject_key = _open(endpoint, secrets=secrets)
    except sealing.SealBrokenError:
        db.session.rollback()
        raise ServiceError("endpoint_sealed") from None
    rotated = signatures.rotated(kept, now)
    _seal(endpoint, signing=rotated, subject_key=subject_key, secret=secrets[0])
    db.session.commit()
    return signatures.current(rotated), now + signatures.OVERLAP


def send_test(endpoint: Endpoint, *, now: datetime) -> Delivery:
    """A test event on its way to `endpoint`, as any other would be, and to nobody else. Commits.

    ServiceError endpoint_disabled.
    """
    if not endpoint.enabled:
        raise ServiceError("endpoint_disabled")
    event = Outbox(
        topic=TEST, organisation_paths=[], payload={"endpoint": endpoint.id}, created_at=now, fanned_out_at=now
    )
    delivery = Delivery(event=event, endpoint_id=endpoint.id, due_at=now, give_up_at=now + TOPICS[TEST])
    db.session.add_all((event, delivery))
    db.session.commit()
    return delivery


def addresses(ids: Collection[int], *, secrets: Sequence[str]) -> dict[int, Address]:
    """Where the endpoints `ids` are; one whose secrets cannot be opened is left out and logged."""
    if not ids:
        return {}
    found = {}
    for endpoint in db.session.scalars(scoped(select(Endpoint), Endpoint.id.in_(ids))):
        try:
            signing, subject_key = _open(endpoint, secrets=secrets)
        except sealing.SealBrokenError as error:
            log.error("endpoint's secret cannot be opened", endpoint=endpoint.id, reason=str(error))
            continue
        found[endpoint.id] = Address(url=endpoint.url, secret=signing, subject_key=subject_key)
    return found


def reseal(secrets: Sequence[str]) -> int:
    """Seal with the first of `secrets` what another one sealed; how many endpoints. Commits."""
    stale = [
        endpoint
        for endpoint in db.session.scalars(
            everything("every secret is sealed anew", select(Endpoint).with_for_update())
        )
        if not sealing.of_secrets(tuple(secrets)).is_current(endpoint.secret_ciphertext)
    ]
    for endpoint in stale:
        try:
            signing, subject_key = _open(endpoint, secrets=secrets)
        except sealing.SealBrokenError:
            continue
        _seal(endpoint, signing=signing, subject_key=subject_key, secret=secrets[0])
    db.session.commit()
    return len(stale)


def _seal(endpoint: Endpoint, *, signing: bytes, subject_key: bytes, secret: str) -> None:
    signing_context, subject_context = _contexts(endpoint)
    ring = sealing.of_secrets((secret,))
    endpoint.secret_ciphertext = ring.seal(signing, signing_context)
    endpoint.subject_key_ciphertext = ring.seal(subject_key, subject_context)


def _open(endpoint: Endpoint, *, secrets: Sequence[str]) -> tuple[bytes, bytes]:
    signing_context, subject_context = _contexts(endpoint)
    ring = sealing.of_secrets(tuple(secrets))
    return (
        ring.unseal(endpoint.secret_ciphertext, signing_context),
        ring.unseal(endpoint.subject_key_ciphertext, subject_context),
    )


def _contexts(endpoint: Endpoint) -> tuple[str, str]:
    owner = f"organisation {endpoint.organisation_id}"
    return f"webhook secret of {owner}", f"webhook subjects of {owner}"


def _within(organiser: Organiser) -> ColumnElement[bool]:
    # A path holds digits and dots only: nothing in it is special to LIKE.
    column = Endpoint.organisation_path
    return or_(false(), *(or_(column == path, column.like(f"{path}.%")) for path in organiser.paths("push")))
