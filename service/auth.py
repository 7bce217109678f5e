"""Who may call what: every view declares it, and finds who called.

The org room registers two callables in `app.extensions`: `deny_list`, the current DenyList, and `organiser`,
the organiser of the current request.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import current_app, g, request

from service.clock import now as read_clock
from service.errors import ServiceError
from service.tokens import Actor, read_access

View = TypeVar("View", bound=Callable[..., Any])


def public(view: View) -> View:
    """Declare that `view` asks for no log-in."""
    view.authentication = "public"  # type: ignore[attr-defined]
    return view


def member_required(view: View) -> View:
    """Let `view` run for a bearer of a member's token only; the actor is in `g.actor`."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.actor = bearer()
        return view(*args, **kwargs)

    guarded.authentication = "member"  # type: ignore[attr-defined]
    return guarded  # type: ignore[return-value]


def organiser_required(view: View) -> View:
    """Let `view` run for a logged-in organiser only, who is then in `g.organiser`."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.organiser = current_app.extensions["organiser"]()
        return view(*args, **kwargs)

    guarded.authentication = "organiser"  # type: ignore[attr-defined]
    return guarded  # type: ignore[return-value]


def bearer() -> Actor:
    """The actor of the request's bearer token; ServiceError if missing, wrong, expired or denied."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ServiceError("token_missing")
    actor = read_access(current_app.config["CHUNSHUI"].secrets, token, read_clock())
    if current_app.extensions["deny_list"]().denies(actor):
        raise ServiceError("token_denied")
    return actor
