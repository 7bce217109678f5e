"""REST doors of the org room: members' sessions, organisers' sessions, the demo's guests."""

from functools import partial
from typing import Any

from apiflask import APIBlueprint
from flask import Response, current_app, g, request

from service.auth import member_required, organiser_required, public
from service.clock import now as read_clock
from service.config import Config
from service.errors import ServiceError
from service.org import access, demo, login, organisers, roster, wechat
from service.org.organisers import Organiser
from service.org.roster import MemberFacts
from service.org.schemas import (
    GuestOut,
    LoginIn,
    LoginOut,
    MemberOut,
    OrganiserLoginIn,
    OrganiserLoginOut,
    OrganiserOut,
    RefreshIn,
)

bp = APIBlueprint("org", __name__, tag="People")

NO_STORE = {"Cache-Control": "no-store"}


@bp.post("/sessions")
@public
@bp.input(LoginIn)
@bp.output(LoginOut, status_code=201)
def log_in(json_data: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Log in with WeChat

    The first log-in binds the WeChat user to a member of the roster: by a one-time invitation, or in the mini-program
    by the phone number that WeChat vouches for. Who is bound in one app is known in the others.
    """
    app, phone_code = json_data["app"], json_data["phone_code"]
    user = wechat.exchange(json_data["code"], app)
    phone = partial(wechat.phone_number, phone_code, user) if phone_code else None
    opened = login.log_in(user, app=app, invitation=json_data["invitation"], phone=phone, now=read_clock())
    return shown_login(opened), 201, NO_STORE


@bp.post("/sessions/refresh")
@public
@bp.input(RefreshIn)
@bp.output(LoginOut)
def refresh(json_data: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Exchange a refresh token for new tokens

    Each is good once; a second use closes the session.
    """
    try:
        return shown_login(login.refresh(json_data["refresh_token"], read_clock())), 200, NO_STORE
    except ServiceError as error:
        if error.code == "refresh_reused":
            current_app.extensions["deny_list"].expire()
        raise


@bp.delete("/sessions/current")
@member_required
@bp.output({}, status_code=204)
def log_out() -> str:
    """Log out

    Closes this session; its access tokens are refused within seconds everywhere.
    """
    login.log_out(g.actor, read_clock())
    current_app.extensions["deny_list"].expire()
    return ""


@bp.get("/me")
@member_required
@bp.output(MemberOut)
def me() -> dict[str, Any]:
    """Show the member who asks"""
    member = roster.member_facts(g.actor.member)
    if member is None:
        raise ServiceError("token_invalid")
    return shown_member(member)


@bp.post("/organisers/sessions")
@public
@bp.input(OrganiserLoginIn)
@bp.output(OrganiserLoginOut, status_code=201)
def sign_in(json_data: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Log in as an organiser

    Sets a cookie that scripts cannot read and other sites cannot send.
    """
    access.refuse_other_sites()
    config: Config = current_app.config["CHUNSHUI"]
    cookie, organiser = organisers.sign_in(**json_data, now=read_clock(), hours=config.organiser_session_hours)
    headers = {**NO_STORE, "Set-Cookie": set_cookie(cookie, config.organiser_session_hours * 3600)}
    return {"organiser": shown_organiser(organiser)}, 201, headers


@bp.delete("/organisers/sessions/current")
@organiser_required
@bp.output({}, status_code=204)
def sign_out() -> tuple[str, int, dict[str, str]]:
    """Log out as an organiser"""
    organisers.sign_out(g.organiser, read_clock())
    return "", 204, {"Set-Cookie": set_cookie("", 0)}


@bp.get("/organisers/me")
@organiser_required
@bp.output(OrganiserOut)
def organiser_me() -> dict[str, Any]:
    """Show the organiser who asks"""
    return shown_organiser(g.organiser)


@bp.post("/demo/guests")
@public
@bp.output(GuestOut, status_code=201)
def guest() -> dict[str, str]:
    """Get a place on the demo's roster

    Exists in the demo only: a WeChat code of the sandbox and an invitation for it.
    """
    if not current_app.config["CHUNSHUI"].demo:
        raise ServiceError("not_found")
    code, invitation = demo.admit_guest(read_clock())
    return {"code": code, "invitation": invitation}


def set_cookie(value: str, seconds: int) -> str:
    """The organiser's cookie as a header: out of reach of scripts and other sites, over TLS where there is TLS."""
    secure = request.is_secure or current_app.config["CHUNSHUI"].web_url.startswith("https:")
    carrier = Response()
    carrier.set_cookie(access.COOKIE, value, max_age=seconds, httponly=True, samesite="Strict", secure=secure)
    return carrier.headers["Set-Cookie"]


def shown_login(opened: login.Login) -> dict[str, Any]:
    """A log-in as LoginOut wants it."""
    return {
        "access_token": opened.access_token,
        "expires_in": opened.expires_in,
        "refresh_token": opened.refresh_token,
        "member": shown_member(opened.member),
    }


def shown_member(member: MemberFacts) -> dict[str, Any]:
    """A member as MemberOut wants it."""
    return {
        "id": member.id,
        "organisation": {"id": member.organisation_id, "name": member.organisation_name},
        "place": {"code": member.place_code, "name": member.place_name} if member.place_code else None,
    }


def shown_organiser(organiser: Organiser) -> dict[str, Any]:
    """An organiser as OrganiserOut wants it."""
    return {
        "id": organiser.id,
        "name": organiser.name,
        "organisation": {"id": organiser.organisation_id, "name": organiser.organisation_name},
    }
