"""Who may call what: every view declares it, and finds who called.

The org room registers four callables in `app.extensions`: `deny_list`, the current DenyList; `organiser`, the
organiser of the current request; `programme`, the API client of the current request's token, which must have a scope;
`refused`, which is told what an organiser was refused.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from flask import current_app, g, request

from service.clock import now as read_clock
from service.errors import ServiceError
from service.tokens import Actor, read_access

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

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
    """Let `view` run for a logged-in organiser, who is then in `g.organiser`: for his own account's sake only."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.organiser = current_app.extensions["organiser"]()
        return view(*args, **kwargs)

    guarded.authentication = "organiser"  # type: ignore[attr-defined]
    return guarded  # type: ignore[return-value]


@contextmanager
def refusals_noted() -> Iterator[None]:
    """Let the org room note what is refused to whom."""
    try:
        yield
    except ServiceError as refusal:
        current_app.extensions.get("refused", lambda _: None)(refusal)
        raise


def granted(*purposes: str) -> Callable[[View], View]:
    """Let a view run for an organiser in `g.organiser` who holds a grant for one of `purposes`, anywhere in the tree.

    How far it reaches is for the rule to ask. ServiceError second_factor_missing, forbidden.
    """

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            g.organiser = current_app.extensions["organiser"]()
            with refusals_noted():
                g.organiser.check(*purposes)
                return view(*args, **kwargs)

        guarded.authentication = "organiser"  # type: ignore[attr-defined]
        guarded.purposes = purposes  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return guard


def roomy(most_bytes: int) -> Callable[[View], View]:
    """Let a view take a body of so many bytes, where other doors take `MAX_BODY_BYTES`."""

    def declare(view: View) -> View:
        view.most_bytes = most_bytes  # type: ignore[attr-defined]
        return view

    return declare


def uploading(most_bytes: int) -> Callable[[View], View]:
    """The same for a file, as multipart/form-data from our own pages or from programs."""

    def declare(view: View) -> View:
        view.uploads = True  # type: ignore[attr-defined]
        return roomy(most_bytes)(view)

    return declare


def push_service(scope: str) -> Callable[[View], View]:
    """Let a view run for an organiser with a grant for `push`, or for a programme whose token has `scope`.

    Either is in `g.organiser`.
    """

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            by_token = "Authorization" in request.headers
            found = current_app.extensions["programme"](scope) if by_token else current_app.extensions["organiser"]()
            g.organiser = found
            with refusals_noted():
                if not by_token:
                    found.check("push")
                return view(*args, **kwargs)

        guarded.authentication = "organiser or programme"  # type: ignore[attr-defined]
        guarded.purposes = ("push",)  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return guard


def bearer() -> Actor:
    """The actor of the request's bearer token; ServiceError if missing, wrong, expired or denied."""
    actor = read_access(current_app.config["CHUNSHUI"].secrets, bearer_token(), read_clock())
    if current_app.extensions["deny_list"]().denies(actor):
        raise ServiceError("token_denied")
    return actor


def bearer_token() -> str:
    """The request's bearer token, unread; ServiceError token_missing without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ServiceError("token_missing")
    return token
