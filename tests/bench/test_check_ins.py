"""The rows of check-ins: everybody has one phone, shared out over processes and servers, and is counted once."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import burst
from bench.attendees import Attendees
from bench.phones import Outcome
from bench.servers import Running


def servers(number: int) -> list[Running]:
    return [cast(Running, SimpleNamespace(url=f"http://127.0.0.1:{port}")) for port in range(number)]


@given(st.integers(1, 200_000), st.booleans())
def test_everybody_has_one_phone_and_every_server_its_share(members: int, several: bool) -> None:
    processes = -(-members // burst.EACH)
    everybody = cast(Attendees, SimpleNamespace(members=members, activity=1))
    found = list(burst.errands(everybody, servers(processes if several else 1), processes))
    assert [one.first for one in found] == [1 + sum(one.members for one in found[:at]) for at in range(processes)]
    assert sum(one.members for one in found) == members
    assert max(one.members for one in found) <= burst.EACH
    assert len({one.url for one in found}) == (processes if several else 1)


def outcome(**told: Any) -> Outcome:
    return Outcome(
        **({"began": 1.0, "ended": 3.0, "written": 50, "refused": {}, "latencies": [0.1], "cpu": 1.0} | told)
    )


def test_a_run_is_told_by_what_was_written_and_what_it_cost() -> None:
    outcomes = [outcome(), outcome(latencies=[0.3, 0.2], cpu=2.0)]
    told = burst.told(outcomes, 4.0, [0.01, 0.02, 0.03])
    assert told.startswith("100 acknowledged in 4.0 s, 25 a second; each waited 200 ms (median) or 300 ms (p99)")
    assert told.endswith("server 100, Valkey 200, PostgreSQL 300, phones 30,000")


def test_phones_that_end_or_say_something_else_are_no_result() -> None:
    for said in ("", "outside\n"):
        process = SimpleNamespace(stdout=SimpleNamespace(readline=lambda said=said: said))
        with pytest.raises(RuntimeError):
            burst.hears(cast(Any, process), "inside")
