"""What a crowd does, phase by phase. Each phase is a coroutine that ends when the phase is over."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from service.live.rehearsal.api import UNREACHABLE, Lane, check_in, log_in, mint
from service.live.rehearsal.crowd import Crowd
from service.live.rehearsal.curves import arrived
from service.live.rehearsal.member import Member, State

TICK = 0.02
TURN = 0.01
RUSH = 50  # joins under way
CODES_AT_ONCE = 25
TRIES = 4


async def log_everybody_in(crowd: Crowd, ready: deque[Member]) -> None:
    """Put the members into `ready` as they get their tokens; who gets none has failed."""
    ready.extend(member for member in crowd.members if member.token)
    crowd.tally.logged_in += len(ready)
    first = crowd.tally.members  # whoever logs in at a second device has been bound by an invitation at the first
    for devices in (crowd.members[:first], crowd.members[first:]):
        waiting = iter([member for member in devices if not member.token])
        async with asyncio.TaskGroup() as group:
            for _ in range(crowd.plan.login_lanes):
                group.create_task(_log_in_some(crowd, waiting, ready))


async def _log_in_some(crowd: Crowd, waiting: Iterator[Member], ready: deque[Member]) -> None:
    api, sandbox = Lane(crowd.plan.url), Lane(crowd.plan.wechat_api_url)
    while chosen := list(islice(waiting, CODES_AT_ONCE)):
        codes = await _codes(crowd, sandbox, chosen)
        for member, code in zip(chosen, codes, strict=True):
            if crowd.closing:
                break
            if await _log_one_in(crowd, member, code=code, api=api, sandbox=sandbox):
                crowd.tally.logged_in += 1
                ready.append(member)
            else:
                member.fail()
    api.close()
    sandbox.close()


async def _codes(crowd: Crowd, sandbox: Lane, chosen: list[Member]) -> list[str]:
    """A code for each, in one request; empty ones, to be asked for singly, when that failed."""
    try:
        return await mint(sandbox, [member.candidate.openid for member in chosen])
    except (OSError, EOFError):
        crowd.tally.errors["sandbox"] += 1
        return [""] * len(chosen)


async def _log_one_in(crowd: Crowd, member: Member, *, code: str, api: Lane, sandbox: Lane) -> bool:
    """Log in; again, with another code, when the server was not able to answer."""
    invitation = member.candidate.invitation
    for attempt in range(TRIES):
        try:
            code = code or (await mint(sandbox, [member.candidate.openid]))[0]
            answer = await log_in(api, code, invitation)
        except (OSError, EOFError):
            answer = UNREACHABLE
        code = ""
        if answer.status == 201:
            member.token = str(answer.body["access_token"])
            return True
        crowd.tally.errors[f"login_{answer.code}"] += 1
        if answer.code.startswith("invitation") and invitation is not None:
            invitation = None  # bound by an earlier run
        elif not answer.temporary:
            return False
        else:
            await _pause(crowd, attempt)
    return False


async def arrive(crowd: Crowd, ready: deque[Member]) -> None:
    """Start the members along the plan's curve until each has been inside once or has given up."""
    plan, begin, started = crowd.plan, crowd.clock(), 0
    while crowd.tally.settled < len(crowd.members) and not crowd.closing:
        at = crowd.clock() - begin
        due = arrived(plan.curve, members=len(crowd.members), seconds=plan.arrival_seconds, at=at)
        while ready and started < due and crowd.asking < plan.window:
            ready.popleft().connect()
            started += 1
        await _turn(crowd)


async def _turn(crowd: Crowd) -> None:
    """Let things happen; in a rush act in turns, each with all the answers that came meanwhile.

    Woken by every single answer, the members would drive the servers that they share the machine with from its cores,
    and its caches: six changes of process a join instead of one, and up to half as much CPU again on both sides.
    """
    if crowd.asking < RUSH:
        await asyncio.sleep(TICK)
    else:
        time.sleep(TURN)  # noqa: ASYNC251 - nobody is to be woken
        await asyncio.sleep(0)


async def churn(crowd: Crowd, until: asyncio.Event) -> None:
    """Have a few members at a time drop and return, or leave and return."""
    pause, owed = 0.25, 0.0
    while not until.is_set() and not crowd.closing:
        inside = [] if crowd.calm or not crowd.plan.churn_per_minute else crowd.in_state(State.JOINED)
        owed += len(inside) * crowd.plan.churn_per_minute * pause / 60
        for member in crowd.random.sample(inside, min(int(owed), len(inside))):
            _wander_off(crowd, member)
        owed -= int(owed)
        await _wait(until, pause)


def _wander_off(crowd: Crowd, member: Member) -> None:
    if crowd.random.random() < 0.5:
        member.drop()
    else:
        member.leave()
    crowd.later(crowd.random.uniform(0.2, 1.0) * crowd.plan.away_seconds, member)


def drop_some(crowd: Crowd) -> None:
    """Have the plan's share of those inside lose their connection and come back."""
    inside = crowd.in_state(State.JOINED)
    for member in crowd.random.sample(inside, round(len(inside) * crowd.plan.drop_share)):
        member.drop()
        crowd.later(crowd.random.uniform(0.2, 1.0) * crowd.plan.away_seconds, member)


async def everybody_back(crowd: Crowd, within: float) -> None:
    """Wait until whoever wandered off is inside again."""
    await _until(lambda: crowd.closing or not (crowd.returning or crowd.asking), within=within)


async def check_everybody_in(crowd: Crowd, seconds: float) -> None:
    """Have the plan's share of those who joined check in, spread evenly over `seconds`."""
    joined = [member for member in crowd.members[: crowd.tally.members] if member.ever_joined]
    chosen = crowd.random.sample(joined, round(len(joined) * crowd.plan.check_in_share))
    begin = crowd.clock()
    times = (begin + seconds * number / max(1, len(chosen)) for number in range(len(chosen)))
    waiting = iter(list(zip(times, chosen, strict=True)))
    async with asyncio.TaskGroup() as group:
        for _ in range(crowd.plan.login_lanes):
            group.create_task(_check_some_in(crowd, waiting))


async def _check_some_in(crowd: Crowd, waiting: Iterator[tuple[float, Member]]) -> None:
    lane = Lane(crowd.plan.url)
    for moment, member in waiting:
        await asyncio.sleep(max(0.0, moment - crowd.clock()))
        if crowd.closing:
            break
        reference = f"rehearsal-{uuid.uuid4()}"  # not of the seed: another rehearsal must not repeat this one
        crowd.checking_in += 1
        if await _check_one_in(crowd, lane, member=member, reference=reference):
            crowd.tally.checked_in += 1
            if crowd.random.random() < crowd.plan.check_in_repeat_share:
                repeated = await _check_one_in(crowd, lane, member=member, reference=reference)
                crowd.tally.check_in_repeats += repeated
        crowd.checking_in -= 1
    lane.close()


async def _check_one_in(crowd: Crowd, lane: Lane, *, member: Member, reference: str) -> bool:
    """Check in; again with the same reference when the server was not able to answer."""
    for attempt in range(TRIES):
        try:
            answer = await check_in(lane, crowd.plan.activity, reference=reference, token=member.token)
        except (OSError, EOFError):
            answer = UNREACHABLE
        if answer.status in (200, 201):
            return True
        crowd.tally.errors[f"check_in_{answer.code}"] += 1
        if not answer.temporary:
            return False
        await _pause(crowd, attempt)
    return False


async def _pause(crowd: Crowd, attempt: int) -> None:
    await asyncio.sleep(crowd.random.uniform(0.1, 0.5) * 2**attempt)


async def finish(crowd: Crowd) -> None:
    """Begin nothing new; wait until the joins and check-ins under way are answered."""
    crowd.closing = True
    await _until(lambda: not crowd.asking and not crowd.checking_in, within=5.0)


async def leave_all(crowd: Crowd, seconds: float) -> None:
    """Have everybody leave over `seconds`, then hang up."""
    inside = crowd.in_state(State.JOINED)
    begin, gone = crowd.clock(), 0
    while gone < len(inside):
        due = arrived("ramp", members=len(inside), seconds=seconds, at=crowd.clock() - begin)
        for member in inside[gone:due]:
            if member.state is State.JOINED:
                member.leave() if crowd.plan.leave_acknowledged else member.depart()
        gone = due
        await asyncio.sleep(TICK)
    await _until(lambda: not crowd.in_state(State.LEAVING), within=10.0)
    for member in crowd.members:
        member.hang_up()
    await asyncio.sleep(TICK)  # goodbyes reach the sockets


async def _until(condition: Callable[[], bool], *, within: float) -> None:
    for _ in range(round(within / TICK)):
        if condition():
            return
        await asyncio.sleep(TICK)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
