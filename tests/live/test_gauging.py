"""What the worker process tells of live streams, of its tasks and of itself."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import redis
import uvloop

from service.live.gauging import StreamGauges
from service.live.reaping import Keeper
from service.live.recording import Live
from service.live.scripts import Timing
from service.metrics import Board
from tests.live.processes import ROOT
from tests.live.stage import Stage, member, serving, until
from tests.ports import free_port
from tests.scraping import TOKEN, Samples, ask, read, scrape
from tests.waiting import eventually


def test_the_worker_tells_of_live_streams_and_of_its_tasks(stage: Stage, tmp_path: Path) -> None:
    stream, over = stage.stream(), stage.stream(opens=-200_000, closes=-100_000)
    port = free_port()
    config = stage.config(metrics_token=TOKEN, worker_port=port)
    settings = {field.name.upper(): str(getattr(config, field.name)) for field in fields(config)}
    arguments = [sys.executable, "-m", "service.cli", "worker"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(arguments, env=os.environ | settings, cwd=ROOT, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"

    def found() -> Samples | None:
        try:
            samples = scrape(base)
        except OSError:
            return None
        return samples if samples("stream_exact", stream=stream) else None

    try:
        samples = eventually(found, within=20)
        assert samples is not None
        assert not [labels for name, labels in samples if ("stream", str(over)) in labels]
        assert samples("task_seconds_count", task="reap") >= 1
        assert (samples("workers"), samples("database_reachable"), samples("valkey_reachable")) == (1, 1, 1)
        status, _, body = ask(f"{base}/readyz")
        assert (status, json.loads(body)["tasks"]["reap"]["late"]) == (200, False)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_figures_are_those_of_the_count_and_go_with_the_stream(stage: Stage) -> None:
    stream = stage.stream()
    config = stage.config()
    keeper, board = Keeper(Timing.of(config)), Board("worker")
    gauges = StreamGauges(keeper)
    board.registry.register(gauges)

    def told() -> Samples:
        with redis.Redis.from_url(stage.valkey.url) as client:
            gauges.read(client)
        return read(board.page().decode())

    async def story() -> None:
        [[opens, closes]] = stage.sql("SELECT opens_at, closes_at FROM streams WHERE id = %s", stream)
        keeper.streams = (Live(stream, opens, closes, 0, None, 1),)
        async with serving(config) as (_, port), member(port, 1) as ana:
            await ana.join(stream)
            await until(lambda: told()("stream_online", stream=stream) == 1)
            assert told()("stream_joined", stream=stream) == 1
        keeper.streams = ()
        assert not [name for name, labels in told() if ("stream", str(stream)) in labels]

    uvloop.run(story())
