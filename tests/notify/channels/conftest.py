"""Every provider's stand-in, on the loopback, within the test's own loop."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import httpx
import pytest
import redis

from service.notify.channels.apns import Apns, ProviderTokens
from service.notify.channels.clients import Clients
from service.notify.channels.fcm import AccountTokens, Fcm
from service.notify.channels.jpush import Cids, JPush
from service.notify.channels.sends import Channel, Outcome, Send
from service.notify.channels.wechat.messages import account_messages, account_notices, mini_program_messages
from service.notify.channels.wechat.tokens import Tokens
from service.sandbox import apns as apples
from service.sandbox import fcm as googles
from service.sandbox import jpush as jiguang
from service.sandbox.doors import Doors, serve
from service.sandbox.faults import Fault
from service.sandbox.messages import Messages
from service.sandbox.wechat import APPID, SECRET, WeChat

T = TypeVar("T")
TEMPLATE = "t" * 43
DEVICE = "ab" * 32


def a_send(address: str = "o-ana", **changes: Any) -> Send:
    """A message to somebody."""
    whole: dict[str, Any] = {
        "delivery": 1, "address": address, "key": uuid.uuid4(), "title": "主题党日", "text": "直播一小时后开始",
        "template": TEMPLATE, "data": {"thing1": "主题党日"}, "page": "pages/day?id=1",
    }  # fmt: skip
    return Send(**(whole | changes))


@dataclass
class World:
    """The stand-ins, a client and the channels that lead to them."""

    url: str
    apns_url: str
    doors: Doors
    apns: apples.Apns
    client: Clients
    valkey: redis.Redis
    keys: ProviderTokens = field(
        default_factory=lambda: ProviderTokens(key=apples.private_key(), key_id=apples.KEY_ID, team=apples.TEAM)
    )

    @property
    def wechat(self) -> WeChat:
        return self.doors.wechat

    def fail(self, kind: str, code: str = "", *, times: int = 1, **more: Any) -> None:
        """Let something go wrong."""
        self.wechat.fail(Fault(kind, times, code=code, **more))

    def tokens(self, **changes: Any) -> Tokens:
        """One process's view of the shared access token."""

        def ask(body: dict[str, Any]) -> Any:
            return httpx.post(f"{self.url}/cgi-bin/stable_token", json=body, trust_env=False).json()

        whole: dict[str, Any] = {"appid": APPID, "secret": SECRET, "ask": ask}
        return Tokens(self.valkey, **(whole | changes))

    def channel(self, name: str) -> Channel:
        """The channel of that name."""
        tokens = self.tokens()
        made: dict[str, Callable[[], Channel]] = {
            "subscribe": lambda: mini_program_messages(self.url, tokens, state="formal"),
            "template": lambda: account_messages(self.url, tokens, mini_program="wxmini"),
            "notice": lambda: account_notices(self.url, tokens, mini_program="wxmini"),
            "apns": lambda: Apns(url=self.apns_url, topic=apples.TOPIC, tokens=self.keys),
            "fcm": lambda: Fcm(
                project=googles.PROJECT, tokens=AccountTokens(self.doors.fcm.account(self.url)), url=self.url
            ),
            "jpush": lambda: JPush(
                app_key=jiguang.APP_KEY,
                master_secret=jiguang.MASTER_SECRET,
                cids=Cids(self.valkey),
                production=False,
                url=self.url,
            ),
        }
        return made[name]()

    async def send(self, channel: str | Channel, *sends: Send) -> list[Outcome]:
        """What came of `sends`."""
        found = self.channel(channel) if isinstance(channel, str) else channel
        return await found.send(self.client, sends)


Story = Callable[[World], Awaitable[None]]


class Play(Protocol):
    """Plays a story in a world of its own."""

    def __call__(self, story: Story, latency: float = 0.0) -> None: ...


@asynccontextmanager
async def standing(valkey: redis.Redis, latency: float) -> AsyncIterator[World]:
    wechat = WeChat()
    doors, apns = Doors(wechat, messages=Messages(wechat, latency=latency)), apples.Apns(wechat.faults)
    servers = [
        await serve(doors, host="127.0.0.1", port=0),
        await apples.serve(apns, host="127.0.0.1", port=0),
    ]
    client = Clients.opened(most_idle=64)
    urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers]
    try:
        yield World(urls[0], urls[1], doors, apns, client, valkey)
    finally:
        client.close()
        for server in servers:
            server.close()
        # What the stand-ins have open ends by itself, once they see that the client is gone.
        await asyncio.sleep(0.02)


def run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(story, 30))


@pytest.fixture
def play(valkey: redis.Redis) -> Play:
    """Play a story in a world of its own."""

    def played(story: Story, latency: float = 0.0) -> None:
        async def within() -> None:
            async with standing(valkey, latency) as world:
                await story(world)

        run(within())

    return played
