"""Members that come back whenever they lose their connection, and keep a diary: the other half of every count.

The database's clock is that of this machine, so the diary's times and the times of the stays are the same clock's.
"""

import asyncio
import random
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.live.stage import Member, opened, token

# Lost, or told to come back by a worker that is late itself.
AWAY = (ConnectionClosed, InvalidHandshake, OSError, TimeoutError)
# How late a leave may be counted: it is answered at once and leaves with the next flush. Should that one hang, the
# lease is believed for one and a half renewals (0.45 s in these tests) since a flush was made that did not.
COUNTED_SECONDS = 0.5
# By how much the measured clock of a busy machine's database may be off.
CLOCK_SECONDS = 0.25
# A gateway that dies was heard within a second, and so long ago its stays end.
BEAT_SECONDS = 1.5
# What a killed worker had not written yet: a batch, and whatever a busy machine adds.
UNWRITTEN_SECONDS = 1.0


class Row(NamedTuple):
    """A stay in the ledger; times in Unix seconds."""

    member: int
    channel: str
    joined: float
    left: float
    closed_by: str


@dataclass
class Visit:
    """One stay, as its member knows it: every moment lies between two that the diary has."""

    asked: float
    accepted: float = 0.0
    leaving: float = 0.0  # asked to leave; stays 0 when the connection was lost
    gone: float = 0.0

    def fits(self, row: Row) -> bool:
        """Whether a row of the ledger may be this stay."""
        slack = CLOCK_SECONDS if row.closed_by == "owner" else BEAT_SECONDS
        came = self.asked - CLOCK_SECONDS <= row.joined <= (self.accepted or self.gone) + CLOCK_SECONDS
        return came and (self.leaving or row.joined) - slack <= row.left <= self.gone + slack

    def may_be_missing(self, killed_at: float) -> bool:
        """Whether nobody could have written it: never acknowledged, or with its worker's unwritten batch."""
        unwritten = killed_at - UNWRITTEN_SECONDS <= self.accepted <= killed_at + UNWRITTEN_SECONDS
        return not self.accepted or unwritten


@dataclass
class Guest:
    """One device of a member; a restless one leaves and joins all the time."""

    number: int
    channel: str
    restless: bool
    visits: list[Visit] = field(default_factory=list)

    @property
    def inside(self) -> bool:
        """Whether it is surely counted."""
        last = self.visits[-1] if self.visits else None
        return last is not None and last.accepted > 0 and not last.leaving and not last.gone

    @property
    def in_doubt(self) -> bool:
        """Whether it may be counted or not: asking, leaving, just gone, or lost and not back yet."""
        last = self.visits[-1] if self.visits else None
        if last is None or self.inside:
            return False
        return not (last.leaving and last.gone) or time.time() < last.gone + COUNTED_SECONDS


class Guests:
    """Everybody of one stream."""

    def __init__(self, port: int, stream: int, guests: Iterable[Guest]) -> None:
        self.port = port
        self.stream = stream
        self.guests = list(guests)
        self.over = asyncio.Event()
        self.calm = False
        # Whether who loses the connection is expected to stay in the count.
        self.held = False

    def online(self) -> tuple[int, int]:
        """The fewest and the most members that a right count may show."""
        sure = {one.number for one in self.guests if one.inside or (self.held and not one.restless)}
        return len(sure), len(sure | {one.number for one in self.guests if one.in_doubt})

    def came(self) -> int:
        """Stays that have begun."""
        return sum(len(guest.visits) for guest in self.guests)

    def connections(self) -> int:
        """Devices inside."""
        return sum(guest.inside for guest in self.guests)

    def at_rest(self) -> bool:
        """Whether everybody is inside."""
        return self.connections() == len(self.guests)

    async def live(self, guest: Guest) -> None:
        """Be inside, come back whenever the connection is lost, leave when it is over."""
        while not self.over.is_set():
            with suppress(*AWAY):
                auth = {"token": token(guest.number), "channel": guest.channel}
                async with opened(self.port, auth) as (device, answer):
                    assert answer.startswith('40{"sid":'), answer
                    await self._be_inside(guest, device)
            self._note_loss(guest)
            await asyncio.sleep(0.1)

    async def _be_inside(self, guest: Guest, device: Member) -> None:
        while not self.over.is_set():
            visit = Visit(time.time())
            guest.visits.append(visit)
            answer = await device.join(self.stream)
            assert answer["ok"], answer
            visit.accepted = time.time()
            await self._stay(guest, device.socket)
            visit.leaving = time.time()
            await device.ask("leave", {"stream": self.stream})
            visit.gone = time.time()

    async def _stay(self, guest: Guest, socket: ClientConnection) -> None:
        """Until it is time to leave; ConnectionClosed when the connection is lost."""
        await self._either(socket, random.uniform(0.1, 0.4))
        while not self.over.is_set() and (self.calm or not guest.restless):
            await self._either(socket, 0.1)

    async def _either(self, socket: ClientConnection, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(socket.wait_closed(), seconds)
            await socket.recv()  # raises how it was closed

    def _note_loss(self, guest: Guest) -> None:
        """The connection is gone, and with it a visit that nobody ended."""
        last = guest.visits[-1] if guest.visits else None
        if last is not None and not last.gone:
            last.leaving, last.gone = 0.0, time.time()


def differing(guests: Iterable[Guest], rows: Iterable[Row], *, killed_at: float = 0.0) -> list[object]:
    """The stays that are in the diaries alone or in the ledger alone, but for what a worker took with it."""
    ledger = list(rows)
    missing: list[object] = []
    for guest in guests:
        for visit in guest.visits:
            mine = (row for row in ledger if (row.member, row.channel) == (guest.number, guest.channel))
            found = next(filter(visit.fits, mine), None)
            if found is not None:
                ledger.remove(found)
            elif not visit.may_be_missing(killed_at):
                missing.append((guest.number, guest.channel, visit))
    return [*missing, *ledger]
