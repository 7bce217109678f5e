"""The gateway's own account of itself: what scrapers and load balancers are told, also when workers die."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import uvloop

from service.live.gateway import Gateway
from tests.live.processes import running
from tests.live.stage import Stage, member, opened, serving, until
from tests.scraping import TOKEN, Samples, ask, read, scrape
from tests.waiting import eventually


def numbers(gateway: Gateway) -> Samples:
    gateway.meter.read(gateway.now())
    return read(gateway.meter.board.page().decode())


def test_what_members_do_is_counted(stage: Stage) -> None:
    stream, closed = stage.stream(), stage.stream(closes=-1)

    async def story() -> None:
        async with serving(stage.config(metrics_token=TOKEN)) as (gateway, port):
            async with member(port, 1) as ana, member(port, 2) as ben:
                await ana.join(stream)
                await ben.join(stream)
                await ben.join(closed)
                found = numbers(gateway)
                assert (found("gateway_connections"), found("gateway_members")) == (2, 2)
                assert found("gateway_flush_seconds_count") >= 1
                assert found("gateway_refused_total", reason="stream_closed") == 1
                await ben.ask("leave", {"stream": stream})
                await until(lambda: numbers(gateway)("gateway_stays_written_total") >= 2)
            async with opened(port, {"token": "wrong"}):
                pass
            await until(lambda: numbers(gateway)("gateway_members") == 0)
            found = numbers(gateway)
            assert (found("gateway_joins_total"), found("gateway_leaves_total")) == (2, 2)
            assert (found("gateway_connections"), found("gateway_members")) == (0, 0)
            assert (found("gateway_accepted_total"), found("gateway_stays_lost_total")) == (3, 0)
            assert found("gateway_refused_total", reason="token_invalid") == 1
            assert found("gateway_lease_age_seconds") < stage.config().lease_seconds

    uvloop.run(story())


def test_a_gateway_is_ready_without_valkey_and_says_so(stage: Stage) -> None:
    stream = stage.stream()

    async def story() -> None:
        async with serving(stage.config(metrics_token=TOKEN)) as (gateway, port), member(port, 1) as ana:
            assert gateway.meter.readiness()["valkey"] == "reachable"
            with stage.frozen_valkey():
                assert (await ana.join(stream))["count"] is None
                assert gateway.meter.readiness()["valkey"] == "away"
                assert numbers(gateway)("valkey_reachable") == 0
                assert numbers(gateway)("gateway_flush_failures_total") >= 1
            await until(lambda: gateway.meter.readiness()["valkey"] == "reachable")

    uvloop.run(story())


async def answered(url: str) -> tuple[int, dict[str, object]]:
    status, _, body = await asyncio.to_thread(ask, url)
    return status, json.loads(body)


def test_who_cannot_let_members_in_is_not_ready(stage: Stage) -> None:
    async def story() -> None:
        async with serving(stage.config()) as (gateway, port):
            url = f"http://127.0.0.1:{port}/readyz"
            status, document = await answered(url)
            assert (status, document["status"], document["connections"]) == (200, "ready", 1)

            async def refused() -> object:
                status, document = await answered(url)
                assert (status, document["code"]) == (503, "not_ready")
                return document["reason"]

            gateway.books.loaded = False
            assert await refused() == "rules"
            gateway.books.loaded, gateway.capacity = True, 0
            assert await refused() == "full"
            gateway.capacity, gateway.closing = 100, True
            assert await refused() == "draining"

    uvloop.run(story())


def test_metrics_are_for_those_who_bring_the_token(stage: Stage) -> None:
    async def story(configured: str, brought: str) -> tuple[int, str]:
        async with serving(stage.config(metrics_token=configured)) as (_, port):
            status, _, body = await asyncio.to_thread(ask, f"http://127.0.0.1:{port}/metrics", brought)
            return status, "" if status == 200 else json.loads(body)["code"]

    assert uvloop.run(story("", TOKEN)) == (404, "not_found")
    assert uvloop.run(story(TOKEN, "")) == (401, "token_missing")
    assert uvloop.run(story(TOKEN, "another token, also long")) == (401, "token_invalid")
    assert uvloop.run(story(TOKEN, TOKEN)) == (200, "")


def test_workers_are_added_up_and_the_dead_keep_what_they_counted(stage: Stage, tmp_path: Path) -> None:
    stream = stage.stream()
    with running(stage.config(metrics_token=TOKEN), tmp_path, workers=2) as gateway:
        base = f"http://127.0.0.1:{gateway.port}"

        def becomes(holds: Callable[[Samples], bool]) -> None:
            eventually(lambda: holds(scrape(base)))

        async def twenty_members() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(stay(number))

        async def stay(number: int) -> None:
            async with member(gateway.port, number) as one:
                await one.join(stream)
                await asyncio.to_thread(becomes, lambda found: found("gateway_members") == 20)

        uvloop.run(twenty_members())
        becomes(lambda found: found("gateway_leaves_total") == 20)
        assert scrape(base)("workers") == 2
        os.kill(gateway.workers()[0], signal.SIGKILL)
        eventually(lambda: gateway.serving() == 3, within=20)
        becomes(lambda found: found("workers") == 2 and found("gateway_connections") <= 2)
        assert scrape(base)("gateway_joins_total") == 20
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: gateway.serving() == 5 and len(gateway.workers()) == 2, within=20)
        assert scrape(base)("gateway_joins_total") == 20
