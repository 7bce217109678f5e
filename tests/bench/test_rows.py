"""The later rows: meters read at the right moments, and medians are put beside the right peer."""

from typing import Any, cast

import pytest

from bench import density, fanout, recovery, servers, soak
from bench.servers import Running
from service.live.rehearsal import Progress, Tally


class Clock:
    """A server whose CPU is read here, one value after the other."""

    def __init__(self, *readings: float) -> None:
        self.readings = list(readings)

    def cpu(self) -> float:
        return self.readings.pop(0)

    def memory(self) -> int:
        return 0


def running(*readings: float) -> Running:
    return cast(Running, Clock(*readings))


def said(phase: str, seconds: float, **tally: Any) -> Progress:
    return Progress(phase, seconds, Tally(**tally))


def test_joins_rest_and_leaves_are_read_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(density, "SETTLE_SECONDS", 0.01)
    meter = density.Meter(running(1.0, 3.0, 3.5, 3.6, 4.6))
    for phase, seconds in (("arriving", 5.0), ("plateau", 5.1), ("plateau", 6.0), ("held", 30.2), ("held", 31.0)):
        meter(said(phase, seconds))
    one = meter.round(100)
    assert (one.joins, one.idle) == (2.0, 0.5)
    assert one.idle_seconds == pytest.approx(25.1)
    assert one.leaves == pytest.approx(1.0)
    assert one.joins_per_cpu_second == 50.0
    assert one.leaves_per_cpu_second == pytest.approx(100.0)


def test_leaves_stand_beside_our_own_joins() -> None:
    rounds = [density.Round(100, joins=2.0, idle=idle, idle_seconds=10.0, leaves=0.5) for idle in (0.1, 0.2, 0.9)]
    leaves, idle = density._figures(rounds)
    assert (leaves.ours, leaves.peer_value, leaves.ratio, leaves.met) == (200.0, 50.0, 4.0, True)
    assert (idle.ours, idle.met) == (2.0, True)


def test_a_message_costs_what_was_used_over_what_arrived() -> None:
    meter = fanout.Meter(running(1.0, 3.0))
    meter(said("arriving", 1.0))
    meter(said("plateau", 2.9, counts_heard=50))
    meter(said("plateau", 3.1, counts_heard=100))
    meter(said("plateau", 7.0, counts_heard=600))
    meter(said("plateau", 8.2, counts_heard=1100))
    one = meter.round()
    assert (one.arrived, one.microseconds) == (1000, 2000.0)


def test_a_window_that_was_not_read_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        fanout.Meter(running()).round()


def test_both_servers_speak_and_the_other_is_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, node = fanout.speaking()
    assert (gateway.environment["COUNT_SECONDS"], node.environment["BROADCAST_SECONDS"]) == ("1", "1")
    rounds = {gateway.name: [fanout.Round(100, 1.0, 0.0)], node.name: [fanout.Round(100, 4.0, 0.0)]}
    figure = fanout._figure(rounds)
    assert (figure.peer, figure.ratio, figure.met) == (servers.socketio_node().name, 0.25, True)


def test_the_middle_recovery_counts() -> None:
    kill, age = recovery.figures(0.4, [5.0, 9.0, 6.0])
    assert (kill.ours, kill.met, age.ours, age.met) == (6.0, True, 0.4, True)


def test_growth_is_measured_after_the_warm_up() -> None:
    assert soak.growth([1, 50, *[100.0] * 17, 110]) == pytest.approx(5.0)
    assert soak.growth([100.0] * 60) == 0.0
