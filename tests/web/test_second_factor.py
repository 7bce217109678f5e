"""The second factor in a browser: set up at the first log-in, asked for at the next, lost and recovered."""

import time

import pyotp
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select

from service.clock import now
from service.demo import connected
from service.extensions import db
from service.org.accounts import opening, recovery
from service.org.models import Organisation
from tests.web.conftest import House
from tests.web.visitors import wall

pytestmark = pytest.mark.timeout(120)
LOGIN, PASSWORD, NEW = "security", "a password of security", "another password of security"


def test_a_second_factor_is_set_up_asked_for_and_recovered(browser: Browser, house: House) -> None:
    with connected(house.installation.config):
        root = db.session.scalars(select(Organisation.id).where(Organisation.parent_id.is_(None))).one()
        role = {"role": "security_administrator"}
        number = opening.add_organiser(LOGIN, name="安全", password=PASSWORD, organisation_id=root, now=now(), **role)
        code = recovery.issue_now(number, now())
    with wall(browser, house.url) as first:
        page = first.page
        page.goto(house.url)
        page.get_by_label("账号").fill(LOGIN)
        page.get_by_label("密码").fill(PASSWORD)
        first.press("登录")
        expect(page.get_by_role("heading", name="设置第二验证因素")).to_be_visible()
        page.get_by_label("密码").fill(PASSWORD)
        first.press("继续")
        picture = page.get_by_alt_text("验证器二维码")
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        secret = pyotp.TOTP(page.get_by_test_id("factor-secret").inner_text())
        page.get_by_label("验证码").fill(secret.now())
        first.press("确认")
        expect(page.get_by_test_id("recovery-codes").locator("li")).to_have_count(10)
        first.press("已保存，继续")
        expect(page.get_by_text("安全", exact=False)).to_be_visible()
        first.press("退出")
        page.get_by_label("账号").fill(LOGIN)
        page.get_by_label("密码").fill(PASSWORD)
        first.press("登录")
        expect(page.get_by_label("验证码")).to_be_focused()
        page.get_by_label("验证码").fill(secret.at(time.time() + 30))
        first.press("登录")
        expect(page.get_by_role("button", name="退出", exact=True)).to_be_visible()
        first.press("退出")
        first.press("我有管理员给的恢复码")
        page.get_by_label("账号").fill(LOGIN)
        page.get_by_label("恢复码").fill(code)
        page.get_by_label("新密码").fill(NEW)
        first.press("登录")
        expect(page.get_by_role("heading", name="设置第二验证因素")).to_be_visible()
        assert first.complaints == []
