"""Claim, lease, release, retry and call-off as a state machine, against PostgreSQL, beside a model in memory."""

from datetime import UTC, datetime, timedelta

import pytest
from apiflask import APIFlask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, text

from service.extensions import db as database
from service.notify.channels.sends import Outcome, done, permanent, retry
from service.notify.notices import carrying, planning
from service.notify.notices.carrying import LEASE_SECONDS, Claim
from service.notify.notices.models import NoticeDelivery
from tests.notify.notices.stage import make_told

START = datetime(2026, 7, 1, tzinfo=UTC)
LIFE = timedelta(minutes=10)
LANES = ("apns", "jpush")
FINAL = {"delivered", "dead", "cancelled"}
OUTCOMES = st.sampled_from([done(), retry("500"), retry("429", after=90.0), permanent("400")])


class Engine(RuleBasedStateMachine):
    """Several workers, each with claims of its own, of which some are lost; time goes on for all."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.held: dict[int, Claim] = {}  # delivery → the claim that has its lease
        self.final: dict[int, str] = {}
        self.taken: dict[int, int] = {}  # attempts that were not given back
        self.lost: dict[int, int] = {}
        self.first = 1

    def teardown(self) -> None:
        database.session.rollback()
        database.session.execute(text("TRUNCATE notices, devices CASCADE"))
        database.session.commit()

    @initialize(count=st.integers(1, 3), lane=st.sampled_from(LANES))
    def begin(self, count: int, lane: str) -> None:
        """Without anything to send nothing is tried."""
        self.tell(count, lane)

    @rule(count=st.integers(1, 2), lane=st.sampled_from(LANES))
    def tell(self, count: int, lane: str) -> None:
        make_told(count, now=self.now, channel=lane, lives=LIFE, key=f"k{self.first}", first=self.first)
        self.first += count

    @rule(seconds=st.sampled_from([1, int(LEASE_SECONDS) - 1, int(LEASE_SECONDS)]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(target=claims, share=st.integers(1, 5))
    def claim(self, share: int) -> object:
        got = carrying.claim(dict.fromkeys(LANES, share), now=self.now)
        assert len(got) <= share * len(LANES)
        for one in got:
            before = self.held.get(one.id)
            assert one.id not in self.final, "what is final is not taken again"
            assert before is None or before.lease_until <= self.now, "a lease is respected"
            assert one.again is (before is not None), "a lease that was not given back is known"
            self.lost[one.id] = self.lost.get(one.id, 0) + one.again
            self.taken[one.id] = self.taken.get(one.id, 0) + 1
            self.held[one.id] = one
        return multiple(*got)

    @rule(target=claims, one=claims)
    def oversleep(self, one: Claim) -> object:
        """Another takes what its holder has not settled in time, and may yet settle."""
        self.now = max(self.now, one.lease_until)
        return self.claim(5)

    @rule(one=consumes(claims), outcome=OUTCOMES)
    def settle(self, one: Claim, outcome: Outcome) -> None:
        verdict = carrying.judge(one, outcome, now=self.now)
        carrying.settle([verdict], self.now)
        if self.held.get(one.id) == one:
            del self.held[one.id]
            if verdict.state in FINAL:
                self.final[one.id] = verdict.state

    @rule(one=consumes(claims))
    def give_back(self, one: Claim) -> None:
        carrying.release([one])
        if self.held.get(one.id) == one:
            del self.held[one.id]
            self.taken[one.id] -= 1

    @rule(one=consumes(claims))
    def die(self, one: Claim) -> None:
        """The worker says nothing more: only the lease's end frees it."""

    @rule(number=st.integers(1, 30))
    def call_off(self, number: int) -> None:
        key = f"k{number}"
        planning.call_off(key)
        database.session.commit()
        self._final_of(NoticeDelivery.state == "cancelled")

    @rule()
    def expire(self) -> None:
        carrying.expire(self.now)
        self._final_of(NoticeDelivery.last_error == "expired")

    def _final_of(self, condition: object) -> None:
        for row in self.rows():
            if row.state in FINAL and row.id not in self.final:
                assert self.held.get(row.id) is None or self.held[row.id].lease_until <= self.now, "held ones are left"
                self.held.pop(row.id, None)
                self.final[row.id] = row.state

    def rows(self) -> list[NoticeDelivery]:
        database.session.rollback()
        database.session.expire_all()
        return list(database.session.scalars(select(NoticeDelivery).where(NoticeDelivery.lane != "inbox")))

    @invariant()
    def the_table_says_what_the_model_says(self) -> None:
        for row in self.rows():
            assert row.state == self.final.get(row.id, "pending")
            assert row.attempts == self.taken.get(row.id, 0)
            assert row.repeats == self.lost.get(row.id, 0)
            held = self.held.get(row.id)
            assert row.lease_until == (held.lease_until if held else None)
            assert row.due_at <= row.give_up_at


@pytest.mark.timeout(110)
def test_nothing_is_lost_and_nothing_taken_twice(app: APIFlask) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    bounds = settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(Engine, settings=bounds)
