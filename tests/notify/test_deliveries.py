"""Back-off, leases and verdicts."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from apiflask import APIFlask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from service.clock import now as read_clock
from service.errors import ServiceError
from service.extensions import db as database
from service.notify import deliveries, endpoints, outbox
from service.notify.channels.sends import Outcome, done, drop_address, retry
from service.notify.deliveries import Claim
from service.notify.models import Delivery, Endpoint, Outbox
from service.notify.queue import LONGEST_PAUSE, judge, pause
from tests.notify.factories import make_endpoint, publish_check_in

NOW = datetime(2023, 9, 20, 1, 30, tzinfo=UTC)
LEASE = 30.0
FAILED = retry("status", status=500)

attempts = st.integers(1, 10_000)
firsts = st.floats(0.001, 600)
chances = st.floats(0, 1, exclude_max=True)


@given(attempts, firsts, chances)
def test_a_pause_is_between_half_and_whole_of_its_step(attempt: int, first: float, chance: float) -> None:
    step = min(first * 2.0 ** min(attempt - 1, 60), LONGEST_PAUSE)
    assert step / 2 <= pause(attempt, first=first, jitter=lambda: chance) <= step


@given(attempts, firsts, chances)
def test_pauses_never_shrink(attempt: int, first: float, chance: float) -> None:
    this = pause(attempt, first=first, jitter=lambda: chance)
    assert pause(attempt + 1, first=first, jitter=lambda: chance) >= this


def test_pauses_are_spread() -> None:
    assert len({pause(3, first=5.0) for _ in range(50)}) > 40


def a_claim(attempt: int, give_up_at: datetime) -> Claim:
    return Claim(
        id=1,
        endpoint_id=1,
        message_id=uuid.UUID(int=1),
        attempts=attempt,
        give_up_at=give_up_at,
        lease_until=NOW,
        topic="checkin.created",
        payload={},
        subject_member=None,
        happened_at=NOW,
    )


lives = st.floats(-1e6, 1e6).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(attempts, lives, st.floats(0, 1e7), firsts)
def test_a_failure_waits_as_asked_but_never_past_its_life(
    attempt: int, give_up_at: datetime, retry_after: float, first: float
) -> None:
    outcome = retry("status", after=retry_after, status=503)
    verdict = judge(a_claim(attempt, give_up_at), outcome, now=NOW, first_pause=first)
    if give_up_at <= NOW:
        assert verdict.state == "dead"
    else:
        assert verdict.state == "pending"
        assert NOW < verdict.due_at <= give_up_at
        asked = NOW + timedelta(seconds=retry_after)
        assert verdict.due_at >= min(asked, give_up_at)


@given(attempts, lives)
def test_success_delivers_and_gone_kills_whatever_the_time(attempt: int, give_up_at: datetime) -> None:
    claim = a_claim(attempt, give_up_at)
    gone = drop_address("gone", status=410)
    assert judge(claim, done(status=204), now=NOW, first_pause=5).state == "delivered"
    assert judge(claim, gone, now=NOW, first_pause=5).state == "dead"


def prepared(count: int) -> int:
    """One endpoint with `count` deliveries due at NOW."""
    endpoint, _ = make_endpoint()
    publish_check_in(count=count)
    outbox.fan_out(NOW)
    return endpoint.id


def claim(endpoint: int, share: int = 100, *, at: datetime = NOW) -> list[Claim]:
    return deliveries.claim({endpoint: share}, now=at, lease_seconds=LEASE)


def one() -> Delivery:
    database.session.expire_all()
    return database.session.scalars(select(Delivery)).one()


def settle(held: Claim, outcome: Outcome, *, at: datetime = NOW) -> None:
    deliveries.settle([judge(held, outcome, now=at, first_pause=5.0)], at)


def test_a_share_is_kept(db: Session) -> None:
    endpoint = prepared(5)
    assert [len(claim(endpoint, 2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_claimed_one_is_left_alone_until_its_lease_ends(db: Session) -> None:
    endpoint = prepared(1)
    (first,) = claim(endpoint)
    assert deliveries.waiting(NOW) == []
    assert claim(endpoint, at=NOW + timedelta(seconds=LEASE - 1)) == []
    assert deliveries.waiting(NOW + timedelta(seconds=LEASE)) == [endpoint]
    (second,) = claim(endpoint, at=NOW + timedelta(seconds=LEASE))
    assert (first.message_id, first.attempts, second.attempts) == (second.message_id, 1, 2)


def test_who_lost_the_lease_settles_nothing(db: Session) -> None:
    endpoint = prepared(1)
    (sleeper,) = claim(endpoint)
    later = NOW + timedelta(seconds=LEASE)
    (successor,) = claim(endpoint, at=later)
    settle(sleeper, FAILED, at=later)
    assert (one().state, one().last_error) == ("pending", None)
    settle(successor, done(status=200), at=later)
    settle(sleeper, FAILED, at=later)
    assert (one().state, one().delivered_at) == ("delivered", later)


def test_a_failed_one_is_due_again_later_only(db: Session) -> None:
    endpoint = prepared(1)
    settle(claim(endpoint)[0], FAILED)
    due = one().due_at
    assert due > NOW
    assert claim(endpoint, at=due - timedelta(seconds=1)) == []
    assert len(claim(endpoint, at=due)) == 1


def test_the_released_one_is_free_at_once_and_was_not_an_attempt(db: Session) -> None:
    endpoint = prepared(1)
    deliveries.release(claim(endpoint))
    assert (one().attempts, one().lease_until) == (0, None)
    assert claim(endpoint)[0].attempts == 1


def test_a_disabled_endpoint_waits_for_nothing(db: Session) -> None:
    endpoint = prepared(1)
    db.get_one(Endpoint, endpoint).enabled = False
    assert deliveries.waiting(NOW) == []


def test_what_was_never_tried_in_time_is_given_up(db: Session) -> None:
    prepared(1)
    end = NOW + outbox.TOPICS["checkin.created"]
    assert deliveries.expire(end) == 0
    assert deliveries.expire(end + timedelta(hours=1)) == 1
    assert (one().state, one().last_error) == ("dead", "expired")


def test_pruning_spares_the_young_and_the_pending(db: Session) -> None:
    endpoint = prepared(2)
    settle(claim(endpoint, 1)[0], done(status=200))
    late = NOW + deliveries.KEEP + timedelta(seconds=1)
    assert deliveries.prune(NOW + timedelta(days=1)) == 0
    assert deliveries.prune(late) == 1
    assert one().state == "pending"


@pytest.mark.parametrize("outcome", [done(status=200), FAILED])
def test_any_delivery_can_be_sent_again(db: Session, outcome: Outcome) -> None:
    endpoint = prepared(1)
    (held,) = claim(endpoint)
    settle(held, outcome, at=NOW + timedelta(days=4))
    later = NOW + timedelta(days=5)
    again = deliveries.retry(db.get_one(Endpoint, endpoint), held.id, now=later)
    assert (again.state, again.attempts, again.due_at) == ("pending", 0, later)
    (repeat,) = claim(endpoint, at=later)
    assert repeat.message_id == held.message_id
    settle(repeat, FAILED, at=later)
    assert one().state == "pending", "it has a new life"


def test_an_endpoint_at_which_all_fails_for_days_is_left_alone(db: Session) -> None:
    endpoint = prepared(3)
    longer = NOW + deliveries.MOST_FAILING + timedelta(seconds=1)
    settle(claim(endpoint, 1)[0], FAILED)
    settle(claim(endpoint, 1)[0], FAILED, at=NOW + timedelta(days=1))
    assert of(endpoint).failing_since == NOW, "the first failure counts"
    assert deliveries.disable_failing(NOW + deliveries.MOST_FAILING) == 0
    with capture_logs() as logs:
        assert deliveries.disable_failing(longer) == 1
    assert (of(endpoint).enabled, of(endpoint).disabled_reason) == (False, "failing")
    assert {one.state for one in every()} == {"dead"}
    assert [(line["log_level"], line["event"]) for line in logs] == [("error", "endpoint disabled")]

    endpoints.enable(of(endpoint))
    assert (of(endpoint).enabled, of(endpoint).failing_since) == (True, None)
    assert deliveries.disable_failing(longer) == 0


def test_one_success_and_an_endpoint_is_well_again(db: Session) -> None:
    endpoint = prepared(3)
    first, *others = claim(endpoint)
    settle(first, FAILED)
    deliveries.settle(
        [judge(one, how, now=NOW, first_pause=5.0) for one, how in zip(others, (done(), FAILED), strict=True)], NOW
    )
    assert of(endpoint).failing_since is None
    assert deliveries.disable_failing(NOW + timedelta(days=30)) == 0


def test_all_since_a_time_is_sent_again_under_the_same_ids(db: Session) -> None:
    endpoint = prepared(1)
    db.execute(update(Outbox).values(created_at=NOW - timedelta(days=1)))
    publish_check_in(count=2)
    db.execute(update(Outbox).where(Outbox.created_at > NOW).values(created_at=NOW))
    outbox.fan_out(NOW)
    ids = {one.message_id for one in every()}
    for held in claim(endpoint):
        settle(held, done())
    later = NOW + timedelta(days=5)
    assert deliveries.replay(of(endpoint), NOW, now=later) == 2
    assert deliveries.replay(of(endpoint), NOW, now=later) == 0, "they are on their way"
    assert {one.message_id for one in claim(endpoint, at=later)} < ids
    assert sorted(one.state for one in every()) == ["delivered", "pending", "pending"]
    assert deliveries.replay(of(endpoint), NOW - timedelta(days=2), now=later) == 1


def test_a_new_endpoint_is_told_what_was_before_it_only_of_its_own_part(db: Session) -> None:
    publish_check_in()
    publish_check_in(path="1.123.5")
    outbox.fan_out(NOW)
    endpoint, _ = make_endpoint()
    assert deliveries.replay(endpoint, read_clock() - timedelta(hours=1), now=NOW) == 1


def test_what_is_disabled_is_not_replayed(db: Session) -> None:
    endpoint = prepared(1)
    of(endpoint).enabled = False
    with pytest.raises(ServiceError) as refusal:
        deliveries.replay(of(endpoint), NOW, now=NOW)
    assert refusal.value.code == "endpoint_disabled"


def of(endpoint: int) -> Endpoint:
    return database.session.get_one(Endpoint, endpoint)


def every() -> list[Delivery]:
    database.session.expire_all()
    return list(database.session.scalars(select(Delivery)))


def test_another_endpoints_delivery_is_not_found(db: Session) -> None:
    endpoint = prepared(1)
    (held,) = claim(endpoint)
    other, _ = make_endpoint(organiser="cleo")
    with pytest.raises(ServiceError) as refusal:
        deliveries.retry(other, held.id, now=NOW)
    assert refusal.value.code == "not_found"


def test_two_claims_at_the_same_moment_share(app: APIFlask) -> None:
    """Neither waits for the other, and nothing is taken twice."""
    endpoint = prepared(6)
    wanted = {"lanes": [endpoint], "shares": [3], "now": NOW, "lease_until": NOW + timedelta(seconds=LEASE)}
    with database.engine.connect() as one, database.engine.connect() as other:
        taken = [{row.id for row in session.execute(deliveries.QUEUE.claiming, wanted)} for session in (one, other)]
    assert [len(ids) for ids in taken] == [3, 3]
    assert not taken[0] & taken[1]


def test_two_fan_outs_at_the_same_moment_share(app: APIFlask) -> None:
    make_endpoint()
    publish_check_in(count=6)
    wanted = {"now": NOW, "batch": 3, "topics": ["checkin.created"], "spans": [timedelta(days=3)]}
    with database.engine.connect() as one, database.engine.connect() as other:
        taken = [session.execute(outbox.FAN_OUT, wanted).rowcount for session in (one, other)]
        one.commit()
        other.commit()
    assert taken == [3, 3]
    assert len(database.session.scalars(select(Delivery)).all()) == 6
