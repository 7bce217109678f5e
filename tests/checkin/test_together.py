"""Single check-ins that come at the same time go to the rule together, whatever becomes of who leads them."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from service.checkin import rules, together
from service.checkin.records import Attempt, Record
from service.checkin.rules import Answer
from service.checkin.together import Place, Together
from service.errors import ServiceError
from tests.waiting import eventually

NOW = datetime(2026, 9, 20, 9, 0)  # noqa: DTZ001 - of no meaning here


class TimesUpError(BaseException):
    """What ends a request from outside, as gevent's Timeout does."""


class Rule:
    """Stands in for the rule: answers each attempt by its member, and waits where it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.failures: list[BaseException] = []

    def __call__(self, activity: int, attempts: Sequence[Attempt], now: datetime) -> list[Answer]:
        self.batches.append([attempt.member for attempt in attempts])
        self.begun.set()
        assert self.go.wait(10)
        if self.failures:
            raise self.failures.pop(0)
        return [Answer(record_of(activity, attempt.member)) for attempt in attempts]


def record_of(activity: int, member: int) -> Record:
    return Record(1, activity, 1, member, "reference", "self", NOW, NOW, False, None, None, None)


@pytest.fixture
def rule(monkeypatch: pytest.MonkeyPatch) -> Rule:
    rule = Rule()
    monkeypatch.setattr(rules, "check_in", rule)
    return rule


class Crowd:
    """Requests in threads of their own."""

    def __init__(self, together: Together) -> None:
        self.together = together
        self.told: dict[int, Any] = {}
        self._threads: list[threading.Thread] = []

    def comes(self, member: int, activity: int = 1) -> None:
        thread = threading.Thread(target=self._ask, args=(activity, member))
        self._threads.append(thread)
        thread.start()

    def _ask(self, activity: int, member: int) -> None:
        attempt = Attempt(member=member, organisation="1", place="", reference="reference")
        try:
            self.told[member] = self.together.check_in(activity, attempt)
        except BaseException as error:
            self.told[member] = error

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(10)

    def waiting(self, activity: int = 1) -> int:
        return len(self.together._waiting.get(activity, []))


@contextmanager
def one_under_way(rule: Rule) -> Iterator[Crowd]:
    """The first is being written; the others come in the block and wait."""
    crowd = Crowd(Together())
    crowd.comes(1)
    assert rule.begun.wait(10)
    yield crowd
    rule.go.set()
    crowd.wait()
    # Whatever happened, nobody leads any more and the next one goes at once.
    crowd.comes(99)
    crowd.wait()
    assert crowd.told[99].record.member_id == 99


def come(crowd: Crowd, *members: int) -> None:
    for number, member in enumerate(members, 1):
        crowd.comes(member)
        eventually(lambda wanted=number: crowd.waiting() == wanted)  # type: ignore[misc]


def test_the_first_goes_alone_and_who_comes_meanwhile_goes_together(rule: Rule) -> None:
    with one_under_way(rule) as crowd:
        come(crowd, 2, 3, 4)
    assert rule.batches == [[1], [2, 3, 4], [99]]
    assert all(crowd.told[member].record.member_id == member for member in (1, 2, 3, 4))


def test_other_activities_do_not_wait(rule: Rule) -> None:
    with one_under_way(rule) as crowd:
        crowd.comes(2, activity=7)
        eventually(lambda: len(rule.batches) == 2)
    assert crowd.told[2].record.activity_id == 7


def test_what_fails_a_batch_is_told_to_all_of_it_and_to_nobody_else(rule: Rule) -> None:
    rule.failures = [ServiceError("not_found")]
    with one_under_way(rule) as crowd:
        come(crowd, 2)
    assert crowd.told[1].code == "not_found"
    assert crowd.told[2].record.member_id == 2


def test_a_leader_whose_time_is_over_leaves_the_others_an_honest_answer(rule: Rule) -> None:
    with one_under_way(rule) as crowd:
        come(crowd, 2, 3)
        rule.failures += [ServiceError("not_found"), TimesUpError()]
    assert crowd.told[1].code == "not_found"
    assert isinstance(crowd.told[3], TimesUpError)  # the youngest led
    assert (crowd.told[2].code, crowd.told[2].details) == ("database_unavailable", {"retry_after": 2})


class TooLate(threading.Event):
    """The wait for it ends from outside just when it was over."""

    def wait(self, timeout: float | None = None) -> bool:
        assert super().wait(10)
        raise TimesUpError


class Never(threading.Event):
    """The wait for it ends from outside at once."""

    def wait(self, timeout: float | None = None) -> bool:
        raise TimesUpError


@pytest.mark.parametrize("called", [TooLate, Never])
def test_who_waits_no_longer_is_not_written_and_leads_nobody(
    rule: Rule, monkeypatch: pytest.MonkeyPatch, called: type[threading.Event]
) -> None:
    def place(attempt: Attempt) -> Place:
        return Place(attempt, called=called() if attempt.member == 3 else threading.Event())

    monkeypatch.setattr(together, "Place", place)
    with one_under_way(rule) as crowd:
        come(crowd, 2)
        crowd.comes(3)  # the youngest: called to lead, if it is still there
        eventually(lambda: crowd.waiting() == 2 or 3 in crowd.told)
    assert isinstance(crowd.told[3], TimesUpError)
    assert crowd.told[2].record.member_id == 2
    assert rule.batches == [[1], [2], [99]]


def test_no_batch_is_larger_than_it_may_be(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MOST", 2)
    with one_under_way(rule) as crowd:
        come(crowd, 2, 3, 4, 5, 6)
    assert rule.batches == [[1], [5, 6], [3, 4], [2], [99]]
