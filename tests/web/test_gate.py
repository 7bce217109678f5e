"""The code on site in a browser: read from the screen, it checks a member in; without a network; and once revoked."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from service.activity.models import ActivityOrganiser
from service.checkin.onsite import gates
from service.clock import now as read_clock
from service.demo import connected
from service.extensions import db
from service.org.models import Organisation
from service.org.organisers import Organiser
from service.scope import everything
from tests.factories import make_organiser
from tests.web.conftest import House
from tests.web.visitors import SECONDS, Phone, Visitor, opened, phone

pytestmark = pytest.mark.timeout(180)


def lead(activity: int) -> Organiser:
    """Somebody of an organisation that leads the activity."""
    leads = everything("a test", select(ActivityOrganiser.organisation_id).where(ActivityOrganiser.activity_id == activity))
    organisation = db.session.get(Organisation, db.session.scalars(leads).first())
    return make_organiser(organisation=organisation)[0]


@pytest.fixture
def registered(house: House) -> tuple[int, str]:
    """The number of a gate of the day, and the code that pairs a device with it."""
    with connected(house.installation.config):
        gate, code = gates.register(lead(house.day.activity), house.day.activity, "礼堂正门", read_clock())
        return gate.id, code


def revoke(house: House, gate: int) -> None:
    with connected(house.installation.config):
        gates.revoke(lead(house.day.activity), house.day.activity, gate, read_clock())


class Screen(Visitor):
    """A device on site."""

    def pair(self, code: str) -> None:
        """Open the page and pair it."""
        self.page.goto(f"{self.url}/gate/")
        self.page.get_by_label("配对码").fill(code)
        self.press("配对")

    def address(self) -> str:
        """What a camera reads from the screen."""
        picture = self.page.get_by_test_id("code")
        expect(picture).to_be_visible(timeout=10 * SECONDS)
        [found] = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture.screenshot())))
        return found.text


@contextmanager
def screen(browser: Browser, url: str) -> Iterator[Screen]:
    """A screen on a wall, which finds nothing to complain about."""
    with opened(browser, width=1920, height=1080) as page:
        visitor = Screen(page, url)
        yield visitor
        assert visitor.complaints == []


def guest(visitor: Phone, activity: int) -> Page:
    """A member who has logged in before."""
    visitor.log_in(activity)
    expect(visitor.page.get_by_role("button", name="签到", exact=True)).to_be_visible()
    return visitor.page


def test_who_scans_the_screen_is_checked_in_also_while_it_is_offline(
    browser: Browser, house: House, registered: tuple[int, str]
) -> None:
    with (
        screen(browser, house.url) as wall,
        phone(browser, house.url) as one,
        phone(browser, house.url) as two,
        phone(browser, house.url) as three,
    ):
        wall.pair(registered[1])
        first = wall.address()
        assert first.startswith(f"{house.url}/m/?activity={house.day.activity}#code=")
        page = guest(one, house.day.activity)
        page.goto(first)
        expect(page.get_by_test_id("checked-in")).to_contain_text("现场已签到")
        expect(wall.page.get_by_test_id("skew")).to_have_count(0)
        wall.page.wait_for_function("navigator.serviceWorker.controller !== null")
        wall.page.context.set_offline(True)
        expect(wall.page.get_by_test_id("lost")).to_contain_text("网络中断，二维码仍然有效")
        wall.page.reload()
        expect(wall.page.get_by_test_id("lost")).to_contain_text("有效至")
        second = wall.address()
        assert second != first
        page = guest(two, house.day.activity)
        page.goto("about:blank")
        page.goto(second)
        expect(page.get_by_test_id("checked-in")).to_contain_text("现场已签到")
        revoke(house, registered[0])
        wall.page.context.set_offline(False)
        expect(wall.page.get_by_role("alert").first).to_contain_text("此设备已被撤销", timeout=20 * SECONDS)
        expect(wall.page.get_by_test_id("code")).to_have_count(0)
        wall.page.reload()
        expect(wall.page.get_by_label("配对码")).to_be_visible()
        page = guest(three, house.day.activity)
        page.goto("about:blank")
        page.goto(second)
        expect(page.get_by_role("alert")).to_have_text("二维码无效")
        expect(page.get_by_text("请再扫一次现场屏幕上的二维码")).to_be_visible()
        assert "code" not in page.url


def test_a_device_whose_clock_is_wrong_shows_good_codes_and_says_so(
    browser: Browser, house: House, registered: tuple[int, str]
) -> None:
    with screen(browser, house.url) as wall, phone(browser, house.url) as one:
        wall.page.clock.install(time=read_clock().timestamp() - 3600)
        wall.page.clock.resume()
        wall.pair(registered[1])
        expect(wall.page.get_by_test_id("skew")).to_contain_text("本机时钟慢 3600 秒", timeout=10 * SECONDS)
        page = guest(one, house.day.activity)
        page.goto("about:blank")
        page.goto(wall.address())
        expect(page.get_by_test_id("checked-in")).to_contain_text("现场已签到")


def test_a_used_pairing_code_pairs_nothing(browser: Browser, house: House, registered: tuple[int, str]) -> None:
    with screen(browser, house.url) as first, screen(browser, house.url) as second:
        first.pair(registered[1])
        first.address()
        second.pair(registered[1])
        expect(second.page.get_by_role("alert").last).to_contain_text("配对码")
        kept: Any = first.page.evaluate(KEPT)
        assert kept == {"type": "secret", "extractable": False}


# What the browser keeps of the key: something to use, and nothing to read.
KEPT = """() => new Promise((told) => {
  indexedDB.open('keyval-store').onsuccess = ({ target }) => {
    target.result.transaction('keyval').objectStore('keyval').get('gate').onsuccess = ({ target: { result } }) =>
      told({ type: result.key.type, extractable: result.key.extractable })
  }
})"""
