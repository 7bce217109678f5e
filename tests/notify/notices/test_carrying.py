"""Notices end to end over scripted channels: real database, real Valkey, the courier as the worker runs it."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis
import time_machine
from apiflask import APIFlask
from sqlalchemy import select

from service.clock import now as read_clock
from service.extensions import db as database
from service.notify.channels.sends import Outcome, Send, alarm, done, drop_address, permanent, retry
from service.notify.channels.wechat.happenings import Settled
from service.notify.courier import Courier
from service.notify.notices import carrying, planning
from service.notify.notices.audience import Means
from service.notify.notices.models import Device, Notice, NoticeDelivery
from service.notify.notices.pace import BREAK_FAILURES, Gate, Pace
from service.notify.notices.posting import Notices
from service.notify.notices.telling import tell
from tests.notify.notices.conftest import Carry
from tests.notify.notices.stage import (
    HOUR,
    Scripted,
    asked,
    fates,
    make_device,
    make_notice,
    make_quiet,
    make_told,
    person,
    sent,
)


def test_a_notice_that_is_due_reaches_everybody_once_and_lies_in_the_inbox(app: APIFlask, carry: Carry) -> None:
    channel = Scripted()
    for member in (1, 2):
        make_device(member)
    make_notice(audience={"name": "given", "members": [1, 2, 3]})
    carry(channel)
    carry(channel)
    assert sorted(send.address for send in channel.sends) == ["apns-1", "apns-2"]
    assert {(one.state, one.attempts, one.receipt) for one in sent()} == {("delivered", 1, "r")}
    inbox = select(NoticeDelivery.member_id).where(NoticeDelivery.lane == "inbox")
    assert sorted(database.session.scalars(inbox)) == [1, 2, 3]


def test_a_locked_screen_shows_neither_theme_nor_organisation(app: APIFlask, carry: Carry) -> None:
    channel = Scripted()
    make_told(1)
    carry(channel)
    (send,) = channel.sends
    assert "学习" not in send.title + send.text + "".join(send.data.values())
    assert send.text


def test_what_is_not_due_yet_is_not_told_and_what_expired_never(app: APIFlask, carry: Carry) -> None:
    now = read_clock()
    make_device(1)
    hour = timedelta(hours=1)
    later = make_notice(
        key="later", due_at=now + hour, expires_at=now + 2 * hour, audience={"name": "given", "members": [1]}
    )
    late = make_notice(
        key="late", due_at=now - 2 * hour, expires_at=now - hour, audience={"name": "given", "members": [1]}
    )
    channel = Scripted()
    carry(channel)
    assert channel.sends == []
    assert (later.state, late.state) == ("planned", "expired")


@pytest.mark.parametrize(
    ("outcome", "state", "error"),
    [
        (done(), "delivered", None),
        (permanent("47003", wrong="thing1"), "dead", "47003"),
        (drop_address("410"), "dead", "410"),
        (retry("500", after=600.0), "pending", "500"),
        (alarm("40164"), "pending", "40164"),
    ],
)
def test_each_outcome_has_its_fate(
    app: APIFlask, carry: Carry, outcome: Outcome, state: str, error: str | None
) -> None:
    make_told(1)
    before = read_clock()
    carry(Scripted(answer=lambda _: outcome))
    (delivery,) = sent()
    assert (delivery.state, delivery.last_error, delivery.lease_until) == (state, error, None)
    if outcome.kind == "retry":
        assert delivery.due_at >= before + timedelta(seconds=600)
    assert (database.session.scalar(select(Device)) is None) is (outcome.kind == "drop_address")


def test_a_device_that_registered_again_is_kept(app: APIFlask, carry: Carry) -> None:
    make_told(1)
    carry(Scripted(answer=lambda _: drop_address("410", since=read_clock() - timedelta(days=1))))
    assert database.session.scalar(select(Device)) is not None


def test_a_channel_that_crashes_loses_nothing(app: APIFlask, carry: Carry) -> None:
    def crash(_: Send) -> Outcome:
        raise RuntimeError

    make_told(3)
    carry(Scripted(answer=crash))
    assert {(one.state, one.last_error) for one in sent()} == {("pending", "crashed")}


def test_what_was_called_off_is_not_sent(app: APIFlask, carry: Carry) -> None:
    notice = make_told(3)
    (held,) = carrying.claim({"apns": 1}, now=read_clock())
    planning.call_off(notice.key)
    database.session.commit()
    assert fates() == Counter(cancelled=2, pending=1)
    carrying.settle([carrying.judge(held, retry("500"), now=read_clock() - timedelta(hours=1))], read_clock())
    channel = Scripted()
    carry(channel)
    assert channel.sends == []
    assert fates() == Counter(cancelled=3)


def test_a_newer_notice_of_its_key_takes_the_place_of_an_older(app: APIFlask, carry: Carry) -> None:
    make_told(2)
    newer = make_notice(audience={"name": "given", "members": [1, 2]})
    channel = Scripted()
    carry(channel)
    assert Counter((one.notice_id == newer.id, one.state) for one in sent()) == {
        (False, "cancelled"): 2,
        (True, "delivered"): 2,
    }


def test_sends_to_one_address_never_overlap(app: APIFlask, carry: Carry) -> None:
    """Four notices to the same three members."""
    for member in (1, 2, 3):
        make_device(member)
    for number in range(4):
        notice = make_notice(key=f"k{number}")
        tell(notice, asked(*map(person, (1, 2, 3))), Means(channels=["apns"]), read_clock())
    database.session.commit()
    channel = Scripted(seconds=0.03)
    carry(channel)
    assert fates() == Counter(delivered=12)
    assert len(channel.sends) == 12
    assert channel.overlaps == 0


NIGHT = datetime(2026, 6, 30, 15, 30, tzinfo=UTC)  # 23:30 in Shanghai


@pytest.mark.parametrize(("kind", "sends"), [("announced", 0), ("started", 1)])
def test_nobody_is_woken_but_for_the_activity_itself(app: APIFlask, carry: Carry, kind: str, sends: int) -> None:
    make_quiet(1, "Asia/Shanghai", "22:00", "07:00")
    channel = Scripted()
    with time_machine.travel(NIGHT, tick=False):
        make_told(1, kind=kind, lives=timedelta(days=1))
        carry(channel)
    assert len(channel.sends) == sends
    if not sends:
        (delivery,) = sent()
        assert (delivery.due_at, delivery.attempts) == (datetime(2026, 6, 30, 23, tzinfo=UTC), 0)
        with time_machine.travel(delivery.due_at, tick=False):
            carry(channel)
        assert len(channel.sends) == 1


def test_quiet_is_the_members_own_nights(app: APIFlask, carry: Carry) -> None:
    """23:30 in Shanghai is 21:30 in Urumqi by its own clock."""
    make_quiet(1, "Asia/Shanghai", "22:00", "07:00")
    make_quiet(2, "Asia/Urumqi", "22:00", "07:00")
    channel = Scripted()
    with time_machine.travel(NIGHT, tick=False):
        make_told(2, kind="announced", lives=timedelta(days=1))
        carry(channel)
    assert [send.address for send in channel.sends] == ["apns-2"]


def test_a_provider_is_sent_no_more_than_it_bears(app: APIFlask, valkey: redis.Redis) -> None:
    gate = Gate(valkey, {"apns": Pace(per_second=5, per_day=7)})
    now = read_clock()
    assert gate.take("apns", 100, now) == 5
    gate.give_back("apns", 2, now)
    assert gate.take("apns", 100, now) >= 2
    valkey.delete("notify:{apns}:bucket")
    assert gate.take("apns", 100, now) <= 2, "the day's quota"
    valkey.delete("notify:{apns}:bucket")
    assert gate.take("apns", 100, now + timedelta(days=1)) == 5


def test_failures_in_a_row_break_the_circuit_and_a_success_begins_anew(app: APIFlask, valkey: redis.Redis) -> None:
    gate = Gate(valkey)
    now = read_clock()
    assert not gate.learn("apns", failures=BREAK_FAILURES - 1, successes=0)
    assert not gate.learn("apns", failures=0, successes=1)
    assert not gate.learn("apns", failures=1, successes=0)
    assert gate.take("apns", 1, now) == 1
    assert gate.learn("apns", failures=BREAK_FAILURES, successes=0)
    assert gate.take("apns", 1, now) == 0


@pytest.mark.parametrize(("wrong", "places"), [(0, 100), (1, 100), (5, 100), (6, 50), (10, 50)])
def test_a_channel_loses_places_when_most_fails_and_not_when_some_does(app: APIFlask, wrong: int, places: int) -> None:
    make_told(10)
    bad = {f"apns-{member}" for member in range(1, wrong + 1)}
    channel = Scripted(answer=lambda send: retry("500") if send.address in bad else done())
    post = Notices(channels={"apns": channel}, each=100)
    courier = Courier(notices=post)
    courier(app)
    courier.close()
    assert len(channel.sends) == 10
    assert post.places.free("apns") == places


def test_an_alarm_stops_the_channel_for_all_and_a_template_for_itself(
    app: APIFlask, carry: Carry, valkey: redis.Redis
) -> None:
    make_told(1)
    carry(Scripted(answer=lambda _: alarm("BadEnvironmentKeyIdInToken")))
    gate = Gate(valkey)
    assert gate.stopped("apns")
    assert gate.take("apns", 1, read_clock()) == 0
    gate.stop("jpush", "43107", "template")
    assert gate.stopped("jpush", "template")
    assert not gate.stopped("jpush")


def test_while_valkey_is_away_channels_wait(app: APIFlask, carry: Carry, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> int:
        raise redis.ConnectionError

    make_told(2)
    channel = Scripted()
    with monkeypatch.context() as patch:
        patch.setattr(Gate, "take", away)
        carry(channel)
    assert channel.sends == []
    carry(channel)
    assert len(channel.sends) == 2


def test_what_could_not_be_tried_in_its_life_is_given_up(app: APIFlask) -> None:
    notice = make_told(2)
    (held,) = carrying.claim({"apns": 1}, now=notice.due_at)
    late = notice.expires_at + timedelta(seconds=1)
    assert held.lease_until < late
    assert carrying.expire(late) == 2
    assert {(one.state, one.last_error) for one in sent()} == {("dead", "expired")}
    assert carrying.prune(late) == 0
    assert carrying.prune(late + carrying.KEEP) == 1
    assert database.session.scalar(select(Notice)) is None


def test_a_notice_that_cannot_be_told_holds_up_no_other(app: APIFlask, carry: Carry) -> None:
    make_device(1)
    broken = make_notice(key="broken", audience={"name": "of no room"})
    make_notice(key="good", audience={"name": "given", "members": [1]})
    channel = Scripted()
    carry(channel)
    assert len(channel.sends) == 1
    database.session.refresh(broken)
    assert (broken.state, broken.tried_at is None) == ("planned", False)
    tried = broken.tried_at
    carry(channel)
    database.session.refresh(broken)
    assert broken.tried_at == tried, "not again at once"


FAULT = Settled(openid="apns-1", receipt="r", outcome=retry("system_failed"))


def hear(happening: Settled, at: datetime) -> NoticeDelivery:
    """What the event makes of the one delivery."""
    carrying.listen(happening, "wx", at)
    database.session.commit()
    return sent()[0]


def test_what_wechat_could_not_deliver_after_all_is_sent_again(app: APIFlask, carry: Carry) -> None:
    make_told(1)
    channel = Scripted()
    carry(channel)
    now = read_clock()
    hear(replace(FAULT, outcome=done()), now)
    assert fates() == Counter(delivered=1)
    again = hear(FAULT, now)
    assert (again.state, again.last_error, again.delivered_at) == ("pending", "system_failed", None)
    assert again.due_at > now
    assert again.key != channel.sends[0].key, "under the old key WeChat would drop it"


@pytest.mark.parametrize(
    ("outcome", "late"), [(drop_address("user_block"), False), (FAULT.outcome, True), (permanent("x"), False)]
)
def test_what_is_no_use_any_more_is_dead(app: APIFlask, carry: Carry, outcome: Outcome, late: bool) -> None:
    make_told(1)
    carry(Scripted())
    gone = hear(replace(FAULT, outcome=outcome), read_clock() + (2 * HOUR if late else timedelta()))
    assert (gone.state, gone.last_error) == ("dead", outcome.code)


@pytest.mark.parametrize("stranger", [replace(FAULT, receipt="other"), replace(FAULT, openid="somebody")])
def test_a_failure_of_what_is_not_written_down_is_told_again(app: APIFlask, carry: Carry, stranger: Settled) -> None:
    make_told(1)
    carry(Scripted())
    with pytest.raises(LookupError):
        hear(stranger, read_clock())
    assert fates() == Counter(delivered=1)
