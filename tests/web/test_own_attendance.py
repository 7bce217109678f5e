"""A member's phone page: a mistake undone, leave asked for and answered, and what there is to make up for."""

from datetime import timedelta

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select, true

from service.checkin.attendance import leaves, roster
from service.checkin.attendance.models import Leave
from service.clock import now as read_clock
from service.demo import connected
from service.extensions import db
from service.org.models import Organisation
from service.scope import everything
from tests.factories import HOUR, make_activity
from tests.web.conftest import House
from tests.web.visitors import Phone, phone

pytestmark = pytest.mark.timeout(120)


def held(house: House, visitor: Phone, *, opens: timedelta, closes: timedelta) -> int:
    """A rostered rehearsal that invites the visitor's branch."""
    with connected(house.installation.config):
        home = db.session.get(Organisation, visitor.session()["member"]["organisation"]["id"])
        assert home is not None
        return make_activity(lead=home, invited=[home], rehearsal=True, opens=opens, closes=closes).id


def approve(house: House, activity: int) -> None:
    with connected(house.installation.config):
        [asked] = db.session.scalars(everything("a test", select(Leave).where(Leave.activity_id == activity)))
        leaves.decide(activity, asked.id, approved=True, visible=true(), by=1, now=read_clock())


def test_leave_is_asked_for_answered_and_withdrawn(browser: Browser, house: House) -> None:
    with phone(browser, house.url) as one:
        one.log_in(house.day.activity)
        expect(one.page.get_by_role("button", name="签到", exact=True)).to_be_visible()
        expect(one.page.get_by_role("button", name="来不了？向支部请假")).to_have_count(0)  # nobody is expected there
        activity = held(house, one, opens=-HOUR, closes=HOUR)
        one.page.goto(f"{house.url}/m/?activity={activity}")
        one.press("来不了？向支部请假")
        one.page.get_by_label("请假原因").fill("出差在外")
        one.press("提交")
        expect(one.page.get_by_test_id("leave")).to_have_text("已申请请假，等待支部答复 出差在外")
        approve(house, activity)
        one.page.reload()
        expect(one.page.get_by_test_id("leave")).to_contain_text("支部已准假")
        assert one.overflow() == 0
        one.press("取消请假")
        expect(one.page.get_by_role("button", name="来不了？向支部请假")).to_be_visible()


def test_a_check_in_by_mistake_is_undone(browser: Browser, house: House) -> None:
    with phone(browser, house.url) as one:
        one.log_in(house.day.activity)
        one.press("签到")
        one.press("签错了，撤销")
        expect(one.page.get_by_text("已撤销签到，可以重新签到。")).to_be_visible()
        one.page.reload()
        one.press("签到")
        expect(one.page.get_by_test_id("checked-in")).to_contain_text("已签到")


def test_who_missed_it_is_told_until_when_to_make_up(browser: Browser, house: House) -> None:
    with phone(browser, house.url) as one:
        one.log_in(house.day.activity)
        expect(one.page.get_by_role("button", name="签到", exact=True)).to_be_visible()
        activity = held(house, one, opens=-3 * HOUR, closes=-HOUR)
        with connected(house.installation.config):
            roster.freeze(activity, read_clock())
        one.page.goto(f"{house.url}/m/?activity={activity}")
        expect(one.page.get_by_test_id("make-up")).to_contain_text("可以补学")
        one.page.get_by_role("link", name="去看回放").click()
        expect(one.page.get_by_test_id("make-up")).to_be_visible()
