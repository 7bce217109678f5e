"""Phones of one process that are connected to a gateway and, told to, all check in at once: `python -m bench.phones`.

Standard input: the plan as one line of JSON, then, once this has said that all are inside, the word `go`. Standard
output: `inside`, then what became of it as one line of JSON. What they say is plain Socket.IO, to any server.
"""

import asyncio
import json
import os
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

CONNECTING, ASKING = 100, 400  # connections, and check-ins, under way at a time
PER_ADDRESS = 3_500  # connections from one address, see docs/capacity.md
PATIENCE_SECONDS = 240.0


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
        for future in (self.inside, self.answer):
            if not future.done():
                future.set_exception(RuntimeError(reason))


class Yard:
    """All phones of this process."""

    def __init__(self, errand: Errand) -> None:
        address = urlsplit(errand.url)
        self.errand = errand
        self.wire = prepare(host=address.netloc, stream=1, random=os.urandom(20))
        self._host, self._port = str(address.hostname), address.port or 80
        named = enumerate(candidates(errand.members, first=errand.first), errand.first)
        self.phones = [Phone(self, member, one.token or "") for member, one in named]

    async def come(self) -> None:
        """Connect everybody."""
        await _few_at_a_time(map(self._connect, range(len(self.phones))), CONNECTING)

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

    async def _connect(self, place: int) -> None:
        phone, loop = self.phones[place], asyncio.get_running_loop()
        source = (f"127.0.{self.errand.index + 1}.{1 + place // PER_ADDRESS}", 0)
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
