"""A stand-in for WeChat: answers by code, and remembers what it was asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from apiflask import APIFlask

Reply = dict[str, Any] | Exception | str


@dataclass
class WeChat:
    """Codes and what they yield; unknown codes are invalid, and a code is good once."""

    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    def code_for(self, openid: str, **more: Any) -> str:
        """A fresh code of this WeChat user."""
        code = f"code-{len(self.replies)}-{openid}"
        self.replies[code] = {"openid": openid, "session_key": "HyVFkGl5F5OQWJZZaNzBBg==", **more}
        return code

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What the server API answers."""
        self.asked.append(request)
        if request.url.path == "/sandbox/codes":
            return httpx.Response(200, json={"codes": [self.code_for("guest")]})
        reply = self.replies.pop(request.url.params["js_code"], {"errcode": 40029, "errmsg": "invalid code"})
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, str):
            return httpx.Response(502, text=reply)
        return httpx.Response(200, json=reply, headers={"Content-Type": "text/plain"})


@pytest.fixture
def wechat(app: APIFlask) -> Iterator[WeChat]:
    """The application's WeChat."""
    stand_in = WeChat()
    kept = app.extensions["wechat"]
    with httpx.Client(base_url="https://wechat.test", transport=httpx.MockTransport(stand_in.answer)) as client:
        app.extensions["wechat"] = client
        yield stand_in
    app.extensions["wechat"] = kept


@pytest.fixture(autouse=True)
def fresh_deny_list(app: APIFlask) -> Iterator[Callable[[], None]]:
    """No test sees the revocations of another."""
    app.extensions["deny_list"].expire()
    yield app.extensions["deny_list"].expire
    app.extensions["deny_list"].expire()
