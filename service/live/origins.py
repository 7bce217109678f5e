"""Which pages may open a member's socket: the `Origin` that a browser sends, against the setting.

A member's socket is opened by a token that the page itself has to send, never by a cookie: a foreign page gains nothing
by connecting, so the default is to let everybody in. Mini-programs send odd origins, applications mostly none.
"""

from typing import Final

ANY: Final = "*"


class Origins:
    """The allowed origins: `*`, or any of `null`, `https://host`, `https://host:port`, `https://*.host`, by commas.

    `https://*.host` means every host below it, at any depth, and not `host` itself. Case makes no difference.
    """

    def __init__(self, allowed: str, *, required: bool) -> None:
        listed = {one.strip().lower() for one in allowed.split(",")} - {""}
        self._required = required
        self._any = ANY in listed
        self._exact = frozenset(one for one in listed if "://*." not in one)
        # (scheme and slashes, what the rest ends with)
        self._below = tuple(tuple(one.split("*", 1)) for one in listed if "://*." in one)

    def allow(self, origin: str | None) -> bool:
        """Whether a request with this Origin, None for none, may pass."""
        if not origin:
            return not self._required
        if self._any:
            return True
        origin = origin.lower()
        return origin in self._exact or any(
            origin.startswith(scheme) and origin.endswith(end) and len(origin) > len(scheme) + len(end)
            for scheme, end in self._below
        )
