"""Setting out to the identity provider and coming back: to log in, or to link one's account.

Whatever is wrong with how somebody comes back is refused alike, also a subject whom no account knows. Who is let in
gets the session that password and authenticator give; failures with the account's login make him wait here too.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from service.errors import ServiceError
from service.extensions import db
from service.org.accounts import attempts, factor, sessions
from service.org.accounts.notes import note_stranger
from service.org.accounts.provider import journeys, links
from service.org.accounts.provider.client import Identity, Provider
from service.org.accounts.sessions import Opened, Terms
from service.org.organisers import Organiser


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes, and the cookie that it takes along."""

    address: str
    cookie: str


def depart(provider: Provider, *, terms: Terms, now: datetime, session: int = 0) -> Departure:
    """Send a browser to log in there; ServiceError provider_unavailable."""
    journey = journeys.begin(now, session)
    return Departure(provider.address(journey), journeys.sealed(journey, terms.keys[0]))


def depart_to_link(
    provider: Provider, organiser: Organiser, *, password: str, terms: Terms, now: datetime
) -> Departure:
    """The same for an organiser who links his account, and shows his password for it again. Commits.

    ServiceError login_failed, login_locked, second_factor_missing, provider_unavailable.
    """
    if organiser.lacks_factor:
        raise ServiceError("second_factor_missing")
    sessions.password_shown(organiser, password, now)
    db.session.commit()
    return depart(provider, terms=terms, now=now, session=organiser.session)


def arrive(
    provider: Provider,
    cookie: str | None,
    answer: Mapping[str, str],
    *,
    device: str | None = None,
    terms: Terms,
    now: datetime,
) -> Opened | None:
    """A new session for who comes back with `answer`; None: the account is linked. Commits.

    ServiceError provider_refused whatever was wrong, provider_unavailable, login_locked.
    """
    journey = journeys.unsealed(cookie, keys=terms.keys, now=now)
    same = hmac.compare_digest(answer.get("state", "").encode(), journey.state.encode())
    # Of several providers one could pass off another's answer as its own (RFC 9207); ours says whose it is.
    if not same or answer.get("iss", provider.issuer) != provider.issuer or not answer.get("code"):
        raise ServiceError("provider_refused")
    identity = provider.identify(answer["code"], journey, now)
    if journey.session:
        _link(identity, journey.session, terms, now)
        return None
    return _sign_in(identity, device=device, terms=terms, now=now)


def _link(identity: Identity, session: int, terms: Terms, now: datetime) -> None:
    account = sessions.account_of_session(session, terms=terms, now=now)
    if account is None:
        raise ServiceError("provider_refused")
    try:
        links.link(account, identity.issuer, identity.subject, by=account, now=now)
    except ServiceError:
        # Another account has it: nobody is told so.
        raise ServiceError("provider_refused") from None


def _sign_in(identity: Identity, *, device: str | None, terms: Terms, now: datetime) -> Opened:
    account = links.account_of(identity.issuer, identity.subject)
    # Who has set up an authenticator here is not let in by less elsewhere.
    if account is None or not (identity.two_factors or not factor.is_set_up(account.id)):
        note_stranger(identity.issuer, identity.subject, now=now, reason="unknown" if account is None else "one_factor")
        db.session.commit()
        raise ServiceError("provider_refused")
    number, login = account.id, account.login
    known = attempts.known_device(device, login, terms.keys)
    attempts.count(login, known, now)
    attempts.forget(login, known)
    return sessions.open_session(number, login, two_factors=identity.two_factors, terms=terms, now=now)
