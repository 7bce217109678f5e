"""Whatever a client sends, whole connections through the real gateway: nothing raises, nothing is left over."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.live.clerk import Job
from service.live.connection import OVER, Connection
from service.live.gateway import Gateway
from tests.live.recorder import Transport, client_frame, opening
from tests.live.stage import Stage, token, until


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    found = uvloop.new_event_loop()
    yield found
    found.close()


@pytest.fixture(scope="module")
def gateway(stage: Stage, loop: asyncio.AbstractEventLoop) -> Iterator[Gateway]:
    """A gateway that knows one open stream and, for now, does not tick."""
    stream = stage.stream()
    found = Gateway(stage.config(), loop)
    loop.run_until_complete(found.open())
    assert stream in found.books.rules.policies
    yield found
    loop.run_until_complete(found.close(4.0))


GOOD = token(1)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
auths = st.fixed_dictionaries(
    {}, optional={"token": json_values | st.just(GOOD), "channel": json_values, "source": json_values}
)
bodies = json_values | st.fixed_dictionaries({"stream": json_values | st.integers(1, 40)})
packets = st.one_of(
    st.builds(lambda auth: f"40{json.dumps(auth)}", auths),
    st.just("40" + json.dumps({"token": GOOD})),
    st.builds(
        lambda ack, name, body: f"42{ack}{json.dumps([name, body])}",
        st.sampled_from(["", "0", "17"]),
        st.sampled_from(["join", "leave", "dance"]) | st.text(),
        bodies,
    ),
    st.sampled_from(["3", "41", "1", "6", "2", ""]),
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=st.lists(packets, max_size=6), connect=st.booleans(), due=st.integers(0, 3))
def test_no_client_can_raise_anything(
    gateway: Gateway, loop: asyncio.AbstractEventLoop, lines: list[str], connect: bool, due: int
) -> None:
    async def story() -> None:
        connection, transport = Connection(gateway), Transport()
        connection.connection_made(transport)
        connection.data_received(opening())
        if connect:
            connection.data_received(client_frame(b"40" + json.dumps({"token": GOOD}).encode()))
        for line in lines:
            connection.data_received(client_frame(line.encode()))
        for _ in range(due):
            connection.fall_due()
        connection.connection_lost(None)
        if connection.audience is not None:
            connection.fall_due()  # grace ends
        assert connection.audience is None
        assert connection.phase >= OVER or connection.stay() is None
        assert connection not in gateway.connections

    loop.run_until_complete(story())
    assert all(not audience.connections for audience in gateway.audiences.values())


def test_a_refresh_that_had_begun_before_the_question_does_not_answer_it(
    stage: Stage, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[tuple[Job[Any], Callable[[Any], None]]] = []
    monkeypatch.setattr(gateway.books._clerk, "submit", lambda job, done: jobs.append((job, done)))
    connection, transport = Connection(gateway), Transport()
    connection.connection_made(transport)
    connection.data_received(opening() + client_frame(b"40" + json.dumps({"token": GOOD}).encode()))
    with psycopg.connect(stage.postgres.url, autocommit=True) as link:
        gateway.books._refresh(gateway.now())
        early = jobs.pop()
        answer = early[0](link)
        stream = stage.stream()
        connection.data_received(client_frame(b'420["join",{"stream":%d}]' % stream))
        early[1](answer)
        assert connection.audience is None
        assert b"stream_unknown" not in b"".join(transport.written)
        gateway.books._refresh(gateway.now())
        late = jobs.pop()
        late[1](late[0](link))
    assert connection.audience is not None
    connection.leave()
    connection.connection_lost(None)


def test_nothing_is_left_over_after_all_that(gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(until(lambda: not gateway.audiences and not len(gateway.stays)))
    assert gateway.stays.lost == 0
