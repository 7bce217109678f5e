"""The built pages: the organisers' wall at `/`, the members' phone page at `/m/`, the secretary's at `/desk/`,
the code on site at `/gate/`, accounts and devices at `/console/`.

Hashed assets may be kept for ever, the entry pages are asked for anew each time, and the pages' policy lets no
script or style run that did not come from here.
"""

from pathlib import Path
from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, jsonify, request, send_from_directory

from service.auth import public
from service.headers import HEADERS

STATIC = Path(__file__).parent / "static"
FOR_EVER = 365 * 24 * 3600
NOT_BUILT = "页面尚未构建，请运行 make setup。The pages are not built yet: run make setup.\n"

bp = Blueprint("pages", __name__)


@bp.get("/")
@public
def wall() -> Response:
    """The organisers' wall."""
    return entry("wall.html")


@bp.get("/m/")
@public
def phone() -> Response:
    """The members' phone page; `?activity=` names the activity."""
    return entry("phone.html")


@bp.get("/desk/")
@public
def desk() -> Response:
    """The secretary's phone page; `?activity=` names the activity."""
    return entry("desk.html")


@bp.get("/gate/")
@public
def gate() -> Response:
    """What a device on site shows: a code that changes every few seconds."""
    return entry("gate.html")


@bp.get("/console/")
@public
def console() -> Response:
    """Accounts, grants and devices on site."""
    return entry("console.html")


@bp.get("/desk/worker.js")
@bp.get("/gate/worker.js")
@public
def worker() -> Response:
    """What opens the page above it without a network; it may ask us alone."""
    response = send_from_directory(STATIC, "worker.js")
    response.cache_control.no_cache = True
    response.headers["Content-Security-Policy"] = f"{HEADERS['Content-Security-Policy']}; connect-src 'self'"
    return response


@bp.get("/m/settings.json")
@public
def settings() -> Response:
    """What the pages must know before anybody has logged in.

    Whether this is the demo, the phone page's address, and what the identity provider is called (null: there is none).
    """
    config = current_app.config["CHUNSHUI"]
    address = (config.web_url or request.host_url).rstrip("/")
    provider = config.oidc_name if config.oidc_issuer else None
    return jsonify(demo=config.demo, phone=f"{address}/m/", provider=provider)


@bp.get("/assets/<path:name>")
@public
def asset(name: str) -> Response:
    """A built file whose name carries its hash."""
    response = send_from_directory(STATIC / "assets", name, max_age=FOR_EVER)
    response.cache_control.public = True
    response.cache_control.immutable = True
    return response


def entry(name: str) -> Response:
    """An entry page under the pages' policy; 503 with the remedy if nothing was built."""
    if not (STATIC / name).is_file():
        return Response(NOT_BUILT, status=503, content_type="text/plain; charset=utf-8")
    response = send_from_directory(STATIC, name)
    response.cache_control.no_cache = True
    response.headers["Content-Security-Policy"] = policy(gateway_origins())
    return response


def policy(gateways: list[str]) -> str:
    """Only our own scripts, styles and fonts; sockets to `gateways`; video from where the organisers stream."""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            "img-src 'self'",
            "media-src https: http: blob:",
            " ".join(["connect-src 'self'", *gateways]),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def gateway_origins() -> list[str]:
    """The members' gateway and our own sockets, as ws and http origins: 'self' does not cover ws in old browsers."""
    config = current_app.config["CHUNSHUI"]
    own = urlsplit(request.host_url)
    host = f"[{own.hostname}]" if ":" in (own.hostname or "") else own.hostname
    gateway = urlsplit(config.gateway_url or f"{own.scheme}://{host}:{config.gateway_port}")
    secure = "s" if gateway.scheme in ("https", "wss") else ""
    own_secure = "s" if own.scheme == "https" else ""
    return [f"ws{own_secure}://{own.netloc}", f"http{secure}://{gateway.netloc}", f"ws{secure}://{gateway.netloc}"]
