"""REST doors of the org room: members' sessions, the demo's guests."""

from functools import partial
from typing import Any

from apiflask import APIBlueprint
from flask import current_app, g

from service.auth import member_required, public
from service.clock import now as read_clock
from service.errors import ServiceError
from service.limits import logins_per_network
from service.org import demo, login, roster, sessions, wechat
from service.org.roster import MemberFacts
from service.org.schemas import GuestOut, LoginIn, LoginOut, MemberOut, MemberSessionsOut, RefreshIn

bp = APIBlueprint("org", __name__, tag="People")

NO_STORE = {"Cache-Control": "no-store"}


@bp.post("/sessions")
@public
@logins_per_network
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
@logins_per_network
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


@bp.get("/me/sessions")
@member_required
@bp.output(MemberSessionsOut)
def my_sessions() -> dict[str, Any]:
    """List one's open sessions, this one too"""
    found = sessions.of_member(g.actor.member, read_clock())
    names = ("id", "app", "created_at", "expires_at")
    current = g.actor.session
    return {
        "sessions": [{name: getattr(one, name) for name in names} | {"current": one.id == current} for one in found]
    }


@bp.delete("/me/sessions/<int(max=9223372036854775807):session_id>")
@member_required
@bp.output({}, status_code=204)
def end_session(session_id: int) -> str:
    """Close one of one's sessions

    Its access tokens are refused within seconds everywhere.
    """
    sessions.end_one(g.actor.member, session_id, read_clock())
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
