"""Phones of one process that are connected to a gateway and, told to, all check in at once: `python -m bench.phones`.

Standard input: the plan as one line of JSON, then, once this has said that all are inside, the word `go`. Standard
output: `inside`, then what became of it as one line of JSON. What they say is plain Socket.IO, to any server.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import uvloop

from bench.stage import candidates
from service.live.rehearsal.connection import Connection
from service.live.rehearsal.frames import prepare

CONNECTING, ASKING = 40, 400  # connections, and check-ins, under way at a time
PER_ADDRESS = 3_500  # connections from one address, see docs/capacity.md
PATIENCE_SECONDS = 400.0
ATTEMPTS = 50  # to connect: a server that is pressed sends newcomers away for a moment


@dataclass(frozen=True)
class Errand:
    """Which members of the stage connect where, and check in to what."""

    url: str
    activity: int
    first: int
    members: int
    index: int = 0


@dataclass(frozen=True)
class Outcome:
    """What the phones of a process counted; moments in Unix seconds."""

    began: float
    ended: float
    written: int
    refused: dict[str, int]
    latencies: list[float]
    cpu: float


class Phone:
    """One member's phone."""

    def __init__(self, yard: "Yard", member: int, token: str) -> None:
        self.member = member
        self.inside: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.connection = Connection(self, yard.wire, yard.wire.connect({"token": token, "channel": "mini_program"}))

    # What the connection tells its owner.

    def ready(self) -> None:
        """Let in."""
        self.inside.set_result(None)

    def answered(self, _: int, answer: dict[str, Any]) -> None:
        """Acknowledged."""
        self.answer.set_result(answer)

    def heard(self, _: bytes) -> None:
        """Nothing that matters here."""

    def ended(self, _: Connection, reason: str) -> None:
        """Lost."""
        if not self.inside.done():
            self.inside.set_exception(RuntimeError(reason))
        elif not self.answer.done():
            self.answer.set_exception(RuntimeError(reason))


class Yard:
    """All phones of this process."""

    def __init__(self, errand: Errand) -> None:
        address = urlsplit(errand.url)
        self.errand = errand
        self.wire = prepare(host=address.netloc, stream=1, random=os.urandom(20))
        self._host, self._port = str(address.hostname), address.port or 80
        named = enumerate(candidates(errand.members, first=errand.first), errand.first)
        self._tokens = {member: one.token or "" for member, one in named}
        self.phones: list[Phone] = []

    async def come(self) -> None:
        """Connect everybody."""
        await _few_at_a_time((self._come(member) for member in self._tokens), CONNECTING)

    async def check_in(self) -> Outcome:
        """Everybody checks in."""
        began, cpu = time.time(), time.process_time()
        latencies: list[float] = []
        await _few_at_a_time((self._ask(phone, latencies) for phone in self.phones), ASKING)
        ended = time.time()
        answers = [phone.answer.result() for phone in self.phones]
        refused = Counter(answer["error"]["code"] for answer in answers if not answer["ok"])
        written = len(answers) - sum(refused.values())
        return Outcome(began, ended, written, refused, sorted(latencies)[::50], time.process_time() - cpu)

    async def _come(self, member: int) -> None:
        for _ in range(ATTEMPTS):
            phone = Phone(self, member, self._tokens[member])
            try:
                await self._connect(phone)
            except (OSError, RuntimeError):
                await asyncio.sleep(random.uniform(0.5, 1.5))
            else:
                self.phones.append(phone)
                return
        raise RuntimeError("not let in")

    async def _connect(self, phone: Phone) -> None:
        place = phone.member - self.errand.first
        source = (f"127.0.{self.errand.index + 1}.{1 + place // PER_ADDRESS}", 0)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: phone.connection, self._host, self._port, local_addr=source)
        await phone.inside

    async def _ask(self, phone: Phone, latencies: list[float]) -> None:
        asked = time.monotonic()
        body = {"activity": self.errand.activity, "reference": f"phone-{phone.member:012d}"}
        phone.connection.write(self.wire.text(b"421" + json.dumps(["check_in", body]).encode()))
        await phone.answer
        latencies.append(time.monotonic() - asked)


async def _few_at_a_time(works: Iterable[Any], many: int) -> None:
    waiting: Iterator[Any] = iter(works)

    async def one_after_another() -> None:
        for work in waiting:
            await work

    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(one_after_another() for _ in range(many)))


async def main() -> None:
    """The errand, from standard input to standard output."""
    yard = Yard(Errand(**json.loads(sys.stdin.readline())))
    await yard.come()
    print("inside", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(asdict(await yard.check_in())), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
