"""The wall and the phone page in a browser, over a real installation."""

import json
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from service.tokens import issue_access, read_access
from service.live.rehearsal import Progress, run
from tests.waiting import eventually
from tests.web.conftest import PASSWORD, House
from tests.web.visitors import SECONDS, Wall, phone, wall

pytestmark = pytest.mark.timeout(180)
SCREENSHOT = os.environ.get("CHUNSHUI_SCREENSHOT", "")
MEMBERS = int(os.environ.get("CHUNSHUI_SCREENSHOT_MEMBERS", "2400")) if SCREENSHOT else 60


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_phone_joins_and_the_wall_goes_up_by_one(browser: Browser, house: House) -> None:
    with wall(browser, house.url) as before, phone(browser, house.url) as one, phone(browser, house.url) as two:
        before.open(PASSWORD, house.day.activity)
        before.page.evaluate("window.neverReloaded = true")
        online, joined, checked_in = (int(before.figure(name)) for name in ("online", "joined", "checked-in"))
        one.log_in(house.day.activity)
        one.enter()
        before.shows("online", str(online + 1))
        one.shows("count", str(online + 1))
        two.log_in(house.day.activity)
        two.enter()
        before.shows("online", str(online + 2))
        before.shows("joined", str(joined + 2))
        one.shows("count", str(online + 2))
        one.press("签到")
        expect(one.page.get_by_test_id("checked-in")).to_contain_text("已签到")
        before.shows("checked-in", str(checked_in + 1))
        one.press("离开直播")
        before.shows("online", str(online + 1))
        two.page.goto("about:blank")
        # An explicit leave is immediate; without it the member would stay for the stream's grace of 10 s.
        before.shows("online", str(online), within=5)
        assert before.page.evaluate("window.neverReloaded")


def test_check_in_and_log_in_outlive_a_reload(browser: Browser, house: House) -> None:
    with phone(browser, house.url) as one:
        one.log_in(house.day.activity)
        one.enter()
        one.press("签到")
        told = one.page.get_by_test_id("checked-in").inner_text()
        one.page.reload()
        expect(one.page.get_by_test_id("checked-in")).to_have_text(told.replace("\n", ""), use_inner_text=False)
        expect(one.page.get_by_text("您已进入直播")).to_be_visible(timeout=10 * SECONDS)
        assert one.overflow() == 0


def test_a_check_in_without_an_answer_is_repeated_with_the_same_reference(browser: Browser, house: House) -> None:
    with phone(browser, house.url) as one:
        one.log_in(house.day.activity)
        sent: list[str] = []
        one.page.on("request", lambda request: sent.append(request.post_data or ""))
        one.page.route("**/check-ins", lambda route: route.abort())
        one.press("签到")
        expect(one.page.get_by_text("尚未收到确认")).to_be_visible()
        one.page.unroute("**/check-ins")
        one.page.reload()
        expect(one.page.get_by_test_id("checked-in")).to_contain_text("已签到")
        references = [json.loads(body)["reference"] for body in sent if '"reference"' in body]
        assert len(references) >= 2
        assert len(set(references)) == 1


@pytest.mark.parametrize("door", ["rest", "gateway"])
def test_an_expired_token_is_renewed_by_itself(browser: Browser, house: House, *, door: str) -> None:
    with phone(browser, house.url) as one:
        one.log_in(house.day.activity)
        expect(one.page.get_by_role("button", name="进入直播")).to_be_visible()
        kept = one.session()
        if door == "gateway":
            headers = {"authorization": f"Bearer {kept['access_token']}", "accept": "application/json"}
            one.page.route("**/api/v1/activities/*", lambda route: route.continue_(headers=headers))
        stale = json.dumps(kept | {"access_token": expired(house, kept["access_token"])})
        one.page.evaluate("text => localStorage.setItem('chunshui.session', text)", stale)
        one.page.reload()
        expect(one.page.get_by_role("button", name="进入直播")).to_be_visible()
        assert (one.session()["refresh_token"] == kept["refresh_token"]) is (door == "gateway")
        one.enter()
        assert one.session()["refresh_token"] != kept["refresh_token"]


def expired(house: House, token: str) -> str:
    """The same member's token of two days ago."""
    now = datetime.now(UTC)
    actor = read_access(house.installation.config.secrets, token, now)
    return issue_access(
        house.installation.config.secret_key,
        member=actor.member,
        organisation=actor.organisation,
        place=actor.place,
        session=actor.session,
        now=now - timedelta(days=2),
        seconds=60,
    )


def test_a_phone_in_the_local_network_has_no_secure_context_and_needs_none(browser: Browser, house: House) -> None:
    with phone(browser, house.lan_url) as one:
        one.log_in(house.day.activity)
        assert not one.page.evaluate("isSecureContext")
        one.enter()
        one.press("签到")
        expect(one.page.get_by_test_id("checked-in")).to_contain_text("已签到")


def test_the_wall_shows_refusals_and_speaks_both_languages(browser: Browser, house: House) -> None:
    with wall(browser, house.url, width=1280, height=800) as before:
        before.log_in("wrong")
        expect(before.page.get_by_role("alert")).to_have_text("账号或密码不正确")
        before.press("English")
        before.page.get_by_label("Password").fill("wrong again")
        before.press("Log in")
        expect(before.page.get_by_role("alert")).to_have_text("Login or password wrong")
        before.page.get_by_label("Password").fill(PASSWORD)
        before.press("Log in")
        expect(before.page.get_by_role("heading", name="Online now")).to_be_visible()
        before.page.reload()
        expect(before.page.get_by_text("Rehearsal", exact=True)).to_be_visible()
        assert before.page.evaluate("document.documentElement.lang") == "en-GB"
        before.press("Log out")
        expect(before.page.get_by_role("button", name="Log in")).to_be_visible()
        before.page.reload()
        expect(before.page.get_by_role("button", name="Log in")).to_be_visible()


def test_the_wall_goes_down_the_trees_and_up_again(browser: Browser, house: House) -> None:
    with wall(browser, house.url) as before, phone(browser, house.url) as one:
        before.open(PASSWORD, house.day.activity)
        one.log_in(house.day.activity)
        one.enter()
        homes = before.page.get_by_test_id("by-organisation")
        for _ in ("city", "county", "branch"):
            homes.get_by_role("listitem").first.get_by_role("button").click()
            expect(homes.locator(".crumb-total")).to_have_text("1")
        expect(homes.get_by_text("没有下一级")).to_be_visible()
        before.page.reload()
        expect(homes.locator(".crumb-total")).to_have_text("1")
        before.press("全部组织方")
        expect(homes.get_by_role("listitem")).to_have_count(1)
        homes.get_by_role("button", name="另有 4 个暂无人员").click()
        expect(homes.locator(".bar-name")).to_have_text(["成都市", "自贡市", "眉山市", "遂宁市", "南充市"])


def test_the_wall_says_that_it_has_lost_the_server(browser: Browser, house: House) -> None:
    with wall(browser, house.url) as before:
        before.open(PASSWORD, house.day.activity)
        shown = before.figure("online")
        web = house.process("web")
        assert web.running
        os.killpg(web.running.pid, signal.SIGKILL)
        web.running.wait()
        expect(before.page.get_by_text("连接中断，正在重连")).to_be_visible(timeout=10 * SECONDS)
        assert before.figure("online") == shown
        web.start()
        expect(before.page.get_by_text("连接中断，正在重连")).to_be_hidden(timeout=30 * SECONDS)
        before.shows("basis", "精确")


def test_a_killed_gateway_degrades_the_figure_and_phones_come_back(browser: Browser, house: House) -> None:
    gateway = house.process("gateway").running
    assert gateway
    with wall(browser, house.url) as before, phone(browser, house.url) as one:
        before.open(PASSWORD, house.day.activity)
        online = int(before.figure("online"))
        one.log_in(house.day.activity)
        one.enter()
        before.shows("online", str(online + 1))
        for worker in children(gateway.pid):
            os.kill(worker, signal.SIGKILL)
        expect(before.page.get_by_test_id("basis")).to_contain_text("降级", timeout=5 * SECONDS)
        expect(one.page.get_by_text("您已进入直播")).to_be_visible(timeout=30 * SECONDS)
        before.shows("basis", "精确", within=15)
        before.shows("online", str(online + 1))


def test_without_valkey_the_wall_says_so_and_check_in_goes_on(browser: Browser, house: House) -> None:
    with wall(browser, house.url) as before, phone(browser, house.url) as one:
        before.open(PASSWORD, house.day.activity)
        online = int(before.figure("online"))
        one.log_in(house.day.activity)
        one.enter()
        before.shows("online", str(online + 1))
        house.installation.valkey.stop()
        before.shows("basis", "降级：计数服务暂不可用")
        assert before.figure("online") == str(online + 1)
        one.press("签到")
        expect(one.page.get_by_test_id("checked-in")).to_contain_text("已签到", timeout=10 * SECONDS)
        house.installation.valkey.start()
        before.shows("basis", "精确", within=30)
        before.shows("online", str(online + 1))


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 800), (360, 740)])
def test_the_wall_fits_its_screen(browser: Browser, house: House, *, width: int, height: int) -> None:
    with wall(browser, house.url, width=width, height=height) as before:
        before.open(PASSWORD, house.day.activity)
        assert before.overflow() == 0
        if width > 900:
            assert before.page.evaluate("document.documentElement.scrollHeight") == height


def test_the_wall_follows_a_rehearsal_without_a_reload(browser: Browser, house: House) -> None:
    plan = house.plan(MEMBERS)
    if not SCREENSHOT:
        plan = replace(plan, arrival_seconds=4.0, plateau_seconds=6.0)
    with wall(browser, house.url) as before:
        before.open(PASSWORD, house.day.activity)
        before.page.evaluate("window.neverReloaded = true")
        seen: list[str] = []

        def look(progress: Progress) -> None:
            seen.append(before.figure("online"))
            if SCREENSHOT and progress.phase == "plateau" and progress.tally.checked_in > MEMBERS // 3:
                take_picture(before)

        result = run(plan, look)
        assert result.joined == MEMBERS
        assert len(set(seen)) >= 5
        assert f"{MEMBERS:,}" in seen
        before.shows("online", "0", within=30)
        assert before.page.evaluate("window.neverReloaded")
        before.press("回放")
        replay = before.page.get_by_test_id("replay").get_by_role("slider")
        eventually(lambda: int(replay.get_attribute("max") or 0) > 3)
        eventually(lambda: replay.input_value() not in ("", "0"))


def take_picture(before: Wall) -> None:
    """The wall as docs/images shows it, once, gone down to where the people are."""
    target = Path(SCREENSHOT)
    if target.exists() and target.stat().st_mtime > before.opened_at:
        return
    places = before.page.get_by_test_id("by-place")
    places.get_by_role("listitem").first.get_by_role("button").click()
    expect(places.get_by_role("listitem")).to_have_count(7)
    before.page.mouse.move(0, 0)
    before.page.screenshot(path=target)


def test_the_api_is_described_under_the_pages_policy(browser: Browser, house: House) -> None:
    """By a page that loads nothing from elsewhere and complains of nothing."""
    with wall(browser, house.url) as reader:
        asked: list[str] = []
        reader.page.on("request", lambda request: asked.append(request.url))
        reader.page.goto(f"{house.url}/docs")
        door = reader.page.get_by_text("/api/v1/activities/{activity_id}/check-ins")
        expect(door).to_be_visible(timeout=15 * SECONDS)
        door.click()
        expect(reader.page.get_by_text("reference", exact=False).first).to_be_visible()
        assert [url for url in asked if not url.startswith((house.url, "data:"))] == []
