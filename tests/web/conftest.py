"""A whole installation of its own, without synthetic members, and a browser to look at it with."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from service import demo, founding
from service.app import create_core
from service.extensions import db
from service.live.rehearsal import Plan
from service.supervisor import Installation, Process, installed

CHROMIUM = "/usr/bin/chromium"
# A name that a browser trusts no more than an address in the local network: no secure context, as behind --lan.
LAN_NAME = "wall.lan.test"
PASSWORD = "a password for the wall"
BUILT = Path(demo.__file__).parent / "static" / "wall.html"


@dataclass
class House:
    """The founding day, re-enacted in a running installation."""

    installation: Installation
    day: founding.Enactment

    @property
    def url(self) -> str:
        """The address of the pages."""
        return demo.local_url(self.installation)

    @property
    def lan_url(self) -> str:
        """The same, as a phone in the local network sees it."""
        return self.url.replace("127.0.0.1", LAN_NAME)

    def process(self, name: str) -> Process:
        """One of the installation's processes."""
        return next(one for one in self.installation.processes if one.name == name)

    def plan(self, members: int) -> Plan:
        """A rehearsal with so many synthetic members."""
        config = self.installation.config
        with create_core(config).app_context():
            try:
                return demo.plan_of(config, self.url, self.day, members, stay=False)
            finally:
                db.session.remove()
                db.engine.dispose()


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Web, gateway, worker, the stand-in for WeChat and their servers."""
    assert BUILT.is_file(), "the pages are not built: run make setup"
    with tempfile.TemporaryDirectory(prefix="chunshui-pages-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        wishes = demo.Wishes(members=0, leave=True, json=True, lan=False, data_dir=Path(folder))
        settings = demo.settings(wishes) | {"COUNT_SECONDS": "1", "WEB_PORT": "8300", "GATEWAY_PORT": "8400"}
        with installed(settings, data_dir=wishes.data_dir, say=print, sandbox=True) as installation:
            with demo.prepared(installation.config, PASSWORD) as day:
                pass
            yield House(installation, day)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window. While it is there a loop runs in this thread: not for longer than a file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", f"--host-resolver-rules=MAP {LAN_NAME} 127.0.0.1"]
        )
        yield browser
        browser.close()
