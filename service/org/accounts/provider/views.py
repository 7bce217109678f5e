"""Doors of the log-in through an identity provider: away, back, and linking one's account."""

from typing import Any
from urllib.parse import urlencode

from apiflask import APIBlueprint
from flask import Response, current_app, g, redirect, request

from service.auth import granted, organiser_required, public
from service.clock import now as read_clock
from service.errors import ServiceError, respond
from service.limits import passwords_per_network, per_account
from service.org import access
from service.org.accounts.provider import arrivals, journeys, links
from service.org.accounts.provider.client import Provider
from service.org.accounts.schemas import DepartureOut, LinkIn
from service.org.accounts.sessions import Opened
from service.org.accounts.views import ACCOUNT, DEVICE_SECONDS, Answer, cookie, terms

bp = APIBlueprint("provider", __name__, tag="Accounts")

JOURNEY = "chunshui_journey"
HOME = "/"
AWAY = {303: "To the identity provider."}
BACK = {303: "To the console, with the session's cookie, or with what went wrong."}


@bp.get("/organisers/oidc")
@public
@passwords_per_network
@bp.doc(responses=AWAY)
def depart() -> Response:
    """Log in through the identity provider

    For a browser, which comes back with a session. 404 where no provider is set.
    """
    try:
        departure = arrivals.depart(provider(), terms=terms(), now=read_clock())
    except ServiceError as error:
        return refused(error)
    answer = see_other(departure.address)
    answer.headers.add("Set-Cookie", carried(departure.cookie))
    return answer


@bp.get("/organisers/oidc/callback")
@public
@passwords_per_network
@bp.doc(responses=BACK)
def arrive() -> Response:
    """Come back from the identity provider

    A browser is sent to the console, and told there what went wrong.
    """
    device = request.cookies.get(access.cookie_name(access.DEVICE_COOKIE))
    try:
        brought = request.cookies.get(access.cookie_name(JOURNEY))
        opened = arrivals.arrive(provider(), brought, request.args, device=device, terms=terms(), now=read_clock())
        answer = homeward(opened)
    except ServiceError as error:
        answer = refused(error)
    answer.headers.add("Set-Cookie", cookie(JOURNEY, "", 0, samesite="Lax"))
    return answer


@bp.post("/organisers/me/provider")
@organiser_required
@per_account
@bp.input(LinkIn)
@bp.output(DepartureOut, status_code=201)
def link(json_data: dict[str, Any]) -> Answer:
    """Begin to link one's account to the identity provider

    Whoever logs in there at `url`, in this browser and within ten minutes, is the one who may log in so from then on.
    """
    departure = arrivals.depart_to_link(provider(), g.organiser, **json_data, terms=terms(), now=read_clock())
    return {"url": departure.address}, 201, {"Set-Cookie": carried(departure.cookie)}


@bp.delete("/organisers/me/provider")
@organiser_required
@bp.output({}, status_code=204)
def unlink() -> str:
    """Unlink one's account from the identity provider

    One's other sessions are closed.
    """
    links.unlink(g.organiser.id, by=g.organiser.id, session=g.organiser.session, now=read_clock())
    return ""


@bp.delete(f"{ACCOUNT}/provider")
@granted("accounts")
@bp.output({}, status_code=204)
def unlink_account(account_id: int) -> str:
    """Unlink an account from the identity provider

    Its sessions end.
    """
    links.unlink_for(g.organiser, account_id, read_clock())
    return ""


def provider() -> Provider:
    """The identity provider; ServiceError not_found where none is set."""
    found: Provider | None = current_app.extensions["provider"]
    if found is None:
        raise ServiceError("not_found")
    return found


def homeward(opened: Opened | None) -> Response:
    """To the console, with the cookies of a new session if there is one."""
    answer = see_other(HOME)
    if opened is not None:
        kept = int(terms().life.total_seconds())
        answer.headers.add("Set-Cookie", cookie(access.COOKIE, opened.cookie, kept))
        answer.headers.add("Set-Cookie", cookie(access.DEVICE_COOKIE, opened.device, DEVICE_SECONDS))
    return answer


def refused(error: ServiceError) -> Response:
    """A refusal: for a browser the console that says so, for a programme the problem document."""
    wanted = request.accept_mimetypes.best_match(["application/json", "text/html"])
    if wanted == "text/html":
        return see_other(f"{HOME}?{urlencode({'problem': error.code})}")
    return respond(error)


def see_other(address: str) -> Response:
    """A redirect that is fetched with GET."""
    return redirect(address, 303, Response=Response)  # type: ignore[return-value]


def carried(journey: str) -> str:
    """The journey's cookie. Lax: the way back begins at another site, and a strict one would not be sent."""
    return cookie(JOURNEY, journey, journeys.SECONDS, samesite="Lax")
