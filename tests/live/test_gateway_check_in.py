"""Check-in over the members' socket: the same rule, acknowledged after its commit, and nobody else waits for it."""

import asyncio
import json
from typing import Any

import pytest
import uvloop

from service.app import gateway_handlers
from service.clock import iso
from service.live import errands
from tests.live.stage import Member, Stage, member, serving, until

BAD: list[tuple[object, str]] = [
    (None, "validation"),
    ([], "validation"),
    ({"activity": 1}, "reference_missing"),
    ({"activity": 1, "reference": None}, "reference_missing"),
    ({"activity": 1, "reference": "short"}, "validation"),
    ({"activity": 1, "reference": "with\x00NUL-in-it"}, "validation"),
    ({"activity": 1, "reference": "half-a-pair-\ud800"}, "validation"),
    ({"activity": "1", "reference": "reference-1"}, "validation"),
    ({"activity": True, "reference": "reference-1"}, "validation"),
    ({"activity": 2**63, "reference": "reference-1"}, "validation"),
    ({"activity": 1, "reference": "reference-1", "happened_at": "9999-12-31T23:59:59-01:00"}, "validation"),
    ({"activity": 1, "reference": "reference-1", "member": 2}, "validation"),
    ({"activity": 987_654, "reference": "reference-1"}, "not_found"),
]


def activity_of(stage: Stage, stream: int) -> int:
    """The activity that a stream belongs to."""
    [[activity]] = stage.sql(
        "SELECT activity_id FROM sittings JOIN streams ON sitting_id = sittings.id WHERE streams.id = %s", stream
    )
    return int(activity)


def make_members(stage: Stage, number: int) -> list[int]:
    """So many members of one branch."""
    stage.sql("INSERT INTO organisations (path, name, level) VALUES ('1.2.3', 'x', 'branch') ON CONFLICT DO NOTHING")
    rows = stage.sql(
        "INSERT INTO members (name, organisation_id) SELECT 'x', o.id FROM organisations o, generate_series(1, %s)"
        " WHERE path = '1.2.3' RETURNING members.id",
        number,
    )
    return [row[0] for row in rows]


def body_of(activity: int, reference: str = "reference-1") -> dict[str, Any]:
    return {"activity": activity, "reference": reference}


async def hears(phone: Member, ack: int) -> Any:
    """The answer to a raw packet that was sent with the acknowledgement id `ack`."""
    while not (packet := await phone.receive()).startswith(f"43{ack}["):
        pass
    return json.loads(packet[len(f"43{ack}") :])[0]


def test_a_check_in_is_acknowledged_after_its_commit_and_a_repeat_says_the_same(stage: Stage) -> None:
    async def story() -> None:
        activity, [ana] = activity_of(stage, stage.stream()), make_members(stage, 1)
        config = stage.config()
        async with serving(config, gateway_handlers(config)) as (gateway, port), member(port, ana) as phone:
            first = await phone.ask("check_in", body_of(activity))
            assert (first["ok"], first["repeat"], first["check_in"]["method"]) == (True, False, "self")
            assert stage.sql("SELECT member_id FROM check_ins WHERE activity_id = %s", activity) == [(ana,)]
            assert await phone.ask("check_in", body_of(activity)) == first | {"repeat": True}
            other = await phone.ask("check_in", body_of(activity, "reference-2"))
            assert (other["ok"], other["error"]["code"], other["error"]["title"]) == (
                False,
                "already_checked_in",
                "您已签到",
            )
            assert gateway.counters.refused["already_checked_in"] == 1

    uvloop.run(story())


def test_who_comes_together_is_written_together_each_with_his_own_answer(stage: Stage) -> None:
    async def story() -> None:
        one, other, numbers = stage.stream(), stage.stream(), make_members(stage, 30)
        activities = [activity_of(stage, one), activity_of(stage, other)]
        config, sizes = stage.config(), []
        handler = gateway_handlers(config)["check_in"]

        def counted(asked: Any, now: Any) -> Any:
            sizes.append(len(asked))
            return handler(asked, now)

        async with serving(config, {"check_in": counted}) as (_, port):

            async def come(number: int) -> Any:
                async with member(port, number) as phone:
                    reference = "bad" if number == numbers[7] else "reference-1"
                    return await phone.ask("check_in", body_of(activities[number % 2], reference))

            answers = await asyncio.gather(*map(come, numbers))
        codes = [answer["error"]["code"] if not answer["ok"] else None for answer in answers]
        assert codes == [None] * 7 + ["validation"] + [None] * 22
        assert [answer["check_in"]["activity"] for answer in answers if answer["ok"]] == [
            activities[number % 2] for number in numbers if number != numbers[7]
        ]
        assert sum(sizes) == 30 > len(sizes)

    uvloop.run(story())


def test_whatever_is_sent_has_an_answer(stage: Stage) -> None:
    async def story() -> None:
        config = stage.config()
        async with serving(config, gateway_handlers(config)) as (_, port), member(port, 1) as phone:
            for body, code in BAD:
                assert (await phone.ask("check_in", body))["error"]["code"] == code, body
            await phone.say('427["check_in"]')
            assert (await hears(phone, 7))["error"]["code"] == "validation"
            unknown = await phone.ask("check_out", {})
            assert unknown["error"]["code"] == "event_unknown"

    uvloop.run(story())


def test_who_asks_too_often_is_told_when_to_come_back_and_others_are_not(stage: Stage) -> None:
    async def story() -> None:
        activity, [ana, ben] = activity_of(stage, stage.stream()), make_members(stage, 2)
        config = stage.config(account_requests_per_minute=2)
        async with serving(config, gateway_handlers(config)) as (_, port):
            async with member(port, ana) as phone:
                for _ in range(2):
                    assert (await phone.ask("check_in", body_of(activity)))["ok"]
            async with member(port, ana) as phone, member(port, ben) as other:
                refused = (await phone.ask("check_in", body_of(activity)))["error"]
                assert (refused["code"], 1 <= refused["retry_after"] <= 60) == ("too_many_requests", True)
                assert (await other.ask("check_in", body_of(activity)))["ok"]

    uvloop.run(story())


def test_a_frozen_database_holds_up_nobody_else_and_the_wait_has_an_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errands, "PATIENCE_SECONDS", 1.0)

    async def story() -> None:
        stream, [ana, ben] = stage.stream(), make_members(stage, 2)
        activity, config = activity_of(stage, stream), stage.config()
        handlers = gateway_handlers(config)
        async with serving(config, handlers) as (gateway, port), member(port, ana) as phone, member(port, ben) as other:
            with stage.frozen_database():
                await phone.say(f"428{json.dumps(['check_in', body_of(activity)])}")
                await until(lambda: gateway.errands["check_in"].waiting == 1)
                # Others join, and count, while the check-in waits.
                assert (await other.join(stream))["count"] == 1
                assert gateway.errands["check_in"].waiting == 1
                refused = (await hears(phone, 8))["error"]
                assert (refused["code"], refused["retry_after"]) == ("database_unavailable", 2)
            # It may have been written all the same: the same reference tells.
            again = await phone.ask("check_in", body_of(activity))
            assert again["ok"]
            assert stage.sql("SELECT count(*) FROM check_ins WHERE activity_id = %s", activity) == [(1,)]

    uvloop.run(story())


def test_beyond_the_bound_of_the_queue_the_answer_is_busy(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "WAITING_LIMIT", 1)

    async def story() -> None:
        activity, [ana, ben] = activity_of(stage, stage.stream()), make_members(stage, 2)
        config = stage.config()
        handlers = gateway_handlers(config)
        async with serving(config, handlers) as (gateway, port), member(port, ana) as phone, member(port, ben) as other:
            with stage.frozen_database():
                await phone.say(f"428{json.dumps(['check_in', body_of(activity)])}")
                await until(lambda: gateway.errands["check_in"].waiting == 1)
                assert (await other.ask("check_in", body_of(activity)))["error"]["code"] == "busy"
            assert (await hears(phone, 8))["ok"]
            assert (await other.ask("check_in", body_of(activity)))["ok"]

    uvloop.run(story())


def test_a_defect_costs_its_batch_an_answer_and_no_more(stage: Stage) -> None:
    async def story() -> None:
        calls: list[int] = []

        def handler(asked: Any, now: Any) -> Any:
            calls.append(len(asked))
            if len(calls) == 1:
                raise RuntimeError("a defect")
            return [{} for _ in asked]

        async with serving(stage.config(), {"check_in": handler}) as (_, port), member(port, 1) as phone:
            assert (await phone.ask("check_in", {}))["error"]["code"] == "internal"
            assert await phone.ask("check_in", {}) == {"ok": True}

    uvloop.run(story())


def test_everybody_inside_is_asked_once_to_check_in_now(stage: Stage) -> None:
    async def story() -> None:
        stream, elsewhere = stage.stream(), stage.stream()
        config = stage.config(deny_refresh_seconds=0.1)
        async with serving(config) as (gateway, port), member(port, 1) as ana, member(port, 2) as ben:
            await ana.join(stream)
            await ben.join(elsewhere)
            [[activity, sitting, called_at]] = stage.sql(
                "UPDATE sittings SET checkin_called_at = now() FROM streams WHERE sitting_id = sittings.id"
                " AND streams.id = %s RETURNING activity_id, sittings.id, checkin_called_at",
                stream,
            )
            name, asked = await ana.next_event()
            assert (name, asked) == (
                "check_in_now",
                {"stream": stream, "activity": activity, "sitting": sitting, "called_at": iso(called_at)},
            )
            # Read again and again, it is still the same call; whoever comes now sees on his page what is open.
            begun = gateway.books.refreshes
            await until(lambda: gateway.books.refreshes > begun + 3)
            async with member(port, 3) as cleo:
                assert (await cleo.join(stream))["ok"]
                assert cleo.pushed == ben.pushed == ana.pushed == []
                stage.sql("UPDATE sittings SET checkin_called_at = now() WHERE id = %s", sitting)
                assert (await ana.next_event())[0] == (await cleo.next_event())[0] == "check_in_now"

    uvloop.run(story())
