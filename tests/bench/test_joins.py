"""The benchmark at a tiny size: every server really serves, and the meters really turn."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from bench import joins, servers, storm
from bench.stage import Stage, open_stage

MEMBERS = 300


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as found:
        yield found


@pytest.mark.parametrize("make", [servers.ours, servers.socketio_node, servers.flask_socketio])
def test_a_round(make: Callable[[], servers.Server], stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    servers.install_peers()
    monkeypatch.setattr(storm, "WARM_UP", 5)
    monkeypatch.setattr(joins, "REST_SECONDS", 0.6)
    monkeypatch.setattr(joins, "SETTLE_SECONDS", 0.1)
    one = joins._round(replace(make(), connections=MEMBERS), stage)
    assert one.connections == MEMBERS
    assert one.server_cpu > 0
    assert one.generator_cpu > 0


def test_the_rows_are_medians_beside_each_peer() -> None:
    own, node, flask = (replace(joins_server, name=name) for joins_server, name in zip(SERVERS, NAMES, strict=True))
    rounds = {
        "ours": [round_of(speed) for speed in (100, 5, 8)],
        "node": [round_of(speed) for speed in (1, 2, 9)],
        "flask": [round_of(speed) for speed in (4, 4, 4)],
    }
    figures = joins._figures((own, node, flask), rounds)
    assert [(row.ours, row.peer_value) for row in figures[:2]] == [(8, 2), (8, 4)]
    assert [(row.key, row.met) for row in figures] == [
        ("joins_per_cpu_second", False),
        ("joins_per_cpu_second_vs_flask_socketio", False),
        ("connection_memory", False),
        ("connection_memory_vs_flask_socketio", None),
    ]


def test_a_generator_that_was_the_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joins, "_versions", lambda: "")
    slow, quick = round_of(10), round_of(10)
    slow.generator_cpu = 1.3 * slow.server_cpu
    assert "was the limit" in "\n".join(joins._notes(SERVERS[:1], {"": [slow]}))
    assert "was the limit" not in "\n".join(joins._notes(SERVERS[:1], {"": [quick]}))


NAMES = ("ours", "node", "flask")
SERVERS = [servers.Server("", (), MEMBERS)] * 3


def round_of(speed: float) -> joins.Round:
    return joins.Round(
        connections=MEMBERS,
        server_cpu=MEMBERS / speed,
        generator_cpu=0.0,
        valkey_cpu=0.0,
        postgres_cpu=0.0,
        memory=MEMBERS * 1000,
    )
