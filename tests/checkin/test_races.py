"""Repeats and overlapping batches at once, on the real PostgreSQL."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from apiflask import APIFlask

from service.checkin.models import CheckIn, stands
from service.checkin.records import Attempt
from service.checkin.rules import Answer, check_in
from service.extensions import db
from service.notify.models import Outbox
from tests.concurrency import at_once, really_committed
from tests.factories import make_activity, make_member

NOW = datetime(2026, 9, 20, 9, 0, tzinfo=UTC)
AT_ONCE, MEMBERS = 6, 60


@pytest.fixture(autouse=True)
def committed(app: APIFlask) -> Iterator[None]:
    with really_committed():
        yield


def attempts_of(members: list[int], reference: str = "reference-1") -> list[Attempt]:
    return [Attempt(member=member, organisation="1", place="", reference=reference) for member in members]


def all_answers(results: list[list[Answer] | Exception]) -> list[Answer]:
    failures = [result for result in results if isinstance(result, Exception)]
    assert failures == []
    return [answer for result in results if not isinstance(result, Exception) for answer in result]


def test_the_same_attempt_at_once_makes_one_row_and_one_answer(app: APIFlask) -> None:
    activity, member = make_activity(now=NOW).id, make_member().id
    for turn in range(10):
        db.session.query(CheckIn).delete()
        db.session.commit()
        work = [partial(check_in, activity, attempts_of([member], f"reference-{turn}"), NOW)] * AT_ONCE
        answers = all_answers(at_once(app, work))
        assert len({answer.record for answer in answers}) == 1
        assert sorted(answer.repeat for answer in answers) == [False] + [True] * (AT_ONCE - 1)
        assert db.session.query(CheckIn).count() == 1
    assert db.session.query(Outbox).count() == 10


def test_different_references_at_once_check_in_once(app: APIFlask) -> None:
    activity, member = make_activity(now=NOW).id, make_member().id
    work = [partial(check_in, activity, attempts_of([member], f"reference-{n}"), NOW) for n in range(AT_ONCE)]
    answers = all_answers(at_once(app, work))
    refusals = [answer.refusal.code for answer in answers if answer.refusal]
    assert refusals == ["already_checked_in"] * (AT_ONCE - 1)
    assert db.session.query(CheckIn).count() == 1


def test_overlapping_batches_in_any_order_never_deadlock(app: APIFlask) -> None:
    members = [make_member().id for _ in range(MEMBERS)]
    shuffle = random.Random(7)
    for _ in range(8):
        activity = make_activity(now=NOW).id
        work = []
        for _ in range(AT_ONCE):
            batch = attempts_of(shuffle.sample(members, MEMBERS * 2 // 3), f"reference-{activity}")
            work.append(partial(check_in, activity, batch, NOW))
        answers = all_answers(at_once(app, work))
        made = {answer.record for answer in answers}
        assert None not in made
        assert len(made) == sum(not answer.repeat for answer in answers)
        assert db.session.query(CheckIn).filter_by(activity_id=activity).count() == len(made)


def test_fifty_identical_requests_at_once_make_one_row_and_fifty_equal_answers(app: APIFlask) -> None:
    activity, member = make_activity(now=NOW).id, make_member().id
    answers = all_answers(at_once(app, [partial(check_in, activity, attempts_of([member]), NOW)] * 50))
    assert len(answers) == 50
    assert len({answer.record for answer in answers}) == 1
    assert sum(not answer.repeat for answer in answers) == 1
    assert db.session.query(CheckIn).count() == 1


def test_twenty_workers_with_overlapping_unsorted_batches_never_deadlock(app: APIFlask) -> None:
    """Accepted, refused and proxies among them: each kind takes its locks in the same order everywhere."""
    members = [make_member().id for _ in range(MEMBERS)]
    activity, shuffle, work = make_activity(now=NOW).id, random.Random(11), []
    for worker in range(20):
        who = shuffle.sample(members, MEMBERS * 2 // 3)
        batch = attempts_of(who[:30]) + [replace(one, sitting=10**6) for one in attempts_of(who[30:35], "reference-2")]
        proxies = [
            replace(one, method="proxy", reason="无手机", entered_by=worker % 3) for one in attempts_of(who[35:])
        ]
        mixed = [*batch, *(replace(one, reference=f"proxy-of-{worker % 3}") for one in proxies)]
        shuffle.shuffle(mixed)
        work.append(partial(check_in, activity, mixed, NOW))
    answers = all_answers(at_once(app, work))
    made = {answer.record.id for answer in answers if answer.record}
    assert db.session.query(CheckIn).count() == len(made)
    # Whoever stands stands once, and one proxy at most waits for a member.
    for which in (stands(), CheckIn.method == "proxy"):
        found = db.session.query(CheckIn.member_id).filter(which).all()
        assert len(found) == len(set(found))
    assert db.session.query(CheckIn).filter_by(method="proxy").count() <= 3 * 5
