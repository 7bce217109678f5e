"""The log-in page, a real identity provider at another site, and a browser that keeps strict cookies at home."""

import re
import tempfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from service import demo
from service.app import create_core
from service.clock import now
from service.config import Config
from service.extensions import db
from service.org.accounts.listing import by_login
from service.org.accounts.provider import links
from service.supervisor import installed
from tests.org.accounts.provider import CLIENT, SECRET, running
from tests.ports import free_port
from tests.web.conftest import PASSWORD
from tests.web.visitors import Wall, wall

pytestmark = pytest.mark.timeout(180)


def link(config: Config, subject: str) -> None:
    """As the operator does."""
    with create_core(config).app_context():
        try:
            links.link(by_login(demo.LOGIN).id, config.oidc_issuer, subject, by=None, now=now())
        finally:
            db.session.remove()
            db.engine.dispose()


def through_the_provider(visitor: Wall, subject: str) -> None:
    """From the log-in page, by the provider's form."""
    visitor.page.goto(f"{visitor.url}/")
    visitor.page.get_by_role("link", name="通过政务统一认证登录").click()
    visitor.page.get_by_label("Subject").fill(subject)
    visitor.page.get_by_role("button", name="Go").click()


def test_an_organiser_comes_in_through_the_provider(browser: Browser) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory(prefix="chunshui-oidc-", dir="/tmp") as folder,
        running("localhost", f"{url}/api/v1/organisers/oidc/callback") as real,
    ):
        Path(folder).chmod(0o755)
        wishes = demo.Wishes(members=0, leave=True, json=True, lan=False, data_dir=Path(folder))
        settings = demo.settings(wishes) | {"WEB_PORT": str(port), "WEB_URL": url, "OIDC_ISSUER": real.issuer}
        settings |= {"OIDC_CLIENT_ID": CLIENT, "OIDC_CLIENT_SECRET": SECRET, "OIDC_NAME": "政务统一认证"}
        with installed(settings, data_dir=wishes.data_dir, say=print, sandbox=True) as installation:
            with demo.prepared(installation.config, PASSWORD):
                pass
            link(installation.config, "ana")
            with wall(browser, url) as visitor:
                through_the_provider(visitor, "eve")
                expect(visitor.page.get_by_role("alert")).to_have_text("统一身份认证的登录未被接受，请重试或改用密码")
            # A browser that the provider does not know yet: the way back begins with its form, at another site.
            with wall(browser, url) as visitor:
                through_the_provider(visitor, "ana")
                expect(visitor.page.get_by_role("button", name="退出")).to_be_visible()
                visitor.page.reload()
                expect(visitor.page.get_by_role("button", name="退出")).to_be_visible()
                cookies = visitor.page.context.cookies()
                [session] = [one for one in cookies if re.search("organiser$", str(one["name"]))]
                assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
