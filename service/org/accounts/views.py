"""REST doors of the accounts: log in, second factor, ways back in, grants, API clients."""

import io
from typing import Any

import segno
from apiflask import APIBlueprint
from flask import Response, current_app, g, request
from werkzeug.datastructures import Headers

from service.auth import granted, organiser_required, public
from service.clock import now as read_clock
from service.config import Config
from service.errors import ServiceError
from service.headers import over_tls
from service.limits import passwords_per_network, per_account
from service.org import access
from service.org.accounts import clients, ending, factor, grants, listing, opening, recovery, sessions
from service.org.accounts.schemas import (
    AccountIn,
    AccountOut,
    AccountsOut,
    ApprovedOut,
    ClientIn,
    ClientsOut,
    CodeIn,
    FactorIn,
    FoundOrganisationsOut,
    GrantIn,
    GrantOut,
    GrantsOut,
    LoggedInOut,
    LogInIn,
    NameQuery,
    OpenedOut,
    OpenSessionsOut,
    PasswordIn,
    PendingOut,
    RecoveriesOut,
    RecoverIn,
    RecoveryCodesOut,
    RecoveryOut,
    SecretOut,
    TokenOut,
)
from service.org.accounts.sessions import Opened, Terms
from service.org.organisers import Organiser

bp = APIBlueprint("accounts", __name__, tag="Accounts")

NO_STORE = {"Cache-Control": "no-store"}
NUMBER = "int(max=9223372036854775807)"
ACCOUNT = f"/accounts/<{NUMBER}:account_id>"
FACTOR = "/organisers/me/second-factor"
DEVICE_SECONDS = 180 * 86_400

Answer = tuple[dict[str, Any], int, dict[str, str]]
Entered = tuple[dict[str, Any], int, Headers]


@bp.post("/organisers/sessions")
@public
@access.own_pages_only
@passwords_per_network
@bp.input(LogInIn)
@bp.output(LoggedInOut, status_code=201)
def sign_in(json_data: dict[str, Any]) -> Entered:
    """Log in as an organiser

    Sets a cookie that scripts cannot read and other sites cannot send. 401 second_factor_needed asks for the code.
    """
    device = request.cookies.get(access.cookie_name(access.DEVICE_COOKIE))
    return entered(sessions.sign_in(**json_data, device=device, terms=terms(), now=read_clock()))


@bp.post("/organisers/recovery")
@public
@access.own_pages_only
@passwords_per_network
@bp.input(RecoverIn)
@bp.output(LoggedInOut, status_code=201)
def recover(json_data: dict[str, Any]) -> Entered:
    """Come back in with an administrator's code

    Sets a new password; authenticator and other sessions are gone.
    """
    return entered(sessions.recover(**json_data, terms=terms(), now=read_clock()))


@bp.delete("/organisers/sessions/current")
@organiser_required
@bp.output({}, status_code=204)
def sign_out() -> tuple[str, int, dict[str, str]]:
    """Log out as an organiser"""
    sessions.sign_out(g.organiser, read_clock())
    return "", 204, {"Set-Cookie": cookie(access.COOKIE, "", 0)}


@bp.get("/organisers/me/sessions")
@organiser_required
@bp.output(OpenSessionsOut)
def my_sessions() -> dict[str, Any]:
    """List one's open sessions, this one too"""
    now = read_clock()
    found = ending.open_sessions(g.organiser.id, now - terms().idle, now)
    names = ("id", "two_factors", "seen_at", "expires_at")
    current = g.organiser.session
    return {
        "sessions": [{name: getattr(one, name) for name in names} | {"current": one.id == current} for one in found]
    }


@bp.delete(f"/organisers/me/sessions/<{NUMBER}:organiser_session_id>")
@organiser_required
@bp.output({}, status_code=204)
def end_session(organiser_session_id: int) -> str:
    """Close one of one's sessions"""
    ending.end_one(g.organiser.id, organiser_session_id, read_clock())
    return ""


@bp.get("/organisers/me")
@organiser_required
@bp.output(AccountOut)
def me() -> dict[str, Any]:
    """Show the organiser who asks"""
    return shown(g.organiser)


@bp.put("/organisers/me/password")
@organiser_required
@bp.input(PasswordIn)
@bp.output({}, status_code=204)
def change_password(json_data: dict[str, Any]) -> str:
    """Change one's password

    One's other sessions are closed.
    """
    sessions.change_password(g.organiser, **json_data, now=read_clock())
    return ""


@bp.post(FACTOR)
@organiser_required
@bp.input(FactorIn)
@bp.output(PendingOut, status_code=201)
def begin_factor(json_data: dict[str, Any]) -> Answer:
    """Set up an authenticator

    It is in force once a code from it confirmed it.
    """
    sessions.begin_factor(g.organiser, **json_data, terms=terms(), now=read_clock())
    waiting = pending()
    return {"secret": waiting.secret, "uri": waiting.uri}, 201, NO_STORE


@bp.get(f"{FACTOR}/qr.svg")
@organiser_required
def factor_qr() -> Response:
    """Show the waiting authenticator's QR code"""
    image = io.BytesIO()
    segno.make(pending().uri, micro=False).save(image, kind="svg", scale=6, border=2, omitsize=True)
    return Response(image.getvalue(), content_type="image/svg+xml", headers=NO_STORE)


@bp.post(f"{FACTOR}/confirmation")
@organiser_required
@bp.input(CodeIn)
@bp.output(RecoveryCodesOut)
def confirm_factor(json_data: dict[str, Any]) -> Answer:
    """Confirm the authenticator with a code from it

    Answers with ten recovery codes, shown once.
    """
    codes = sessions.confirm_factor(g.organiser, **json_data, terms=terms(), now=read_clock())
    return {"recovery_codes": codes}, 200, NO_STORE


@bp.get("/accounts")
@granted("accounts", "grants")
@bp.output(AccountsOut)
def accounts() -> dict[str, Any]:
    """List the accounts of one's part of the tree"""
    return {"accounts": listing.accounts(g.organiser)}


@bp.get("/accounts/organisations")
@granted("accounts", "grants")
@bp.input(NameQuery, location="query")
@bp.output(FoundOrganisationsOut)
def find_organisations(query_data: dict[str, Any]) -> dict[str, Any]:
    """Find organisations of one's part of the tree by name, for an account or a grant; 20 at most"""
    return {"organisations": listing.organisations(g.organiser, query_data["name"])}


@bp.post("/accounts")
@granted("accounts")
@per_account
@bp.input(AccountIn)
@bp.output(OpenedOut, status_code=201)
def open_account(json_data: dict[str, Any]) -> Answer:
    """Open an account

    Without grants, which a security administrator gives; its owner chooses a password with the code.
    """
    number, code = opening.open_account(g.organiser, **json_data, now=read_clock())
    return {"id": number, "code": code}, 201, NO_STORE


@bp.post(f"{ACCOUNT}/recovery")
@granted("accounts")
@per_account
@bp.output(RecoveryOut, status_code=201)
def propose(account_id: int) -> Any:
    """Propose to let somebody back in"""
    return recovery.propose(g.organiser, account_id, read_clock())


@bp.get("/recoveries")
@granted("accounts", "grants")
@bp.output(RecoveriesOut)
def recoveries() -> dict[str, Any]:
    """List the recoveries that wait for a second administrator"""
    return {"recoveries": recovery.waiting(g.organiser, read_clock())}


@bp.post(f"/recoveries/<{NUMBER}:recovery_id>/approval")
@granted("grants")
@per_account
@bp.output(ApprovedOut)
def approve(recovery_id: int) -> Answer:
    """Approve a recovery

    Another administrator than the one who proposed it; the code is for the account's owner, and shown once.
    """
    return {"code": recovery.approve(g.organiser, recovery_id, read_clock())}, 200, NO_STORE


@bp.get(f"{ACCOUNT}/grants")
@granted("grants")
@bp.output(GrantsOut)
def granted_to(account_id: int) -> dict[str, Any]:
    """List an account's grants"""
    return {"grants": grants.of_account(g.organiser, account_id)}


@bp.post(f"{ACCOUNT}/grants")
@granted("grants")
@per_account
@bp.input(GrantIn)
@bp.output(GrantOut, status_code=201)
def give(account_id: int, json_data: dict[str, Any]) -> Any:
    """Give a grant

    Never to oneself, and not beyond one's own part of the tree.
    """
    return grants.give(g.organiser, account_id, **json_data, now=read_clock())


@bp.delete(f"/grants/<{NUMBER}:grant_id>")
@granted("grants")
@bp.output({}, status_code=204)
def revoke(grant_id: int) -> str:
    """Revoke a grant

    The account's sessions end with it.
    """
    grants.revoke(g.organiser, grant_id, read_clock())
    return ""


@bp.get("/clients")
@granted("push")
@bp.output(ClientsOut)
def api_clients() -> dict[str, Any]:
    """List the API clients of one's part of the tree"""
    return {"clients": clients.visible(g.organiser)}


@bp.post("/clients")
@granted("push")
@per_account
@bp.input(ClientIn)
@bp.output(SecretOut, status_code=201)
def register_client(json_data: dict[str, Any]) -> Answer:
    """Register an API client

    Its secret is shown in this answer and never again.
    """
    client, secret = clients.register(g.organiser, **json_data, now=read_clock())
    return {"client_id": client.client_id, "secret": secret}, 201, NO_STORE


@bp.post(f"/clients/<{NUMBER}:client_id>/secrets")
@granted("push")
@per_account
@bp.output(SecretOut, status_code=201)
def rotate_secret(client_id: int) -> Answer:
    """Give an API client a new secret

    The one before stays good for a week.
    """
    client, secret = clients.rotate(g.organiser, client_id, read_clock())
    return {"client_id": client.client_id, "secret": secret}, 201, NO_STORE


@bp.delete(f"/clients/<{NUMBER}:client_id>")
@granted("push")
@bp.output({}, status_code=204)
def disable_client(client_id: int) -> str:
    """Disable an API client

    At once, with its tokens, and for good.
    """
    clients.disable(g.organiser, client_id, read_clock())
    return ""


@bp.post("/oauth/token")
@public
@passwords_per_network
@bp.output(TokenOut)
def token() -> Answer:
    """Get an access token as an API client

    OAuth 2 client credentials (RFC 6749, 4.4): a form with grant_type=client_credentials, the client by Basic
    authentication or in the form.
    """
    form = request.form
    if form.get("grant_type") != "client_credentials":
        raise ServiceError("grant_unsupported", error="unsupported_grant_type")
    basic = request.authorization if request.authorization and request.authorization.type == "basic" else None
    client_id = str(basic.username or "") if basic else form.get("client_id", "")
    secret = str(basic.password or "") if basic else form.get("client_secret", "")
    config: Config = current_app.config["CHUNSHUI"]
    issued, scopes = clients.issue(client_id, secret, scope=form.get("scope"), key=config.secret_key, now=read_clock())
    answer = {"access_token": issued, "token_type": "Bearer", "expires_in": clients.TOKEN_SECONDS}
    return {**answer, "scope": " ".join(sorted(scopes))}, 200, NO_STORE


def terms() -> Terms:
    """What holds for sessions here."""
    return Terms.of(current_app.config["CHUNSHUI"])


def pending() -> factor.Pending:
    """The authenticator that this account has yet to confirm."""
    return factor.pending(g.organiser.id, sessions.login_of(g.organiser), keys=terms().keys)


def entered(opened: Opened) -> Entered:
    """A new session as LoggedInOut wants it, with its cookies."""
    kept = int(terms().life.total_seconds())
    cookies = [cookie(access.COOKIE, opened.cookie, kept), cookie(access.DEVICE_COOKIE, opened.device, DEVICE_SECONDS)]
    headers = Headers([*NO_STORE.items(), *(("Set-Cookie", one) for one in cookies)])
    return {"organiser": shown(opened.organiser)}, 201, headers


def cookie(name: str, value: str, seconds: int, *, samesite: str = "Strict") -> str:
    """A cookie as a header: out of reach of scripts and other sites, over TLS where there is TLS."""
    carrier, sent = Response(), access.cookie_name(name)
    carrier.set_cookie(sent, value, max_age=seconds, httponly=True, samesite=samesite, secure=over_tls())
    return carrier.headers["Set-Cookie"]


def shown(organiser: Organiser) -> dict[str, Any]:
    """An account as AccountOut wants it."""
    return {
        "id": organiser.id,
        "name": organiser.name,
        "organisation": {"id": organiser.organisation_id, "name": organiser.organisation_name},
        "purposes": sorted({grant.purpose for grant in organiser.grants}),
        "second_factor_missing": organiser.lacks_factor,
    }
