"""What every answer says to browsers, whatever it holds.

Promises: nothing that is no page of ours may be framed, load or run anything; an answer that does not say otherwise is
kept by nobody; over TLS browsers are told to come back over TLS only.
"""

from flask import Flask, Response, current_app, request

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HSTS = "max-age=31536000; includeSubDomains"


def init_app(app: Flask) -> None:
    """Let every answer of `app` carry them."""
    app.after_request(secure)


def secure(response: Response) -> Response:
    """Add what the view has not said itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if over_tls():
        response.headers["Strict-Transport-Security"] = HSTS
    return response


def over_tls() -> bool:
    """Whether the asker came over TLS: by the connection, by a trusted proxy's word, or as WEB_URL has it."""
    return request.is_secure or bool(current_app.config["CHUNSHUI"].web_url.startswith("https:"))
