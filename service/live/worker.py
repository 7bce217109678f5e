"""The gunicorn worker class of the gateway: one uvloop, one `Gateway`, no WSGI.

Promises: the arbiter is notified every second; TERM, QUIT and INT, however often, end it once, within
`graceful_timeout`: no new connections, clients sent away with "restarting" (they reconnect), stays written. After TERM,
which is also what a reload (HUP) sends to the old workers, the clients are sent away over `restart_spread_seconds` and
stay in the count until another worker has them or their grace is over; QUIT and INT wait for neither.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

import structlog
import uvloop
from gunicorn.workers.base import Worker

from service import compiled, logs
from service.config import Config
from service.live.errands import Handler
from service.live.gateway import Gateway
from service.live.sockets import Door

# Seconds of graceful_timeout that are left for the exit itself.
MARGIN_SECONDS = 2.0
# Connections are freed by reference counting; a full collection would walk all of them.
YOUNG_OBJECTS = 50_000

# A worker that has a successor accepts for as long as that one needs to begin.
OVERLAP_SECONDS = 1.0

log = structlog.get_logger(__name__)


class GatewayWorker(Worker):  # type: ignore[misc]
    """Serves members' sockets; gunicorn's `wsgi_app` is `application`, which it never calls.

    Who puts the process together says in `handlers` what other rooms do for members, by event.
    """

    handlers: Mapping[str, Handler] | None = None

    def init_process(self) -> None:
        """Make the loop before gunicorn installs the signals."""
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.stopping = asyncio.Event()
        self.hurried = False
        super().init_process()

    def init_signals(self) -> None:
        """Signals arrive in the loop."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self.loop.add_signal_handler(signal.SIGTERM, self.stop)
        for number in (signal.SIGQUIT, signal.SIGINT):
            self.loop.add_signal_handler(number, self.hurry)
        self.loop.add_signal_handler(signal.SIGUSR1, self.log.reopen_files)
        self.loop.add_signal_handler(signal.SIGWINCH, int)
        self.loop.add_signal_handler(signal.SIGABRT, self.abort)

    def stop(self) -> None:
        """Begin to end; once begun, nothing."""
        self.alive = False
        self.stopping.set()

    def hurry(self) -> None:
        """End without holding anybody, unless it has begun to end already."""
        self.hurried = self.hurried or self.alive
        self.stop()

    def abort(self) -> None:
        """The arbiter's patience is over."""
        self.cfg.worker_abort(self)
        sys.exit(1)

    def run(self) -> None:
        """Serve until told to stop."""
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 20, 100)
        config = Config.from_env()
        logs.configure(config.log_level, "gateway")
        self.loop.run_until_complete(self._serve(config))
        self.loop.close()

    async def _serve(self, config: Config) -> None:
        gateway = Gateway(config, self.loop, self.handlers)
        self.notify()
        await gateway.open()
        servers = [await gateway.listen(listener.sock, self.cfg.backlog) for listener in self.sockets]
        log.info("gateway serves", gateway=gateway.id, compiled=compiled.in_use())
        await self._until_stopped()
        closing = self.loop.create_task(self._end(gateway, servers))
        while not closing.done():
            self.notify()
            await asyncio.wait([closing], timeout=1.0)
        closing.result()

    async def _end(self, gateway: Gateway, servers: list[Door | asyncio.AbstractServer]) -> None:
        if not self.hurried:
            await asyncio.sleep(OVERLAP_SECONDS)
        for server in servers:
            server.close()
        seconds = self.cfg.graceful_timeout - OVERLAP_SECONDS - MARGIN_SECONDS
        await gateway.close(max(seconds, 1.0), hold=not self.hurried)

    async def _until_stopped(self) -> None:
        while self.alive and self.ppid == os.getppid():
            self.notify()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), 1.0)


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """What gunicorn loads; only `GatewayWorker` can serve members."""
    start_response("501 Not Implemented", [("Content-Type", "text/plain")])
    return [b"run the gateway with worker_class service.live.worker.GatewayWorker\n"]
