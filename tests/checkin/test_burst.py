"""PostgreSQL is killed in the middle of a burst of check-ins, over the socket and over REST.

Afterwards no acknowledged check-in is missing; repeating each reference without an answer tells whether it was written;
none is there twice.
"""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest
import uvloop
from websockets.exceptions import ConnectionClosed

from service.app import gateway_handlers
from service.config import Config
from service.live.rehearsal.api import Lane
from tests.live.processes import ROOT, started
from tests.live.stage import Stage, children, member, serving, staged, token
from tests.ports import free_port
from tests.waiting import eventually

BY_SOCKET, BY_REST = 160, 80
APART_SECONDS = 0.01  # between two who check in: the burst is longer than what lies before and after the kill
# What is lost with a killed server is what it had not written when it said that it had: here it says so truthfully.
HONEST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on"}


class Said(NamedTuple):
    """What a phone was told: written now, written before, or not known."""

    acknowledged: bool
    repeat: bool = False


UNKNOWN = Said(False)
Ask = Callable[[int], Awaitable[Said]]


@dataclass
class Burst:
    """Everybody's check-in, and what was said to whom."""

    stage: Stage
    activity: int
    said: dict[int, Said] = field(default_factory=dict)

    @property
    def acknowledged(self) -> set[int]:
        return {number for number, said in self.said.items() if said.acknowledged}

    async def come(self, number: int, place: int, ask: Ask) -> None:
        """Check in when it is one's turn."""
        await asyncio.sleep(place * APART_SECONDS)
        self.said[number] = await ask(number)

    def written(self) -> list[int]:
        """Who is in the ledger, in order, as often as he is."""
        rows = self.stage.sql("SELECT member_id FROM check_ins WHERE activity_id = %s ORDER BY 1", self.activity)
        return [row[0] for row in rows]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="chunshui-burst-", dir="/tmp"))
    folder.chmod(0o755)
    with staged(folder, HONEST) as found:
        yield found
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def web(config: Config, folder: Path) -> Iterator[str]:
    """The web process as it is shipped; its address."""
    own = replace(config, web_port=free_port())
    process = started(own, folder / "web.log", "gunicorn", "-c", str(ROOT / "deploy/gunicorn/web.py"), off=0.0)
    url = f"http://127.0.0.1:{own.web_port}"
    try:
        eventually(lambda: answers(url), within=20)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def answers(url: str) -> bool:
    with suppress(OSError), urlopen(f"{url}/healthz", timeout=2) as response:
        return bool(response.status == 200)
    return False


def kill(stage: Stage) -> None:
    """End PostgreSQL as a loss of power would, but for the disk."""
    process = stage.postgres.process
    assert process
    for pid in (process.pid, *children(process.pid)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(10)


def by_socket(port: int, activity: int) -> Ask:
    async def ask(number: int) -> Said:
        with suppress(ConnectionClosed, TimeoutError):
            async with member(port, number) as phone:
                answer = await phone.ask("check_in", body_of(number) | {"activity": activity})
                return Said(answer["ok"], answer.get("repeat", False))
        return UNKNOWN

    return ask


def by_rest(url: str, activity: int) -> Ask:
    async def ask(number: int) -> Said:
        lane = Lane(url)
        path = f"/api/v1/activities/{activity}/check-ins"
        answer = await lane.post(path, body_of(number), token=token(number))
        lane.close()
        assert answer.status in (200, 201, 503), answer
        return Said(answer.status != 503, answer.status == 200)

    return ask


def body_of(number: int) -> dict[str, Any]:
    return {"reference": f"phone-of-{number}"}


def make_burst(stage: Stage) -> tuple[Burst, list[int]]:
    """An open activity, and everybody's number."""
    [[activity]] = stage.sql(
        "SELECT activity_id FROM sittings s JOIN streams ON sitting_id = s.id WHERE streams.id = %s", stage.stream()
    )
    stage.sql("INSERT INTO organisations (path, name, level) VALUES ('1.2.3', 'x', 'branch')")
    rows = stage.sql(
        "INSERT INTO members (name, organisation_id) SELECT 'x', o.id FROM organisations o, generate_series(1, %s)"
        " WHERE path = '1.2.3' RETURNING members.id",
        BY_SOCKET + BY_REST,
    )
    return Burst(stage, activity), [row[0] for row in rows]


def test_what_was_acknowledged_is_there_and_a_repeat_tells_the_rest(stage: Stage, tmp_path: Path) -> None:
    async def story(url: str) -> None:
        burst, everybody = make_burst(stage)
        activity = burst.activity
        async with serving(config, gateway_handlers(config)) as (_, port):
            ways = dict.fromkeys(everybody[:BY_SOCKET], by_socket(port, activity))
            ways |= dict.fromkeys(everybody[BY_SOCKET:], by_rest(url, activity))
            # Every third comes by REST, so that both doors are busy when it happens.
            order = sorted(everybody, key=lambda number: (number % 97, number))
            coming = [
                asyncio.create_task(burst.come(number, place, ways[number])) for place, number in enumerate(order)
            ]
            while len(burst.acknowledged) < len(everybody) // 3:  # noqa: ASYNC110 - told by many
                await asyncio.sleep(0)
            await asyncio.to_thread(kill, stage)
            await asyncio.gather(*coming)
            acknowledged = burst.acknowledged
            assert {number in ways for number in acknowledged} == {True}
            assert len(everybody) // 3 <= len(acknowledged) < len(everybody)
            await asyncio.to_thread(stage.postgres.start)

            before = burst.written()
            assert len(before) == len(set(before))
            assert acknowledged <= set(before)
            again = {number: await ways[number](number) for number in everybody}
            assert all(said.acknowledged for said in again.values())
            assert {number for number, said in again.items() if said.repeat} == set(before)
            assert burst.written() == sorted(everybody)

    config = stage.config()
    with web(config, tmp_path) as url:
        uvloop.run(story(url))
