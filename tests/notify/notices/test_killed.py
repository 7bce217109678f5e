"""A worker that is killed half-way: nothing is lost, and repeats are at most what it had under way, and counted.

`make bench-deliveries` does the same with 150,000.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask
from sqlalchemy import func, select, text

from service.clock import now as read_clock
from service.extensions import db as database
from service.notify.courier import Courier
from service.notify.notices.audience import Means
from service.notify.notices.models import Credit, NoticeDelivery
from service.notify.notices.telling import tell
from service.sandbox.doors import Doors, serve
from service.sandbox.faults import Fault
from service.sandbox.messages import Messages
from service.sandbox.wechat import APPID, SECRET, WeChat
from tests.notify.notices.stage import asked, fates, make_notice, person, sent
from tests.waiting import eventually

MEMBERS, NOTICES = 1_000, 3
TEMPLATE = "t" * 43
MEANS = Means(channels=["wechat_subscribe"], template=TEMPLATE, fields={"thing1": "theme"})
# What one person is sent is due one after the other, so that two of it would overlap if they could.
BESIDE = text("UPDATE notice_deliveries SET due_at = due_at - member_id * interval '1 millisecond'")
WORKER = """
from service.app import create_core
from service.config import Config
from service.notify.courier import Courier
from service.notify.notices.posting import Notices
app, courier = create_core(Config.from_env()), Courier(notices=Notices(capacity=200, each=100))
while True:
    courier(app)
"""


class Counting(Messages):
    """WeChat, which refuses sends that overlap, and counts its answers."""

    def __init__(self, wechat: WeChat) -> None:
        super().__init__(wechat, latency=0.02)
        self.asked = 0
        self.answers: Counter[int] = Counter()

    def subscribe(self, query: dict[str, str], told: dict[str, Any]) -> Any:
        self.asked += 1
        answer = super().subscribe(query, told)
        self.answers[int((answer.body or {}).get("errcode", 0))] += 1
        return answer


@contextmanager
def standing_in(messages: Counting) -> Iterator[str]:
    """The stand-in in a thread of its own; its address."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    urls: list[str] = []

    async def stand() -> None:
        server = await serve(Doors(messages.wechat, messages=messages), host="127.0.0.1", port=0)
        urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        ready.set()
        await ended.wait()
        server.close()

    ended = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(stand(),))
    thread.start()
    assert ready.wait(10)
    yield urls[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


@pytest.fixture
def wechat(app: APIFlask) -> Iterator[Counting]:
    """Settings that lead to a stand-in with credits for everybody."""
    kept = app.config["CHUNSHUI"]
    messages = Counting(WeChat())
    templates = json.dumps({"started": {"id": TEMPLATE, "fields": dict(MEANS.fields)}})
    with standing_in(messages) as url:
        app.config["CHUNSHUI"] = replace(
            kept, wechat_api_url=url, wechat_appid=APPID, wechat_secret=SECRET, wechat_templates=templates
        )
        yield messages
    app.config["CHUNSHUI"] = kept


def told(messages: Counting) -> None:
    """Several notices to the same members, each of whom accepted more often than that."""
    now = read_clock()
    for number in range(MEMBERS):
        messages.credits[f"o{number}", TEMPLATE] = NOTICES + 5
        row = Credit(
            openid=f"o{number}", template=TEMPLATE, member_id=number, balance=NOTICES, reference="", changed_at=now
        )
        database.session.add(row)
    for number in range(NOTICES):
        notice = make_notice(key=f"k{number}")
        tell(notice, asked(*(person(one, openid=f"o{one}") for one in range(MEMBERS))), MEANS, now)
    database.session.execute(BESIDE)
    database.session.commit()


def environment(app: APIFlask) -> dict[str, str]:
    config = app.config["CHUNSHUI"]
    names = ("database_url", "redis_url", "secret_key", "wechat_api_url", "wechat_appid", "wechat_secret")
    return os.environ | {name.upper(): getattr(config, name) for name in (*names, "wechat_templates")}


def kill_when(condition: Callable[[], bool], worker: "subprocess.Popen[bytes]") -> None:
    try:
        eventually(condition, within=60.0)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()


def test_a_killed_workers_deliveries_are_made_good_and_its_repeats_counted(app: APIFlask, wechat: Counting) -> None:
    """One of two workers is killed half-way, while one answer in a hundred is an error."""
    told(wechat)
    total = MEMBERS * NOTICES
    wechat.wechat.fail(Fault("message", times=10**9, code="-1", share=0.01))
    counted: list[int] = []
    courier = Courier(repeated=counted.append)
    worker = subprocess.Popen([sys.executable, "-c", WORKER], env=environment(app), cwd=os.getcwd())
    killer = threading.Thread(target=kill_when, args=(lambda: wechat.asked > total // 2, worker))
    killer.start()
    eventually(lambda: wechat.asked > 0, within=60.0)
    courier(app)
    killer.join()

    # What this worker had under way is written down, so what is held now is the dead one's.
    courier(app)
    database.session.rollback()
    held = select(func.count()).where(NoticeDelivery.lease_until.is_not(None))
    under_way = database.session.scalar(held) or 0
    assert under_way > 0, "it was killed half-way"
    assert fates()["delivered"] < total

    def made_good() -> bool:
        # What the dead worker had asked PostgreSQL for may come to pass after its death.
        over = text("UPDATE notice_deliveries SET lease_until = :now WHERE lease_until IS NOT NULL")
        early = text("UPDATE notice_deliveries SET due_at = :now WHERE state = 'pending' AND due_at > :now")
        for statement in (over, early):
            database.session.execute(statement, {"now": read_clock()})
        database.session.commit()
        courier(app)
        return fates() == Counter(delivered=total)

    eventually(made_good, within=60.0)
    courier.close()

    again = sum(one.repeats for one in sent())
    assert again == sum(counted) >= under_way
    assert len(wechat.told) - total <= again, "no repeat but of what was under way"
    assert wechat.answers[43108] == 0, "no overlap per openid"
    assert wechat.answers[-1] > 0, "something went wrong"
