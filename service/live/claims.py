"""What clients claim, judged: who they are (CONNECT), where they are counted, which stream they mean.

Promises: whatever the JSON holds, the answer is a value or a ServiceError; no database.
"""

import sys
from datetime import datetime

from service.errors import ServiceError
from service.live.presence import Attribution
from service.tokens import Actor, DenyList, read_access

CHANNELS = {name: name for name in ("mini_program", "official_account", "android", "ios", "h5")}
SOURCES = {name: name for name in ("hls", "channels", "external_h5", "tv")}


def read_actor(auth: dict[str, object], secrets: tuple[str, ...], denials: DenyList, now: datetime) -> Actor:
    """The member whose good token is in `auth`."""
    token = auth.get("token")
    if not isinstance(token, str) or not token:
        raise ServiceError("token_missing")
    actor = read_access(secrets, token, now)
    if "member" not in actor.scopes:
        raise ServiceError("forbidden")
    if denials.denies(actor):
        raise ServiceError("token_denied")
    return actor


def attribution(actor: Actor, auth: dict[str, object]) -> Attribution:
    """Where `actor` is counted: home and place of the token, channel and source as the client says."""
    # Interned: members of one branch share the text of its path.
    return Attribution(
        sys.intern(actor.organisation),
        sys.intern(actor.place),
        _one_of(CHANNELS, auth.get("channel", "h5"), "channel"),
        _one_of(SOURCES, auth.get("source", "hls"), "source"),
    )


def _one_of(allowed: dict[str, str], value: object, name: str) -> str:
    """The allowed text itself, so that all members share it."""
    found = allowed.get(value) if isinstance(value, str) else None
    if found is None:
        raise ServiceError("validation", errors={name: sorted(allowed)})
    return found


def stream_of(arguments: list[object]) -> int | None:
    """The stream that an event names, None when it names none."""
    body = arguments[0] if arguments else None
    stream = body.get("stream") if isinstance(body, dict) else None
    return stream if type(stream) is int and 0 < stream < 1 << 63 else None
