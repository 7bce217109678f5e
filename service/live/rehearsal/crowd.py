"""The synthetic members of one process: their sockets, their clock and what they counted together."""

import asyncio
import errno
import ipaddress
import os
import random
import socket
import ssl
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from service.live.rehearsal.connection import Connection
from service.live.rehearsal.frames import prepare
from service.live.rehearsal.member import Member, State
from service.live.rehearsal.plan import Plan, Tally

# Past half of the 28,000 ephemeral ports of a pair of addresses, connect() searches the whole range.
MEMBERS_PER_ADDRESS = 3_500
IP_BIND_ADDRESS_NO_PORT = 24  # the port is chosen at connect(), when the pair is known
ANSWER_SECONDS = 20.0
SECOND_CHANNEL = "h5"


class Crowd:
    """Members that join one stream through one gateway address, and their common tally."""

    def __init__(self, plan: Plan, *, index: int = 0) -> None:
        gateway = urlsplit(plan.gateway_url)
        secure = gateway.scheme in ("https", "wss")
        self.plan = plan
        self.random = random.Random(plan.seed + index)
        self.wire = prepare(host=gateway.netloc, stream=plan.stream, random=os.urandom(20))
        self.members = self._people(plan)
        self.tally = Tally(members=len(plan.members), devices=len(self.members))
        self.asking = 0
        self.checking_in = 0
        self.returning = 0
        self.wave = 0
        self.closing = False
        self.calm = False
        self._apart: set[Member] = set()  # left on purpose, when last looked at
        self.last_count: bytes = b""
        self.clock = asyncio.get_running_loop().time
        self._loop = asyncio.get_running_loop()
        self._family, self._target = _resolve(gateway.hostname or "", gateway.port or (443 if secure else 80))
        self._tls = ssl.create_default_context() if secure else None
        self._server_name = gateway.hostname if secure else None
        self._sources = _sources(self._target[0], members=len(self.members), index=index)
        self._opened = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def _people(self, plan: Plan) -> list[Member]:
        """Everybody at the first device, then some of them at a second one."""
        first = [Member(self, candidate) for candidate in plan.members]
        chosen = self.random.sample(first, round(len(first) * plan.second_device_share))
        return [*first, *(self._at_second_device(member) for member in chosen)]

    def _at_second_device(self, member: Member) -> Member:
        second = Member(self, replace(member.candidate, invitation=None, channel=SECOND_CHANNEL))
        second.twin, member.twin = member, second
        return second

    def open(self, member: Member, connection: Connection) -> None:
        """Make the connection in the background."""
        self.spawn(self._open(member, connection))

    def accepted(self, member: Member) -> None:
        """A join was accepted: now and then it is sent once more, as phones do."""
        if self.random.random() < self.plan.repeat_share:
            member.repeat()

    def broken(self, member: Member) -> None:
        """Try again after a while that grows with every failure."""
        self.later(self.random.uniform(0.2, 1.0) * 2 ** min(member.attempts, 5), member)

    def heard(self, payload: bytes) -> None:
        """A count was pushed."""
        self.tally.counts_heard += 1
        self.last_count = payload

    def listen_anew(self) -> None:
        """Count from nobody whom a message reaches."""
        self.wave += 1
        self.tally.reached = 0

    def hush(self, calm: bool) -> None:
        """Have nobody wander off for a while, or again."""
        self.calm = calm

    def leaving(self, member: Member) -> None:
        """A member leaves on purpose."""
        self._apart.add(member)

    def under_way(self) -> None:
        """Note the joins and leaves that are not answered yet, and whoever has left to join again."""
        self.tally.asking = self.asking
        leaving = {State.LEAVING} if self.closing else {State.LEAVING, State.LEFT}
        self._apart = {member for member in self._apart if member.state in leaving}
        self.tally.leaving = len(self._apart)

    def later(self, seconds: float, member: Member) -> None:
        """Have the member come (back) after some seconds, unless the crowd is leaving by then."""
        self.returning += 1
        self._loop.call_later(seconds, self._come, member)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run in the background, holding on to the task."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def in_state(self, state: State) -> list[Member]:
        """The members that are in a state now."""
        return [member for member in self.members if member.state is state]

    def sweep(self) -> None:
        """Give up on whoever has been asking for too long without an answer; at rest, nobody is looked at."""
        oldest = self.clock() - ANSWER_SECONDS
        for member in self.in_state(State.ASKING) if self.asking else ():
            if member.started_at < oldest:
                member.give_up_asking()

    def _come(self, member: Member) -> None:
        self.returning -= 1
        if self.closing:
            return
        if member.state is State.LEFT:
            member.rejoin()
        elif member.state is State.IDLE:
            member.connect()
        elif member.state is State.LEAVING:  # its leave is not acknowledged yet
            self.later(1.0, member)

    async def _open(self, member: Member, connection: Connection) -> None:
        try:
            await self._connect(connection, self._dial())
        except OSError:
            if connection.owner is not None:
                connection.owner = None
                member.ended(connection, "connect_failed")

    async def _connect(self, connection: Connection, dialled: socket.socket) -> None:
        over = True
        try:
            transport, _ = await self._loop.create_connection(
                lambda: connection, sock=dialled, ssl=self._tls, server_hostname=self._server_name
            )
            over = transport.is_closing()
        finally:
            # uvloop closes the descriptor of a transport that ends before it has taken the socket over, but forgets
            # the socket, which would close that number a second time: by then it may be another connection's.
            if over:
                dialled.detach()

    def _dial(self) -> socket.socket:
        """A socket on its way, from the next of the source addresses; the transport waits for its first write."""
        dialled = socket.socket(self._family, socket.SOCK_STREAM)
        dialled.setblocking(False)
        try:
            if self._sources:
                dialled.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                dialled.bind((self._sources[self._opened % len(self._sources)], 0))
            self._opened += 1
            failure = dialled.connect_ex(self._target)
            if failure not in (0, errno.EINPROGRESS):
                raise OSError(failure, os.strerror(failure))
        except OSError:
            dialled.close()
            raise
        return dialled


def _resolve(host: str, port: int) -> tuple[int, tuple[str, int]]:
    """Look the gateway's address up once, for all members."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, (str(address[0]), int(address[1]))


def _sources(host: str, *, members: int, index: int) -> list[str]:
    """Addresses to come from, one for every few thousand members, when the gateway is on this machine."""
    address = ipaddress.ip_address(host)
    if address.version != 4 or not address.is_loopback:
        return []
    return [f"127.0.{index + 1}.{number + 1}" for number in range(1 + members // MEMBERS_PER_ADDRESS)]
