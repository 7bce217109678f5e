"""Who is at the door: the deny list of members' tokens, and the organiser behind a cookie.

Registers with the application what `service.auth` asks for: `deny_list` and `organiser`.
"""

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, current_app, g, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.audit import Party
from service.auth import SAFE_METHODS, bearer, bearer_token, refusals_noted
from service.clock import now as read_clock
from service.config import Config
from service.errors import ServiceError
from service.extensions import db
from service.headers import over_tls
from service.org import reach, wechat
from service.org.accounts import clients
from service.org.accounts.provider import client as provider
from service.org.accounts.sessions import Terms, of_cookie
from service.org.login import load_deny_list
from service.org.organisers import Organiser
from service.org.refusals import Refusals
from service.tokens import DenyList

COOKIE = "chunshui_organiser"
DEVICE_COOKIE = "chunshui_device"

# Bodies that no form can send: a page of another site would have to ask first.
BODIES = {
    "",
    "application/json",
    "application/octet-stream",
    "application/vnd.ms-excel",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "text/csv",
}

# Who a number in a path means; of these the audit log has pseudonyms.
SUBJECTS = {"member_id": "member", "account_id": "organiser"}

log = logging.getLogger(__name__)
View = TypeVar("View", bound=Callable[..., Any])


class DenyListCache:
    """The deny list, at most `seconds` old while PostgreSQL answers; the last known one while it does not."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.clock = clock
        self.current = DenyList()
        self.due = 0.0

    def __call__(self) -> DenyList:
        if self.clock() >= self.due:
            # Set before the query: the other requests of this moment go on with the list as it is.
            self.due = self.clock() + self.seconds
            try:
                self.current = load_deny_list()
            except (DBAPIError, PoolTimeout):
                db.session.rollback()
                log.warning("the deny list could not be refreshed; the last known one stays")
        return self.current

    def expire(self) -> None:
        """Load again at the next question; called after a revocation in this process."""
        self.due = 0.0


def init_app(app: Flask) -> None:
    """Give `app` its deny list, its organisers' door, and its clients of WeChat and the identity provider."""
    config: Config = app.config["CHUNSHUI"]
    app.extensions["deny_list"] = DenyListCache(config.deny_refresh_seconds)
    app.extensions["organiser"] = organiser_of_request
    app.extensions["programme"] = programme_of_request
    refusals = Refusals()
    app.extensions["refused"] = lambda refusal: note_refusal(refusals, refusal)
    app.extensions["openid_of"] = reach.openid_of
    app.extensions["wechat"] = wechat.connect(config)
    app.extensions["provider"] = provider.connect(config)


def organiser_of_request() -> Organiser:
    """The organiser of the current request; ServiceError if there is none or another site sent it."""
    if request.method not in SAFE_METHODS:
        refuse_other_sites()
    return of_cookie(
        request.cookies.get(cookie_name(COOKIE)), terms=Terms.of(current_app.config["CHUNSHUI"]), now=read_clock()
    )


def cookie_name(name: str) -> str:
    """`name` as it is sent: over TLS with the prefix by which a browser lets no other host and no plain HTTP set it."""
    return f"__Host-{name}" if over_tls() else name


def note_refusal(refusals: Refusals, refusal: ServiceError) -> None:
    """Note that the organiser, or programme, of the current request was refused, and what he asked of."""
    asked = request.view_args or {}
    name, thing = next(((name, value) for name, value in asked.items() if isinstance(value, int)), ("", None))
    subject = Party(SUBJECTS[name], thing) if name in SUBJECTS else None
    refusals.note(
        refusal,
        g.organiser.id,
        door=str(request.endpoint),
        subject=subject,
        thing=None if subject else thing,
        now=read_clock(),
    )


def programme_of_request(scope: str) -> clients.Programme:
    """The API client of the current request's token; ServiceError if there is none, or forbidden without the scope."""
    config: Config = current_app.config["CHUNSHUI"]
    found = clients.of_token(bearer_token(), keys=config.secrets, now=read_clock())
    if scope not in found.scopes:
        raise ServiceError("forbidden")
    return found


def refuse_other_sites() -> None:
    """ServiceError unless the request comes from our own pages or from no browser.

    Browsers of today say so in Sec-Fetch-Site, older ones in Origin; a form always names one of
    its own content types, and a body that names none is not read. Where a file may be sent, a form is known by
    what it wants in return: a page.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    config: Config = current_app.config["CHUNSHUI"]
    ours = {request.host, urlsplit(config.web_url).netloc} - {""}
    if site is not None and site != "same-origin":
        raise ServiceError("forbidden")
    if site is None and origin is not None and host_of(origin) not in ours:
        raise ServiceError("forbidden")
    uploads = getattr(current_app.view_functions.get(request.endpoint or ""), "uploads", False)
    is_upload = (
        uploads and request.mimetype == "multipart/form-data" and "text/html" not in request.accept_mimetypes.values()
    )
    if not is_upload and request.mimetype not in BODIES:
        raise ServiceError("unsupported_media_type")


def own_pages_only(view: View) -> View:
    """Let `view`, which asks for no log-in, run for our own pages or no browser only: nobody logs another one in."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refuse_other_sites()
        return view(*args, **kwargs)

    return guarded  # type: ignore[return-value]


def host_of(origin: str) -> str:
    """The host and port that an Origin header names; "" if none, or if it cannot be read."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def member_or_organiser(view: View) -> View:
    """Let `view` run for either: a bearer token gives `g.actor`, else the cookie `g.organiser`; the other is None.

    The organiser needs a grant for activities.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        by_token = "Authorization" in request.headers
        g.actor = bearer() if by_token else None
        g.organiser = None if by_token else organiser_of_request()
        if g.organiser is None:
            return view(*args, **kwargs)
        with refusals_noted():
            g.organiser.check("activities")
            return view(*args, **kwargs)

    guarded.authentication = "member or organiser"  # type: ignore[attr-defined]
    guarded.purposes = ("activities",)  # type: ignore[attr-defined]
    return guarded  # type: ignore[return-value]
