"""The process of the stand-ins: everything over HTTP/1.1 at one port, APNs over HTTP/2 at another."""

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Any

import uvloop

from service.sandbox import apns, events
from service.sandbox.doors import Doors, serve
from service.sandbox.hooks import Hooks
from service.sandbox.messages import Messages, Told
from service.sandbox.wechat import APPID, SECRET, WeChat


class Calls:
    """Tells the product by message push what became of each message, if there is somebody to call."""

    def __init__(self, wechat: WeChat, url: str, *, token: str, key: str) -> None:
        self._wechat = wechat
        self._caller = events.Caller(url, wechat.appid, token=token, key=key) if url else None
        self._under_way: set[asyncio.Task[int]] = set()

    def __call__(self, message: Told) -> None:
        """Tell what became of a message; the answer to it does not wait for that."""
        self.tell(events.sent(message.openid, message.template, message.number))

    def tell(self, event: dict[str, Any]) -> None:
        """Call with any event."""
        if self._caller is None:
            return
        twice = self._wechat.faults.happens("duplicate_event", str(event["FromUserName"])) is not None
        task = asyncio.get_running_loop().create_task(self._caller.call(event, twice=twice))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)


async def run(
    *,
    host: str,
    port: int,
    apns_port: int | None,
    callback_url: str = "",
    secrets: Sequence[str] = (),
    latency: float = 0.0,
) -> None:
    """Serve until SIGTERM or SIGINT, for the appid, secret and message push of the environment."""
    environ = os.environ
    wechat = WeChat(appid=environ.get("WECHAT_APPID") or APPID, secret=environ.get("WECHAT_SECRET") or SECRET)
    calls = Calls(
        wechat,
        callback_url,
        token=environ.get("WECHAT_CALLBACK_TOKEN") or events.TOKEN,
        key=environ.get("WECHAT_CALLBACK_KEY") or events.ENCODING_KEY,
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    messages = Messages(wechat, latency=latency, sent=calls)
    doors = Doors(wechat, messages=messages, hooks=Hooks(list(secrets)), tell=calls.tell)
    servers = [await serve(doors, host=host, port=port)]
    if apns_port is not None:
        servers.append(await apns.serve(apns.Apns(wechat.faults), host=host, port=apns_port))
    await stopping.wait()
    for server in servers:
        server.close()


def main(**options: Any) -> None:
    """Run the stand-ins with the options of `run` until they are told to stop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(**options))
