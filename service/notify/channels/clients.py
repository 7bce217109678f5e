"""What channels reach the outside world with: one client for each version of HTTP, within one event loop."""

import ssl
from dataclasses import dataclass

from service.notify.channels.http import Client
from service.notify.channels.http2 import ConnectionEndedError, Pool
from service.notify.channels.sends import Outcome, retry
from service.notify.channels.webhook import reason


@dataclass(frozen=True)
class Clients:
    """Kept connections of both kinds. `private`: whether addresses that others named may be inside our network."""

    http: Client
    http2: Pool

    @classmethod
    def opened(cls, *, most_idle: int, private: bool = False, trust: ssl.SSLContext | None = None) -> "Clients":
        """Fresh ones; they connect when they are used. `trust` is for HTTP/2, with h2 as its protocol."""
        return cls(Client(private=private, most_idle=most_idle), Pool(private=private, trust=trust))

    def close(self) -> None:
        """Close every connection."""
        self.http.close()
        self.http2.close()


def unanswered(error: Exception) -> Outcome:
    """What a request that got no answer means: whatever it was, it is tried again."""
    if isinstance(error, ConnectionEndedError):
        return retry("unheard" if error.unheard else "connection")
    return retry(reason(error))
