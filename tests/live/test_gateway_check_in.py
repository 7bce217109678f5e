"""Check-in over the members' socket: the same rule, acknowledged after its commit."""

import uvloop

from service.app import gateway_handlers
from tests.live.stage import Stage, member, serving


def activity_of(stage: Stage, stream: int) -> int:
    """The activity that a stream belongs to."""
    [[activity]] = stage.sql(
        "SELECT activity_id FROM sittings JOIN streams ON sitting_id = sittings.id WHERE streams.id = %s", stream
    )
    return int(activity)


def members(stage: Stage, number: int) -> list[int]:
    """So many members of one branch."""
    stage.sql("INSERT INTO organisations (path, name, level) VALUES ('1.2.3', 'x', 'branch') ON CONFLICT DO NOTHING")
    rows = stage.sql(
        "INSERT INTO members (name, organisation_id) SELECT 'x', o.id FROM organisations o, generate_series(1, %s)"
        " WHERE path = '1.2.3' RETURNING members.id",
        number,
    )
    return [row[0] for row in rows]


def test_a_check_in_is_acknowledged_after_its_commit_and_a_repeat_says_the_same(stage: Stage) -> None:
    async def story() -> None:
        activity = activity_of(stage, stage.stream())
        [ana] = members(stage, 1)
        config = stage.config()
        async with serving(config, gateway_handlers(config)) as (_, port), member(port, ana) as phone:
            body = {"activity": activity, "reference": "reference-1"}
            first = await phone.ask("check_in", body)
            assert (first["ok"], first["repeat"], first["check_in"]["method"]) == (True, False, "self")
            assert stage.sql("SELECT member_id FROM check_ins WHERE activity_id = %s", activity) == [(ana,)]
            again = await phone.ask("check_in", body)
            assert again == first | {"repeat": True}

    uvloop.run(story())
