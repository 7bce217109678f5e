"""The console in a browser: an account is opened and granted by two administrators, let back in, a device registered."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select

from service.demo import LOGIN, connected
from service.extensions import db
from service.org.accounts.models import Grant
from service.org.models import Organisation
from service.org.models import Organiser as Account
from service.scope import everything
from tests.factories import make_organiser
from tests.web.conftest import PASSWORD, House
from tests.web.visitors import Visitor, opened

pytestmark = pytest.mark.timeout(120)
CHOSEN = "a password of her own choice"
_logins = count(1)


@contextmanager
def administrator(browser: Browser, house: House, role: str) -> Iterator[Visitor]:
    """An administrator of the whole, who has logged in with two factors."""
    with connected(house.installation.config):
        root = db.session.scalars(select(Organisation).where(Organisation.parent_id.is_(None))).one()
        _, cookie = make_organiser(organisation=root, role=role, login=f"admin{next(_logins)}", name=f"王{role[:6]}")
    with opened(browser, width=390, height=844) as page:
        page.context.add_cookies([{"name": "chunshui_organiser", "value": cookie, "url": house.url}])
        visitor = Visitor(page, house.url)
        page.goto(f"{house.url}/console/")
        yield visitor
        assert visitor.overflow() == 0
        assert visitor.complaints == []


def code_of(visitor: Visitor) -> str:
    told = visitor.page.get_by_test_id("one-time-code").inner_text()
    visitor.press("已转交")
    return told


def grants_of(house: House, login: str) -> list[tuple[str, str, bool]]:
    question = select(Grant).join(Account, Account.id == Grant.organiser_id).where(Account.login == login)
    with connected(house.installation.config):
        found = db.session.scalars(everything("a test", question.order_by(Grant.id))).all()
        return [(one.role, one.purpose, one.revoked_at is not None) for one in found]


def test_two_administrators_open_grant_and_let_back_in(browser: Browser, house: House) -> None:
    with (
        administrator(browser, house, "system_administrator") as keeper,
        administrator(browser, house, "security_administrator") as granter,
        opened(browser, width=390, height=844) as owner,
    ):
        keeper.press("邀请新账号")
        keeper.page.get_by_label("账号", exact=True).fill("zhou")
        keeper.page.get_by_label("姓名", exact=True).fill("周干事")
        keeper.page.get_by_label("组织", exact=True).fill("成都")
        keeper.page.get_by_role("listitem").get_by_role("button", name="成都市 四川省").click()
        keeper.press("开立并取码")
        code = code_of(keeper)
        granter.page.reload()
        granter.page.get_by_role("button", name="周干事").click()
        granter.press("给予授权")
        granter.page.get_by_label("组织", exact=True).fill("成都")
        granter.page.get_by_role("listitem").get_by_role("button", name="成都市 四川省").click()
        granter.press("给予")
        expect(granter.page.get_by_text("支部书记 · 名册与考勤")).to_be_visible()
        assert grants_of(house, "zhou") == [
            ("branch_secretary", "activities", False), ("branch_secretary", "roster", False)
        ]  # fmt: skip
        owner.goto(f"{house.url}/desk/")
        owner.get_by_role("button", name="我有管理员给的恢复码").click()
        owner.get_by_label("账号").fill("zhou")
        owner.get_by_label("恢复码").fill(code)
        owner.get_by_label("新密码").fill(CHOSEN)
        owner.get_by_role("button", name="登录", exact=True).click()
        expect(owner.get_by_role("button", name="退出")).to_be_visible()
        granter.press("收回成都市的名册与考勤授权")
        granter.press("确定收回")
        expect(granter.page.get_by_text("显示已失效的 1 项")).to_be_visible()
        assert [one[2] for one in grants_of(house, "zhou")].count(True) == 1
        keeper.page.get_by_role("button", name="周干事").click()
        keeper.press("提请恢复登录")
        expect(keeper.page.get_by_text("等待另一名管理员", exact=True)).to_be_visible()
        expect(keeper.page.get_by_role("button", name="批准并取码")).to_have_count(0)
        granter.page.reload()
        granter.press("批准并取码")
        assert code_of(granter) != code
        expect(granter.page.get_by_role("heading", name="等待批准的恢复登录")).to_have_count(0)


def test_a_lead_registers_a_device_and_revokes_it(browser: Browser, house: House) -> None:
    with opened(browser, width=1280, height=800) as page:
        one = Visitor(page, house.url)
        page.goto(f"{house.url}/console/")
        page.get_by_label("账号").fill(LOGIN)
        page.get_by_label("密码").fill(PASSWORD)
        one.press("登录")
        page.get_by_label("设备名称").fill("礼堂东门")
        one.press("登记并取配对码")
        pairing = code_of(one)
        with opened(browser, width=800, height=600) as device:
            device.goto(f"{house.url}/gate/")
            device.get_by_label("配对码").fill(pairing)
            device.get_by_role("button", name="配对", exact=True).click()
            expect(device.get_by_test_id("code")).to_be_visible()
        page.reload()
        row = page.get_by_role("listitem").filter(has_text="礼堂东门")
        expect(row).to_contain_text("已配对")
        row.get_by_role("button", name="收回").click()
        row.get_by_role("button", name="确定收回").click()
        expect(row).to_contain_text("已撤销")
        assert one.complaints == []
