"""Members at the gateway: who gets in, who counts, and what they are told."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvloop
from websockets.exceptions import ConnectionClosed

from tests.live.stage import Stage, member, opened, serving, token, until


def test_a_join_is_acknowledged_with_the_count(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream()
        async with serving(stage.config()) as (_, port), member(port, 1) as ana, member(port, 2) as ben:
            first = await ana.join(stream)
            second = await ben.join(stream)
            assert (first["ok"], first["stream"], first["count"]) == (True, stream, 1)
            assert second["count"] == 2
            assert datetime.fromisoformat(second["as_of"]) > datetime.fromisoformat(first["as_of"])

    uvloop.run(story())


def test_a_repeated_join_and_a_second_device_count_once(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream()
        async with serving(stage.config()) as (_, port), member(port, 1) as phone, member(port, 1) as tablet:
            answers = [await phone.join(stream), await phone.join(stream), await tablet.join(stream)]
            assert [answer["count"] for answer in answers] == [1, 1, 1]
            await until(lambda: stage.snapshot(stream).connections == 2)
            await phone.ask("leave", {"stream": stream})
            await until(lambda: stage.snapshot(stream).connections == 1)
            assert stage.online(stream) == 1

    uvloop.run(story())


def test_leaving_is_immediate_whatever_the_grace_and_quiet_when_repeated(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream(grace=600)
        async with serving(stage.config()) as (_, port), member(port, 1) as ana:
            await ana.join(stream)
            assert [await ana.ask("leave", {"stream": stream}) for _ in range(2)] == [{"ok": True}] * 2
            await until(lambda: stage.online(stream) == 0)

    uvloop.run(story())


@pytest.mark.parametrize("goodbye", ["41", "1"])
def test_a_goodbye_is_a_leave(stage: Stage, goodbye: str) -> None:
    async def story() -> None:
        stream = stage.stream(grace=600)
        async with serving(stage.config()) as (_, port), member(port, 1) as ana:
            await ana.join(stream)
            await ana.say(goodbye)
            await until(lambda: stage.online(stream) == 0)

    uvloop.run(story())


def test_a_lost_member_counts_until_grace_ends_but_its_stay_does_not(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream(grace=1)
        async with serving(stage.config()) as (_, port), member(port, 1) as ana:
            await ana.join(stream)
            ana.vanish()
            await until(lambda: stage.snapshot(stream).connections == 0)
            assert stage.online(stream) == 1
            await until(lambda: len(closed(stage, stream)) == 1)
            await until(lambda: stage.online(stream) == 0)

    uvloop.run(story())


def test_who_comes_back_within_grace_is_not_missed(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream(grace=1)
        async with serving(stage.config()) as (gateway, port), member(port, 1) as ana:
            await ana.join(stream)
            ana.vanish()
            async with member(port, 1) as again:
                await again.join(stream)
                await until(lambda: gateway.wheel.now > 0 and len(gateway.connections) == 1)
                await asyncio.sleep(1.2)  # past the grace of the lost connection
                assert stage.online(stream) == 1

    uvloop.run(story())


def test_joining_another_stream_leaves_the_first(stage: Stage) -> None:
    async def story() -> None:
        first, second = stage.stream(grace=600), stage.stream()
        async with serving(stage.config()) as (_, port), member(port, 1) as ana:
            await ana.join(first)
            assert (await ana.join(second))["count"] == 1
            await until(lambda: stage.online(first) == 0)
            await until(lambda: [row[1:2] for row in closed(stage, first)] == [(1,)])

    uvloop.run(story())


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"opens": 60}, "stream_not_open"),
        ({"closes": -5}, "stream_closed"),
        ({"opens": -90 * 86_400, "closes": -60 * 86_400}, "stream_closed"),
        ({"attendance": "rostered", "invited": "7000077"}, "not_invited"),
    ],
)
def test_refused_joins(stage: Stage, facts: dict[str, Any], code: str) -> None:
    async def story() -> None:
        stream = stage.stream(**facts)
        async with serving(stage.config()) as (_, port), member(port, 1, organisation="7000007.70") as ana:
            answer = await ana.join(stream)
            assert (answer["ok"], answer["error"]["code"]) == (False, code)
            assert stage.online(stream) == 0

    uvloop.run(story())


def test_an_invited_subtree_may_join(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream(attendance="rostered", invited="7000007")
        async with serving(stage.config()) as (_, port), member(port, 1, organisation="7000007.70") as ana:
            assert (await ana.join(stream))["count"] == 1

    uvloop.run(story())


@pytest.mark.parametrize("data", [None, 7, {}, {"stream": "7"}, {"stream": True}, {"stream": 1 << 70}, {"stream": -1}])
def test_joins_that_name_no_stream(stage: Stage, data: Any) -> None:
    async def story() -> None:
        async with serving(stage.config()) as (_, port), member(port, 1) as ana:
            for event in ("join", "leave"):
                assert (await ana.ask(event, data))["error"]["code"] == "validation"

    uvloop.run(story())


def test_unknown_streams_and_events_are_told(stage: Stage) -> None:
    async def story() -> None:
        async with serving(stage.config()) as (_, port), member(port, 1) as ana:
            assert (await ana.join(987_654))["error"]["code"] == "stream_unknown"
            assert (await ana.ask("dance", {}))["error"]["code"] == "event_unknown"
            await ana.say('42["dance"]')
            assert (await ana.ask("leave", {"stream": 1})) == {"ok": True}

    uvloop.run(story())


def test_a_stream_made_after_the_start_is_found_at_once(stage: Stage) -> None:
    async def story() -> None:
        async with serving(stage.config()) as (_, port), member(port, 1) as ana:
            assert (await ana.join(stage.stream()))["count"] == 1

    uvloop.run(story())


def yesterday() -> str:
    return token(1, now=datetime.now(UTC) - timedelta(days=1), seconds=60)


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ({}, "token_missing"),
        ({"token": 7}, "token_missing"),
        ({"token": "nonsense"}, "token_invalid"),
        ({"token": "a.b.\ud800"}, "token_invalid"),
        ({"token": token(1) + "x"}, "token_invalid"),
        ({"token": yesterday()}, "token_expired"),
        ({"token": token(1, scopes=("other",))}, "forbidden"),
        ({"token": token(1), "channel": "pigeon"}, "validation"),
        ({"token": token(1), "source": ["hls"]}, "validation"),
    ],
)
def test_who_is_not_let_in_is_told_why_and_closed(stage: Stage, auth: dict[str, Any], code: str) -> None:
    async def story() -> None:
        async with serving(stage.config()) as (_, port), opened(port, auth) as (client, answer):
            assert answer.startswith("44")
            assert json.loads(answer[2:])["data"]["code"] == code
            with pytest.raises(ConnectionClosed) as closing:
                await client.receive()
            assert closing.value.rcvd is not None
            assert closing.value.rcvd.code == 1008

    uvloop.run(story())


def test_a_denied_session_is_cut_and_stays_out(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream(grace=600)
        [[person]] = stage.sql(
            "WITH o AS (INSERT INTO organisations (path, name, level) VALUES ('7000005', 'o', 'branch') RETURNING id)"
            " INSERT INTO members (name, organisation_id) SELECT 'm', id FROM o RETURNING id"
        )
        sessions = [
            stage.sql(
                "INSERT INTO sessions (member_id, app, created_at, expires_at)"
                " VALUES (%s, 'h5', now(), now() + interval '1 d') RETURNING id",
                person,
            )[0][0]
            for _ in range(2)
        ]
        async with serving(stage.config(deny_refresh_seconds=0.1)) as (_, port):
            async with member(port, person, session=sessions[0]) as ana, member(port, 2, session=sessions[1]) as ben:
                await ana.join(stream)
                await ben.join(stream)
                stage.sql("INSERT INTO denials VALUES (%s, %s, now() + interval '1 d')", sessions[0], person)
                with pytest.raises(ConnectionClosed):
                    await ana.next_event()
                await until(lambda: stage.online(stream) == 1)
                assert (await ben.join(stream))["count"] == 1
            async with opened(port, {"token": token(person, session=sessions[0])}) as (_, answer):
                assert json.loads(answer[2:])["data"]["code"] == "token_denied"

    uvloop.run(story())


def test_the_count_is_pushed_to_everybody(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream()
        async with (
            serving(stage.config(count_seconds=0.2)) as (_, port),
            member(port, 1) as ana,
            member(port, 2) as ben,
        ):
            await ana.join(stream)
            await ben.join(stream)
            for person in (ana, ben):
                while (event := await person.next_event())[1]["count"] != 2:
                    assert event[0] == "count"
                assert event[1]["stream"] == stream

    uvloop.run(story())


def test_members_are_counted_where_their_token_says(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream()
        auth = {"token": token(9, organisation="1.12", place="54.5401"), "channel": "android", "source": "tv"}
        async with serving(stage.config()) as (_, port), opened(port, auth) as (client, _):
            await client.join(stream)
            figures = stage.snapshot(stream)
            assert (figures.channels, figures.sources) == ({"android": 1}, {"tv": 1})

    uvloop.run(story())


def closed(stage: Stage, stream: int) -> list[tuple[Any, ...]]:
    return [row for row in stage.stays(stream) if row[3] == "owner"]
