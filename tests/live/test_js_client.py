"""The official JavaScript client joins, hears the count, comes back after a restart, and is told why it is rejected."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.live.processes import ROOT, running
from tests.live.stage import Stage, token
from tests.waiting import eventually


class Page:
    """A running client script and what it has printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.seen: list[tuple[str, Any]] = []

    def read(self, output: IO[str]) -> None:
        for line in output:
            self.seen.append(tuple(json.loads(line)))

    def said(self, what: str) -> list[Any]:
        return [data for name, data in self.seen if name == what]

    def leave(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("bye\n")
        self.process.stdin.flush()


@contextmanager
def page(port: int, auth: dict[str, Any], stream: int) -> Iterator[Page]:
    script = Path(__file__).with_name("client.mjs")
    arguments = ["node", str(script), f"http://127.0.0.1:{port}", json.dumps(auth), str(stream)]
    arguments.append(str(ROOT / "web" / "node_modules"))
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        found = Page(process)
        reader = threading.Thread(target=found.read, args=(process.stdout,))
        reader.start()
        try:
            yield found
        finally:
            process.kill()
            reader.join()


def test_it_joins_hears_the_count_comes_back_and_leaves(stage: Stage, tmp_path: Path) -> None:
    stream = stage.stream(grace=1)
    with running(stage.config(count_seconds=0.2), tmp_path) as gateway:
        with page(gateway.port, {"token": token(1), "channel": "mini_program"}, stream) as ana:
            eventually(lambda: ana.said("joined"))
            assert (ana.said("joined")[0]["ok"], ana.said("joined")[0]["count"]) == (True, 1)
            eventually(lambda: ana.said("count"))
            assert ana.said("count")[0]["stream"] == stream
            gateway.process.send_signal(signal.SIGHUP)
            eventually(lambda: len(ana.said("joined")) == 2, within=15)
            assert ana.said("disconnect") == ["transport close"]
            ana.leave()
            eventually(lambda: ana.process.poll() == 0)
            assert ana.said("left") == [{"ok": True}]
        eventually(lambda: stage.online(stream) == 0)
        eventually(lambda: [row[3] for row in stage.stays(stream)] == ["owner"] * 2)


def test_it_is_told_why_it_is_rejected_and_does_not_try_again(stage: Stage, tmp_path: Path) -> None:
    with running(stage.config(), tmp_path) as gateway, page(gateway.port, {"token": "bad"}, 1) as ana:
        eventually(lambda: ana.process.poll() == 0)
        [refusal] = ana.said("connect_error")
        assert refusal["data"]["code"] == "token_invalid"
        assert refusal["message"] == refusal["data"]["title"]


def test_whose_place_a_newer_device_takes_is_told_and_stays_away(stage: Stage, tmp_path: Path) -> None:
    stream = stage.stream(grace=600)
    auth = {"token": token(1)}
    with (
        running(stage.config(member_connections=1), tmp_path) as gateway,
        page(gateway.port, auth, stream) as phone,
    ):
        eventually(lambda: phone.said("joined"))
        with page(gateway.port, auth, stream) as tablet:
            eventually(lambda: phone.said("disconnect") == ["io server disconnect"])
            eventually(lambda: tablet.said("joined"))
            assert tablet.said("joined")[0]["count"] == 1
            assert tablet.said("disconnect") == []
            assert len(phone.said("joined")) == 1
