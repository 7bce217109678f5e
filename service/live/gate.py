"""Who may come in, before anything is known of them but their request; and who has to go for it.

Promises: a refusal costs one small HTTP answer with a hint when to come back, after which stock clients try again by
themselves; who is connected already never pays for newcomers. All limits are this worker's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.live import memory
from service.live.addresses import Addresses
from service.live.devices import Devices
from service.live.origins import Origins
from service.live.pace import Pace
from service.live.pressure import Pressure

if TYPE_CHECKING:
    from service.live.connection import Connection
    from service.live.gateway import Gateway
    from service.live.upgrade import Request

HURRIED_SECONDS: Final = 5.0  # for a handshake while many are unfinished


class Gate:
    """The limits of one worker."""

    def __init__(self, gateway: Gateway) -> None:
        config = gateway.config
        self._gateway = gateway
        self.origins = Origins(config.gateway_origins, required=config.gateway_origin_required)
        share = -(-config.address_connections // config.gateway_workers)
        self.addresses = Addresses(limit=share, proxies=config.gateway_proxies, header=config.gateway_client_header)
        self.devices: Devices[Connection] = Devices(config.member_connections)
        self.pressure = Pressure(config.admission_lag_seconds, gateway.now())
        self.pace = Pace(config, len(gateway.sid(0)))
        self.memory = memory.resident()
        self.memory_limit = memory.limit(config.gateway_memory_mib, workers=config.gateway_workers)
        self.patience = gateway.ticks.handshake
        self._hurried = min(self.patience, max(round(HURRIED_SECONDS / config.flush_seconds), 1))
        self._tick_at = gateway.now() + config.flush_seconds

    @property
    def unfinished(self) -> int:
        """How many connections have not said yet who they are."""
        return len(self._gateway.connections) - len(self.devices)

    def tick(self, now: float) -> None:
        """Look at the load; call at every tick."""
        gateway = self._gateway
        late, self._tick_at = now - self._tick_at, now + gateway.config.flush_seconds
        # Handshakes alone may never fill the worker, nor keep out for long those who finish theirs.
        crowded = self.unfinished > gateway.capacity // 2
        if self.pressure.tick(late, now, crowded=crowded):
            self.memory = memory.resident()
            self.patience = self._hurried if self.unfinished > gateway.capacity // 4 else gateway.ticks.handshake
            self.pace.adjust(len(gateway.connections), self.pressure.stretch)

    def arrived(self, connection: Connection, host: str) -> bool:
        """Whether somebody from `host` may talk to us at all; of a trusted proxy the request will tell."""
        return self._enter(connection, self.addresses.of_peer(host))

    def refusal(self, connection: Connection, request: Request) -> str | None:
        """The code of the refusal that a proper request earns, or None when it may be upgraded."""
        gateway = self._gateway
        if gateway.full():
            return "gateway_full"
        if self.memory >= self.memory_limit:
            return "gateway_memory"
        if not self.origins.allow(request.headers.get("origin")):
            return "origin_refused"
        if connection.address is None and not self._enter(connection, self.addresses.behind_proxy(request.headers)):
            return "address_full"
        return None if self.pressure.admits(gateway.now()) else "gateway_busy"

    def _enter(self, connection: Connection, key: bytes | None) -> bool:
        if key is None:
            return True
        if not self.addresses.enter(key):
            return False
        connection.address = key
        return True

    def admitted(self, connection: Connection) -> None:
        """A member is let in; the oldest of too many connections has to go."""
        oldest = self.devices.add(connection.member, connection)
        if oldest is not None:
            self._gateway.counters.replaced += 1
            oldest.replace()

    def disconnected(self, connection: Connection) -> None:
        """A member said goodbye, or is gone."""
        self.devices.remove(connection.member, connection)

    def departed(self, connection: Connection) -> None:
        """A connection is closed."""
        self.disconnected(connection)
        if connection.address is not None:
            self.addresses.leave(connection.address)
            connection.address = None
