"""What a person does with the pages, and what the pages may not do behind the person's back."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from service.demo import LOGIN

SECONDS = 1000
# A failed request is the page's business and shown by it; anything else on the console is a defect.
EXPECTED = re.compile(r"Failed to load resource|WebSocket connection to|net::ERR_")


class Visitor:
    """A page in a browser of its own; whatever it complains about is kept."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.opened_at = time.time()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def figure(self, name: str) -> str:
        """The text shown for a figure."""
        return self.page.get_by_test_id(name).inner_text()

    def shows(self, name: str, text: str, *, within: float = 10.0) -> None:
        """The figure becomes `text` in that time."""
        expect(self.page.get_by_test_id(name)).to_have_text(text, timeout=within * SECONDS)

    def press(self, name: str) -> None:
        """Press the button of that exact name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(script))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not EXPECTED.search(message.text):
            self.complaints.append(message.text)


class Wall(Visitor):
    """The organisers' wall."""

    def log_in(self, password: str, *, activity: int = 0) -> None:
        """Open the wall, of that activity if one is named, and log in."""
        self.page.goto(f"{self.url}/?activity={activity}" if activity else f"{self.url}/")
        self.page.get_by_label("账号").fill(LOGIN)
        self.page.get_by_label("密码").fill(password)
        self.press("登录")

    def open(self, password: str, activity: int) -> None:
        """Log in and see figures that are certain."""
        self.log_in(password, activity=activity)
        self.shows("basis", "精确", within=20)


class Phone(Visitor):
    """The members' phone page."""

    def log_in(self, activity: int) -> None:
        """Open the activity's address and take the demo's log-in."""
        self.page.goto(f"{self.url}/m/?activity={activity}")
        self.press("演示登录")

    def enter(self) -> None:
        """Join the stream and wait until the member is in."""
        self.press("进入直播")
        expect(self.page.get_by_text("您已进入直播")).to_be_visible(timeout=10 * SECONDS)

    def session(self) -> dict[str, Any]:
        """What the browser keeps of the log-in."""
        kept: dict[str, Any] = json.loads(self.page.evaluate("localStorage.getItem('chunshui.session')"))
        return kept


@contextmanager
def opened(browser: Browser, *, width: int, height: int) -> Iterator[Page]:
    """A page in a browser of its own."""
    with browser.new_context(viewport={"width": width, "height": height}, locale="zh-CN") as context:
        yield context.new_page()


@contextmanager
def wall(browser: Browser, url: str, *, width: int = 1920, height: int = 1080) -> Iterator[Wall]:
    """Somebody before the wall, who finds nothing to complain about."""
    with opened(browser, width=width, height=height) as page:
        visitor = Wall(page, url)
        yield visitor
        assert visitor.complaints == []


@contextmanager
def phone(browser: Browser, url: str) -> Iterator[Phone]:
    """Somebody with a small phone, who finds nothing to complain about."""
    with opened(browser, width=360, height=740) as page:
        visitor = Phone(page, url)
        yield visitor
        assert visitor.complaints == []
