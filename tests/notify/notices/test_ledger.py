"""WeChat's credits: one accept, one message."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from apiflask import APIFlask
from sqlalchemy import select

from service.clock import now as read_clock
from service.errors import ServiceError
from service.extensions import db as database
from service.notify.channels.sends import Outcome, done, drop_address, retry
from service.notify.channels.wechat.happenings import Chosen
from service.notify.notices import ledger
from service.notify.notices.audience import Means
from service.notify.notices.models import ACCOUNT, Credit, Notice
from service.notify.notices.telling import rehearse, tell
from tests.notify.notices.conftest import Carry
from tests.notify.notices.stage import Scripted, asked, make_device, make_notice, person, sent

TEMPLATE = "t1"
MEANS = Means(channels=["wechat_subscribe", "apns"], template=TEMPLATE, fields={"thing1": "theme", "time2": "starts"})
SPENT = Outcome(kind="permanent", code="43101", spent=True)


def accept(openid: str, *, reference: str = "r1", times: int = 1, member: int = 1) -> None:
    for number in range(times):
        ledger.report(openid, member, {TEMPLATE: "accept"}, reference=f"{reference}-{number}", now=read_clock())


def balance(openid: str = "o1") -> int | None:
    database.session.rollback()
    database.session.expire_all()
    return database.session.scalar(select(Credit.balance).where(Credit.openid == openid, Credit.template == TEMPLATE))


def told(*people: tuple[object, ...], key: str = "a") -> Notice:
    notice = make_notice(key=key)
    tell(notice, asked(*people), MEANS, read_clock())
    database.session.commit()
    return notice


def lanes() -> Counter[str]:
    return Counter(one.lane for one in sent())


def test_a_repeated_report_counts_once(app: APIFlask) -> None:
    for _ in range(3):
        ledger.report("o1", 1, {TEMPLATE: "accept", "t2": "filter"}, reference="one tap", now=read_clock())
    assert balance() == 1
    accept("o1", reference="another")
    assert balance() == 2


def test_who_refuses_stands_at_nothing(app: APIFlask) -> None:
    accept("o1", times=3)
    ledger.report("o1", 1, {TEMPLATE: "reject"}, reference="no", now=read_clock())
    assert balance() == 0


def test_too_many_templates_are_no_report_of_wechats(app: APIFlask) -> None:
    with pytest.raises(ServiceError):
        ledger.report("o1", 1, {f"t{one}": "accept" for one in range(6)}, reference="r", now=read_clock())


def test_an_accept_buys_one_message_and_no_second(app: APIFlask, carry: Carry) -> None:
    accept("o1")
    channel = Scripted("wechat_subscribe")
    ana = person(1, openid="o1")
    told(ana)
    told(ana, key="b")
    assert lanes() == {"wechat_subscribe": 1}, "what waits has the credit already"
    carry(channel)
    assert balance() == 0
    told(ana, key="c")
    carry(channel)
    assert len(channel.sends) == 1


def test_43101_zeroes_whatever_the_ledger_said(app: APIFlask, carry: Carry) -> None:
    accept("o1", times=5)
    told(person(1, openid="o1"))
    carry(Scripted("wechat_subscribe", answer=lambda _: SPENT))
    assert balance() == 0
    assert [(one.state, one.last_error) for one in sent()] == [("dead", "43101")]


def test_what_was_not_taken_costs_nothing(app: APIFlask, carry: Carry) -> None:
    accept("o1")
    told(person(1, openid="o1"))
    carry(Scripted("wechat_subscribe", answer=lambda _: retry("-1", after=60.0)))
    assert balance() == 1


def test_a_choice_that_wechat_tells_of_only_takes(app: APIFlask) -> None:
    accept("o1")
    for accepted, left in ((True, 1), (False, 0)):
        choice = Chosen(openid="o1", template=TEMPLATE, accepted=accepted, later=True)
        ledger.listen(choice, "wx", read_clock())
        database.session.commit()
        assert balance() == left


def test_the_organiser_sees_beforehand_whom_it_reaches_and_why_not_the_others(app: APIFlask) -> None:
    accept("o1")
    make_device(2)
    everybody = (
        person(1, openid="o1"),
        person(2),
        person(3, openid="o3"),
        person(4),
        person(5, openid="o5", consents=False),
    )
    reach = rehearse(asked(*everybody), MEANS)
    assert reach.people == 5
    assert reach.channels == {"wechat_subscribe": 1, "apns": 1}
    assert reach.unreached == {"no_credit": 1, "no_address": 1, "no_consent": 1}
    told(*everybody)
    assert lanes() == reach.channels, "it was right"


def test_without_any_channel_all_is_in_the_inbox(app: APIFlask) -> None:
    assert rehearse(asked(person(1)), Means()).unreached == {"no_channel": 1}


def test_the_official_account_is_the_last_resort_with_a_template_of_its_own(app: APIFlask, carry: Carry) -> None:
    make_device(1, ACCOUNT, address="oa1")
    make_device(2, ACCOUNT, address="oa2")
    make_device(2)
    people, channels = (person(1), person(2)), ["apns", ACCOUNT]
    assert rehearse(asked(*people), Means(channels=channels)).unreached == {"no_address": 1}
    means = Means(channels=channels, account_template=TEMPLATE, account_fields={"thing1": "theme"})
    assert rehearse(asked(*people), means).channels == {"apns": 1, ACCOUNT: 1}

    templates = json.dumps({"started": {"id": TEMPLATE, "fields": {"thing1": "theme"}}})
    app.config["CHUNSHUI"] = replace(app.config["CHUNSHUI"], wechat_account_templates=templates)
    tell(make_notice(), asked(*people), means, read_clock())
    database.session.commit()
    account = Scripted(ACCOUNT, answer=lambda _: drop_address("43004"))
    carry(account, Scripted())
    assert [(one.address, one.template, one.data) for one in account.sends] == [("oa1", TEMPLATE, {"thing1": "学习"})]
    assert rehearse(asked(person(1)), means).unreached == {"no_address": 1}, "he does not follow it"


def test_a_members_own_order_is_kept(app: APIFlask) -> None:
    from service.notify.notices.models import Preference

    accept("o1")
    make_device(1)
    ana = person(1, openid="o1")
    assert rehearse(asked(ana), MEANS).channels == {"wechat_subscribe": 1}
    for wanted, found in ((["apns", "wechat_subscribe"], {"apns": 1}), (["jpush"], {}), ([], {})):
        database.session.merge(Preference(member_id=1, timezone="Asia/Shanghai", channels=wanted))
        database.session.commit()
        reach = rehearse(asked(ana), MEANS)
        assert reach.channels == found
        assert reach.unreached == ({} if found else {"unwanted": 1})


def test_a_template_is_filled_with_the_facts(app: APIFlask, carry: Carry) -> None:
    templates = json.dumps({"started": {"id": TEMPLATE, "fields": dict(MEANS.fields)}})
    app.config["CHUNSHUI"] = replace(app.config["CHUNSHUI"], wechat_templates=templates)
    accept("o1")
    told(person(1, openid="o1"))
    channel = Scripted("wechat_subscribe", answer=lambda _: done())
    carry(channel)
    (send,) = channel.sends
    assert (send.template, send.address) == (TEMPLATE, "o1")
    assert send.data == {"thing1": "学习", "time2": "2026年7月1日 10:00"}
