"""Every channel against its provider's stand-in, over real connections."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.notify.channels.apns import Apns, ProviderTokens, collapse_id
from service.notify.channels.clients import Clients
from service.notify.channels.jpush import JPush
from service.sandbox import apns as apples
from tests.notify.channels.conftest import DEVICE, TEMPLATE, Play, World, a_send

CHANNELS = {"subscribe": "o-ana", "template": "o-ana", "notice": "o-ana", "apns": DEVICE, "fcm": "f1", "jpush": "d1"}


def told(world: World) -> int:
    """How many messages all stand-ins took."""
    doors = world.doors
    pushed = sum(len(ids) for ids in doors.jpush.told)
    return len(doors.messages.told) + len(doors.fcm.told) + len(world.apns.told) + pushed


@pytest.mark.parametrize("name", CHANNELS)
def test_a_message_arrives_and_has_a_receipt(play: Play, name: str) -> None:
    async def story(world: World) -> None:
        world.doors.messages.credits["o-ana", TEMPLATE] = 1
        (outcome,) = await world.send(name, a_send(CHANNELS[name]))
        assert (outcome.kind, bool(outcome.receipt)) == ("done", True)
        assert told(world) == 1

    play(story)


@pytest.mark.parametrize("name", CHANNELS)
def test_a_reply_that_is_lost_is_asked_for_again(play: Play, name: str) -> None:
    async def story(world: World) -> None:
        world.doors.messages.credits["o-ana", TEMPLATE] = 1
        kinds = {"apns": "apns", "fcm": "fcm", "jpush": "jpush"}
        world.fail(kinds.get(name, "lost_reply"), "goaway" if name == "apns" else "lost_reply")
        channel = world.channel(name)
        (outcome,) = await world.send(channel, a_send(CHANNELS[name]))
        assert (outcome.kind, outcome.code) == ("retry", "unheard" if name == "apns" else "connection")

    play(story)


@pytest.mark.parametrize("name", CHANNELS)
def test_nobody_there_is_tried_again(play: Play, name: str) -> None:
    async def story(world: World) -> None:
        world.url = world.apns_url = "http://127.0.0.1:9"
        channel = world.channel("jpush" if name not in ("apns", "fcm") else name)
        (outcome,) = await world.send(channel, a_send(CHANNELS[name]))
        assert (outcome.kind, outcome.code) == ("retry", "connection")

    play(story)


def test_a_credit_is_one_message(play: Play) -> None:
    async def story(world: World) -> None:
        world.doors.messages.credits["o-ana", TEMPLATE] = 2
        outcomes = await world.send("subscribe", *[a_send() for _ in range(3)])
        assert [outcome.code for outcome in outcomes] == ["ok", "ok", "43101"]
        assert [outcome.spent for outcome in outcomes] == [False, False, True]

    play(story)


def test_sends_to_one_person_never_overlap_and_to_many_they_do(play: Play) -> None:
    async def story(world: World) -> None:
        for person in range(40):
            world.doors.messages.credits[f"o-{person}", TEMPLATE] = 3
        sends = [a_send(f"o-{number % 40}") for number in range(120)]
        outcomes = await world.send("subscribe", *sends)
        assert {outcome.code for outcome in outcomes} == {"ok"}
        # Those to different persons were on their way together: nobody had a second one before all had a first.
        assert {told.openid for told in world.doors.messages.told[:40]} == {f"o-{person}" for person in range(40)}

    play(story, latency=0.05)


def test_the_stand_in_notices_an_overlap(play: Play) -> None:
    async def story(world: World) -> None:
        world.doors.messages.credits["o-ana", TEMPLATE] = 2
        channel = world.channel("subscribe")
        both = await asyncio.gather(*(world.send(channel, a_send()) for _ in range(2)))
        assert sorted(outcome.code for (outcome,) in both) == ["43108", "ok"]

    play(story, latency=0.2)


def test_a_field_is_refused_before_it_is_sent_and_by_wechat(play: Play) -> None:
    async def story(world: World) -> None:
        (ours,) = await world.send("subscribe", a_send(data={"thing1": "好", "time2": "noon"}))
        assert (ours.kind, ours.code, ours.field) == ("permanent", "field", "time2")
        assert world.wechat.tokens.fetched == 0
        world.doors.messages.credits["o-ana", TEMPLATE] = 1
        (long,) = await world.send("subscribe", a_send(data={"thing1": "长" * 40}))
        assert long.kind == "done"
        assert world.doors.messages.told[0].data == {"thing1": "长" * 19 + "…"}
        world.fail("message", "47003")
        assert (await world.send("subscribe", a_send()))[0].code == "47003"

    play(story)


def test_a_template_message_that_is_repeated_is_one(play: Play) -> None:
    async def story(world: World) -> None:
        again = a_send()
        for _ in range(2):
            assert (await world.send("template", again))[0].kind == "done"
        assert told(world) == 1

    play(story)


def test_apple_is_spoken_to_on_one_connection_at_once(play: Play) -> None:
    async def story(world: World) -> None:
        outcomes = await world.send("apns", *[a_send(DEVICE) for _ in range(400)])
        assert {outcome.kind for outcome in outcomes} == {"done"}
        assert len(world.client.http2._connections) == 1
        assert {device for device, _ in world.apns.told} == {DEVICE}

    play(story)


def test_a_device_that_is_gone_and_one_that_never_was(play: Play) -> None:
    async def story(world: World) -> None:
        world.fail("apns", "410 Unregistered", openid="cd" * 32)
        sends = [a_send("cd" * 32), a_send("not hexadecimal"), a_send(DEVICE)]
        gone, odd, fine = await world.send("apns", *sends)
        assert (gone.kind, gone.code) == ("drop_address", "Unregistered")
        assert gone.since is not None
        assert abs(gone.since - datetime.now(UTC)) < timedelta(minutes=1)
        assert (odd.kind, odd.code) == ("drop_address", "malformed")
        assert fine.kind == "done"

    play(story)


def test_goaway_amid_many_loses_none_of_them(play: Play) -> None:
    async def story(world: World) -> None:
        world.fail("apns", "goaway", openid="cd" * 32)
        channel = world.channel("apns")
        sends = [a_send(DEVICE) for _ in range(50)] + [a_send("cd" * 32)] + [a_send(DEVICE) for _ in range(50)]
        outcomes = await world.send(channel, *sends)
        again = [send for send, outcome in zip(sends, outcomes, strict=True) if outcome.kind == "retry"]
        assert again
        assert {outcome.kind for outcome in await world.send(channel, *again)} == {"done"}
        assert {outcome.kind for outcome in outcomes} <= {"done", "retry"}

    play(story)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def keys(clock: Clock) -> ProviderTokens:
    return ProviderTokens(key=apples.private_key(), key_id=apples.KEY_ID, team=apples.TEAM, clock=clock)


def test_a_provider_token_is_kept_and_never_grows_too_old() -> None:
    clock = Clock(1_700_000_000)
    mine, others = keys(clock), keys(clock)
    seen = set()
    for _ in range(120):
        seen.add(mine.current())
        assert 0 <= clock() - mine._kept[1] < 3600
        assert (others.current(), others._kept[1])[1] == mine._kept[1]
        clock.seconds += 60
    assert len(seen) <= 4


def test_a_clock_that_is_slow_gets_one_new_token_and_then_an_alarm(play: Play) -> None:
    async def story(world: World) -> None:
        clock = Clock(world.apns._clock() - 3700)
        world.keys = keys(clock)
        world.keys.current()
        clock.seconds += 3700 - 100
        world.keys._kept = (world.keys._kept[0], int(clock.seconds))  # as if it had been made now
        assert (await world.send("apns", a_send(DEVICE)))[0].kind == "done"
        clock.seconds -= 7200
        world.client.http2.close()
        world.keys._sign(int(clock.seconds))
        (slow,) = await world.send("apns", a_send(DEVICE))
        assert (slow.kind, slow.code) == ("alarm", "ExpiredProviderToken")

    play(story)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"key_id": "OTHER"}, "InvalidProviderToken"), ({"team": "OTHER"}, "InvalidProviderToken")],
)
def test_a_stranger_to_apple_is_an_alarm(play: Play, changes: dict[str, str], code: str) -> None:
    async def story(world: World) -> None:
        whole: dict[str, Any] = {"key": apples.private_key(), "key_id": apples.KEY_ID, "team": apples.TEAM}
        world.keys = ProviderTokens(**(whole | changes))
        (outcome,) = await world.send("apns", a_send(DEVICE))
        assert (outcome.kind, outcome.code, outcome.stops) == ("alarm", code, "channel")
        wrong = Apns(url=world.apns_url, topic="cn.other", tokens=keys(Clock(world.apns._clock())))
        assert (await world.send(wrong, a_send(DEVICE)))[0].code == "TopicDisallowed"

    play(story)


def test_new_provider_tokens_too_often_are_refused_and_waited_out(play: Play) -> None:
    async def story(world: World) -> None:
        for expected in ("done", "retry"):
            world.keys = keys(Clock(world.apns._clock()))
            world.keys._sign(int(world.apns._clock()) - (expected == "retry"))
            (outcome,) = await world.send("apns", a_send(DEVICE))
            assert outcome.kind == expected
        assert (outcome.code, outcome.after) == ("TooManyProviderTokenUpdates", 1200)

    play(story)


def test_what_is_too_large_for_apple_is_not_sent(play: Play) -> None:
    async def story(world: World) -> None:
        (outcome,) = await world.send("apns", a_send(DEVICE, text="长" * 2000))
        assert (outcome.kind, outcome.code) == ("permanent", "PayloadTooLarge")
        assert told(world) == 0

    play(story)


def test_a_collapse_id_fits() -> None:
    assert collapse_id("activity-7") == "activity-7"
    assert len(collapse_id("x" * 65)) == len(collapse_id("活动")) == 64


def test_googles_token_is_fetched_once_and_again_when_it_is_refused(play: Play) -> None:
    async def story(world: World) -> None:
        channel = world.channel("fcm")
        assert {one.kind for one in await world.send(channel, *[a_send(f"f{n}") for n in range(20)])} == {"done"}
        assert len(world.doors.fcm._tokens) == 1
        world.doors.fcm.revoke()
        assert (await world.send(channel, a_send("f1")))[0].kind == "done"

    play(story)


@pytest.mark.parametrize(
    ("code", "seconds", "expected"),
    [
        ("UNREGISTERED", 0, ("drop_address", 0)),
        ("INVALID_ARGUMENT", 0, ("drop_address", 0)),
        ("INVALID_ARGUMENT message.android.ttl", 0, ("permanent", 0)),
        ("QUOTA_EXCEEDED", 0, ("retry", 60)),
        ("QUOTA_EXCEEDED", 17, ("retry", 17)),
        ("UNAVAILABLE", 3, ("retry", 3)),
        ("THIRD_PARTY_AUTH_ERROR", 0, ("alarm", 300)),
    ],
)
def test_googles_refusals(play: Play, code: str, seconds: float, expected: tuple[str, float]) -> None:
    async def story(world: World) -> None:
        world.fail("fcm", code, seconds=seconds)
        (outcome,) = await world.send("fcm", a_send("f1"))
        assert (outcome.kind, outcome.after) == expected

    play(story)


def test_jpush_takes_a_thousand_at_once(play: Play) -> None:
    async def story(world: World) -> None:
        outcomes = await world.send("jpush", *[a_send(f"d{number}") for number in range(2001)])
        assert {outcome.kind for outcome in outcomes} == {"done"}
        assert sorted(len(ids) for ids in world.doors.jpush.told) == [1, 1000, 1000]

    play(story)


def test_messages_that_differ_do_not_share_a_request(play: Play) -> None:
    async def story(world: World) -> None:
        await world.send("jpush", a_send("d1"), a_send("d2", text="另一条"), a_send("d3"))
        assert sorted(world.doors.jpush.told) == [("d1", "d3"), ("d2",)]

    play(story)


def test_one_malformed_id_spoils_nobody_elses_message(play: Play) -> None:
    async def story(world: World) -> None:
        sends = [a_send(f"d{number}" if number != 37 else "not an id") for number in range(100)]
        outcomes = await world.send("jpush", *sends)
        assert [place for place, one in enumerate(outcomes) if one.kind != "done"] == [37]
        assert (outcomes[37].kind, outcomes[37].code) == ("drop_address", "1003")
        assert sorted(one for ids in world.doors.jpush.told for one in ids) == sorted(
            send.address for send in sends if send.address != "not an id"
        )

    play(story)


def test_the_same_request_again_is_answered_as_before_by_any_process(play: Play) -> None:
    async def story(world: World) -> None:
        sends = [a_send("d1"), a_send("d2")]
        first = await world.send("jpush", *sends)
        # In another process, and in another order.
        again = await world.send("jpush", *reversed(sends))
        assert {outcome.receipt for outcome in (*first, *again)} == {first[0].receipt}
        assert len(world.doors.jpush.told) == 1
        other = await world.send("jpush", a_send("d1"), a_send("d2"))
        assert other[0].receipt != first[0].receipt

    play(story)


@pytest.mark.parametrize("name", ["subscribe", "template", "apns", "fcm", "jpush"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\noops",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
def test_garbage_is_tried_again_and_never_believed(play: Play, name: str, answer: bytes) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    async def story(world: World) -> None:
        for warm in ("subscribe", "fcm"):
            await world.send(warm, a_send("o-ana"))
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        channel: Any = world.channel(name)
        if name in ("subscribe", "template"):
            channel.tokens.current()
        elif name == "fcm":
            await channel.tokens.current(world.client)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        moved = replace(channel, url=url + "/x" if name in ("subscribe", "template") else url)
        (outcome,) = await world.send(moved, a_send(CHANNELS[name]))
        assert outcome.kind == "retry"
        server.close()

    play(story)


def test_jpush_with_the_wrong_secret_is_an_alarm(play: Play) -> None:
    async def story(world: World) -> None:
        channel = world.channel("jpush")
        assert isinstance(channel, JPush)
        (outcome,) = await world.send(replace(channel, master_secret="guess"), a_send("d1"))
        assert (outcome.kind, outcome.code) == ("alarm", "1004")
        world.fail("jpush", "2002", seconds=13)
        assert (await world.send(channel, a_send("d1")))[0].after == 13

    play(story)


def test_an_answer_that_comes_too_late_frees_its_stream(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        monkeypatch.setattr("service.notify.channels.apns.PATIENCE_SECONDS", 0.05)
        world.fail("apns", "lost_reply")
        channel = world.channel("apns")
        assert (await world.send(channel, a_send(DEVICE)))[0].code == "timeout"
        (connection,) = world.client.http2._connections.values()
        assert connection._streams == {}
        assert (await world.send(channel, a_send(DEVICE)))[0].kind == "done"

    play(story)


def test_clients_can_be_closed_unused() -> None:
    Clients.opened(most_idle=1).close()
