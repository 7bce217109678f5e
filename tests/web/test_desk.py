"""The secretary's page on a phone: ticks without a network, corrections, and nothing left behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import pytest
from playwright.sync_api import Browser, Request, Route, expect
from sqlalchemy import text

from service.checkin.attendance import roster
from service.clock import now as read_clock
from service.demo import connected
from service.extensions import db
from service.org.accounts import opening
from service.org.models import Organisation
from tests.factories import make_activity, make_member, make_organisation
from tests.web.conftest import House
from tests.web.visitors import SECONDS, Visitor, opened

pytestmark = pytest.mark.timeout(180)
PASSWORD = "a password of the secretary"
FORTY = 40
_logins = count(1)


@dataclass
class Branch:
    """A branch of forty, its secretaries' log-ins, and a rostered activity that has started."""

    number: int
    activity: int
    logins: tuple[str, str]
    names: list[str]
    house: House

    def counted(self, which: str = "annulled_at IS NULL") -> int:
        """Check-ins of the activity, as PostgreSQL has them."""
        question = text(f"SELECT count(*) FROM check_ins WHERE activity_id = :activity AND {which}")
        with connected(self.house.installation.config):
            return int(db.session.scalar(question, {"activity": self.activity}) or 0)


@pytest.fixture
def branch(house: House) -> Branch:
    with connected(house.installation.config):
        city = db.session.query(Organisation).filter_by(level="city").order_by(Organisation.id).first()
        home = make_organisation(name="望江楼社区流动党员支部", parent=city)
        names = [f"{'赵钱孙李周吴郑王'[at % 8]}{'建国文华明芳强英'[at // 8]}{at:02d}" for at in range(FORTY)]
        for name in names:
            make_member(organisation=home, name=name)
        day = make_activity(lead=city, invited=[home], theme="学习新思想、建功新时代")
        roster.freeze(day.id, read_clock())
        logins = tuple(f"secretary{next(_logins)}" for _ in range(2))
        for login in logins:
            opening.add_organiser(
                login, name="陈书记", password=PASSWORD, organisation_id=home.id, role="branch_secretary", now=read_clock()
            )
        return Branch(home.id, day.id, (logins[0], logins[1]), names, house)


class Secretary(Visitor):
    """A secretary with his phone."""

    def log_in(self, branch: Branch, login: str) -> None:
        """Open the page of the activity and log in."""
        self.page.goto(f"{self.url}/desk/?activity={branch.activity}")
        self.page.get_by_label("账号").fill(login)
        self.page.get_by_label("密码").fill(PASSWORD)
        self.press("登录")
        expect(self.page.get_by_test_id("expected")).to_have_text(str(FORTY))

    def tick(self, name: str) -> None:
        """Tick somebody."""
        self.press(f"为{name}签到")

    def told(self, said: str) -> None:
        """What the page says of its ticks becomes this."""
        expect(self.page.get_by_test_id("sync")).to_contain_text(said, timeout=20 * SECONDS)

    def kept(self) -> list[str]:
        """The ticks that the phone keeps."""
        script = "Object.keys(localStorage).filter(key => key.startsWith('chunshui.ticks.'))"
        found: list[str] = self.page.evaluate(script)
        return found


def is_batch(request: Request) -> bool:
    """Whether it sends ticks."""
    return request.url.endswith("/check-ins/batch")


@contextmanager
def secretary(browser: Browser, url: str) -> Iterator[Secretary]:
    """One with a small phone, who finds nothing to complain about."""
    with opened(browser, width=360, height=740) as page:
        visitor = Secretary(page, url)
        yield visitor
        assert visitor.complaints == []


def test_forty_ticked_offline_and_synchronised_twice_stay_forty(
    browser: Browser, house: House, branch: Branch
) -> None:
    with secretary(browser, house.url) as one:
        one.log_in(branch, branch.logins[0])
        one.page.wait_for_function("navigator.serviceWorker.controller !== null")
        one.page.context.set_offline(True)
        for name in branch.names[:20]:
            one.tick(name)
        one.page.reload()
        for name in branch.names[20:]:
            one.tick(name)
        one.told(f"已存 {FORTY} 条")
        assert branch.counted() == 0
        batches: list[str] = []

        def lose_the_answer(route: Route) -> None:
            route.fetch()
            route.abort()

        one.page.route("**/check-ins/batch", lose_the_answer, times=1)
        one.page.on("request", lambda request: batches.append(request.post_data or "") if is_batch(request) else None)
        with one.page.expect_event("requestfailed", is_batch):
            one.page.context.set_offline(False)
        assert branch.counted() == FORTY
        one.press("立即同步")
        one.told("已全部同步")
        expect(one.page.get_by_test_id("present")).to_have_text(str(FORTY))
        expect(one.page.get_by_test_id("missing")).to_have_text("0")
        assert len(batches) == 2
        assert batches[0] == batches[1]
        assert branch.counted() == branch.counted("method = 'group'") == FORTY
        assert one.kept() == []
        assert one.overflow() == 0
        one.press("退出")
        expect(one.page.get_by_role("button", name="登录", exact=True)).to_be_visible()
        assert one.page.evaluate("sessionStorage.length") == 0


def test_a_tick_is_taken_back_by_who_set_it_at_once_and_by_another_with_a_reason(
    browser: Browser, house: House, branch: Branch
) -> None:
    with secretary(browser, house.url) as one, secretary(browser, house.url) as other:
        one.log_in(branch, branch.logins[0])
        first, second, third = branch.names[:3]
        one.page.context.set_offline(True)
        for name in (first, second, third, first):
            one.tick(name)
        one.told("已存 2 条")
        one.page.context.set_offline(False)
        one.told("已全部同步")
        assert branch.counted() == 2
        one.page.get_by_role("button", name=second).first.click()
        one.press("点错了，撤回")
        expect(one.page.get_by_text("已撤回")).to_be_visible()
        other.log_in(branch, branch.logins[1])
        other.page.get_by_role("button", name=third).first.click()
        other.press("撤销")
        expect(other.page.get_by_role("button", name="确认撤销")).to_be_disabled()
        other.page.get_by_label("撤销原因（必填）").fill("没有来")
        other.press("确认撤销")
        expect(other.page.get_by_text("已撤销：没有来")).to_be_visible()
        expect(other.page.get_by_test_id("missing")).to_have_text(str(FORTY))
        assert branch.counted() == 0
        assert branch.counted("annul_reason IN ('undone', '没有来')") == 2


def test_a_proxy_needs_a_reason_and_a_second_person(browser: Browser, house: House, branch: Branch) -> None:
    name = branch.names[0]
    with secretary(browser, house.url) as one, secretary(browser, house.url) as other:
        one.log_in(branch, branch.logins[0])
        one.page.get_by_text("代签", exact=True).click()
        expect(one.page.get_by_role("button", name=f"为{name}签到")).to_be_disabled()
        one.page.get_by_label("代签原因（必填）").fill("高龄，没有手机")
        one.tick(name)
        one.told("已全部同步")
        expect(one.page.get_by_text("代签，待确认")).to_be_visible()
        one.page.get_by_role("button", name=name).first.click()
        expect(one.page.get_by_text("等待另一名管理员确认")).to_be_visible()
        expect(one.page.get_by_test_id("present")).to_have_text("0")
        other.log_in(branch, branch.logins[1])
        other.page.get_by_role("button", name=name).first.click()
        other.press("确认代签")
        expect(other.page.get_by_test_id("present")).to_have_text("1")


def test_what_was_refused_stays_until_it_is_settled(browser: Browser, house: House, branch: Branch) -> None:
    name = branch.names[0]
    with secretary(browser, house.url) as one, secretary(browser, house.url) as other:
        one.log_in(branch, branch.logins[0])
        one.page.context.set_offline(True)
        one.tick(name)
        other.log_in(branch, branch.logins[1])
        other.tick(name)
        other.told("已全部同步")
        one.page.context.set_offline(False)
        expect(one.page.get_by_role("heading", name="待处理 1 条")).to_be_visible(timeout=20 * SECONDS)
        one.page.reload()
        refused = one.page.get_by_role("region", name="待处理 1 条")
        refused.get_by_role("button", name=name).click()
        one.page.get_by_label("处理说明").fill("另一位书记已点")
        one.press("标为已处理")
        expect(one.page.get_by_role("heading", name="待处理")).to_have_count(0)
        assert one.kept() == []
        assert branch.counted() == 1


def test_whoever_logs_out_without_a_network_is_asked_about_what_waits_and_is_out_for_good(
    browser: Browser, house: House, branch: Branch
) -> None:
    with secretary(browser, house.url) as one:
        one.log_in(branch, branch.logins[0])
        one.page.wait_for_function("navigator.serviceWorker.controller !== null")
        one.page.context.set_offline(True)
        one.tick(branch.names[0])
        one.press("退出")
        expect(one.page.get_by_role("alert")).to_contain_text("还有 1 条签到没有同步")
        one.press("先不退出")
        one.told("已存 1 条")
        one.press("退出")
        one.press("清除并退出")
        expect(one.page.get_by_role("button", name="登录", exact=True)).to_be_visible()
        assert one.kept() == []
        one.page.context.set_offline(False)
        one.page.reload()
        expect(one.page.get_by_role("button", name="登录", exact=True)).to_be_visible()
        assert one.page.request.get(f"{house.url}/api/v1/organisers/me").status == 401
        assert branch.counted() == 0
