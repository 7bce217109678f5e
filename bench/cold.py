"""Nine o'clock as members feel it: each phone exchanges its refresh token, reads the activity and joins.

A whole installation with its web process; every phone makes an HTTP connection of its own for both requests, and one
to the gateway that the activity named. They come as fast as a window of phones under way allows.
"""

import asyncio
import os
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

import uvloop
from sqlalchemy import select, text

from bench.figures import Figure, Goal, alone
from bench.site import Site, open_site
from bench.stage import Stage
from service import founding
from service.activity.models import Sitting, Stream
from service.clock import now as read_clock
from service.extensions import db
from service.live.rehearsal.api import Answer, Lane
from service.live.rehearsal.connection import Connection
from service.live.rehearsal.frames import Wire, prepare
from service.scope import scoped

MEMBERS = 3_000
WINDOW = 60
GATEWAY_WORKERS, WEB_WORKERS = 2, 2
PATIENCE_SECONDS = 150.0
PUT_OFF_LIMIT = 20
GOODBYE_SECONDS = 0.5
STEPS = ("refresh", "activity", "join")
NOTE = f"""\
Cold opening: {MEMBERS:,} phones on one installation with {WEB_WORKERS} web and {GATEWAY_WORKERS} gateway workers,
{WINDOW} of them under way at a time; each exchanges its refresh token, reads the activity and joins its stream, over
new connections. Everything runs on this machine, the phones too."""
ENROL = text(
    """
    WITH opened AS (
        INSERT INTO sessions (member_id, app, expires_at)
        SELECT id, 'mini_program', :until FROM members ORDER BY id LIMIT :members RETURNING id
    )
    INSERT INTO refresh_tokens (session_id, token_hash, expires_at)
    SELECT id, sha256(convert_to(:secret || id, 'UTF8')), :until FROM opened RETURNING session_id
    """
)

Seconds = tuple[float, ...]


class Phone:
    """One member's phone, which owns a connection to the gateway in the end."""

    def __init__(self, site: Site, activity: int, token: str) -> None:
        self.put_off = 0
        self._site = site
        self._activity = activity
        self._token = token
        self._wire: Wire | None = None
        self._connection: Connection | None = None
        self._inside: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def open(self) -> Seconds:
        """Everything until the member is in the count; how long each step took."""
        lane = Lane(f"http://127.0.0.1:{self._site.config.web_port}")
        moments = [time.monotonic()]
        try:
            body = {"refresh_token": self._token}
            answer = await self._patiently(lambda: lane.post("/api/v1/sessions/refresh", body))
            access = str(answer["access_token"])
            moments.append(time.monotonic())
            path = f"/api/v1/activities/{self._activity}"
            shown = await self._patiently(lambda: lane.get(path, token=access))
            moments.append(time.monotonic())
        finally:
            lane.close()
        stream = shown["sittings"][0]["streams"][0]
        await self._join(stream["gateway"], stream["id"], access)
        moments.append(time.monotonic())
        return tuple(after - before for before, after in pairwise(moments))

    async def _patiently(self, ask: Callable[[], Awaitable[Answer]]) -> dict[str, Any]:
        """The body of the answer; asks again when told to come back. RuntimeError if it is a problem."""
        while (answer := await ask()).temporary and self.put_off < PUT_OFF_LIMIT:
            self.put_off += 1
            await asyncio.sleep(random.uniform(0.5, 1.0) * float(answer.body.get("retry_after", 1)))
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.body}")
        return answer.body

    def close(self) -> None:
        """Leave."""
        if self._connection is not None:
            self._connection.close()

    async def _join(self, gateway: str, stream: int, access: str) -> None:
        address = urlsplit(gateway)
        self._wire = frames(address.netloc, stream)
        connection = Connection(self, self._wire, self._wire.connect({"token": access, "channel": "mini_program"}))
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: connection, str(address.hostname), address.port or 80)
        self._connection = connection
        answer = await self._inside
        if not answer.get("ok"):
            raise RuntimeError(f"not joined: {answer}")

    # What the connection tells its owner.

    def ready(self) -> None:
        """Let in: join."""
        if self._connection is not None and self._wire is not None:
            self._connection.write(self._wire.join)

    def answered(self, _: int, answer: dict[str, Any]) -> None:
        """Counted."""
        if not self._inside.done():
            self._inside.set_result(answer)

    def heard(self, _: bytes) -> None:
        """The count, which nobody looks at here."""

    def ended(self, _: Connection, reason: str) -> None:
        """Lost."""
        if not self._inside.done():
            self._inside.set_exception(RuntimeError(reason))


def measure(_: Stage, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """The row of the table and the notes below it."""
    with open_site(GATEWAY_WORKERS, WEB_WORKERS=str(WEB_WORKERS)) as site:
        activity, tokens = prepared(site)
        before, own = site.cpu(), time.process_time()
        begin = time.monotonic()
        steps, put_off = uvloop.run(everybody(site, activity, tokens))
        seconds = time.monotonic() - begin - GOODBYE_SECONDS
        costs = {name: used - before.get(name, 0.0) for name, used in site.cpu().items()}
        costs["phones"] = time.process_time() - own
    rate = len(steps) / seconds
    shares = ", ".join(f"{name} {1000 * used / len(steps):.2f}" for name, used in costs.items())
    lines = [
        f"- {len(steps):,} inside in {seconds:.1f} s; CPU milliseconds a member: {shares}",
        *_latencies(steps),
        f"- {put_off} requests were told to come back later",
    ]
    say(f"{rate:,.0f} members a second; {lines[0]}")
    goal = Goal("measured")
    return [alone("cold_open", ours=rate, unit="members a second", goal=goal, digits=1)], [NOTE, "", *lines]


def prepared(site: Site) -> tuple[int, list[str]]:
    """The activity of the site's stream, and a refresh token of each member."""
    now, secret = read_clock(), secrets.token_hex(16)
    founding.enrolled(MEMBERS, secret=site.config.secret_key, now=now)
    until = now + timedelta(days=1)
    sessions = db.session.scalars(ENROL, {"until": until, "members": MEMBERS, "secret": secret}).all()
    query = scoped(select(Sitting.activity_id).join(Stream, Stream.sitting_id == Sitting.id), Stream.id == site.stream)
    activity = db.session.scalars(query).one()
    db.session.commit()
    return activity, [f"{secret}{session}" for session in sessions]


async def everybody(site: Site, activity: int, tokens: list[str]) -> tuple[list[Seconds], int]:
    """All phones, a window of them at a time; what each needed, and how often they were told to come back later."""
    free, phones = asyncio.Semaphore(WINDOW), [Phone(site, activity, token) for token in tokens]

    async def one(phone: Phone) -> Seconds:
        async with free:
            return await phone.open()

    async with asyncio.timeout(PATIENCE_SECONDS):
        steps = await asyncio.gather(*map(one, phones))
    for phone in phones:
        phone.close()
    await asyncio.sleep(GOODBYE_SECONDS)  # goodbyes reach the gateway
    return steps, sum(phone.put_off for phone in phones)


@lru_cache
def frames(host: str, stream: int) -> Wire:
    """What all phones write alike."""
    return prepare(host=host, stream=stream, random=os.urandom(20))


def _latencies(steps: list[Seconds]) -> list[str]:
    parts = [*zip(STEPS, zip(*steps, strict=True), strict=True), ("all together", tuple(map(sum, steps)))]
    return [
        f"- {name}: median {1000 * median(values):.0f} ms, p99 {1000 * quantiles(values, n=100)[-1]:.0f} ms"
        for name, values in parts
    ]
