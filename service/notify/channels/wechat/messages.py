"""Messages by WeChat: the mini-program's subscribe message, the Official Account's template message and subscription.

Bodies are raw UTF-8, for WeChat refuses escaped Chinese. Sends to one person never overlap.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote

from service.notify.channels.clients import Clients, unanswered
from service.notify.channels.http import target
from service.notify.channels.sends import Outcome, Send, permanent, retry
from service.notify.channels.wechat.answers import SUBSCRIBE, TEMPLATE, TOKEN_DEAD, errcode, judge
from service.notify.channels.wechat.fields import FieldError, fit
from service.notify.channels.wechat.tokens import TokenRefusedError, Tokens

State = Literal["developer", "trial", "formal"]
Body = dict[str, Any]
LANGUAGES = {"zh": "zh_CN", "en": "en_US"}
PATIENCE_SECONDS = 10.0
# The status of an answer that is none of the API's own.
TROUBLE_STATUS = 500


def _values(data: Mapping[str, str]) -> Body:
    return {name: {"value": value} for name, value in fit(data).items()}


def subscribe_message(send: Send, *, state: State) -> Body:
    """The body for `/cgi-bin/message/subscribe/send`; FieldError."""
    body: Body = {"touser": send.address, "template_id": send.template, "data": _values(send.data)}
    if send.page:
        body["page"] = send.page
    return body | {"miniprogram_state": state, "lang": LANGUAGES.get(send.language, "zh_CN")}


def template_message(send: Send, *, mini_program: str) -> Body:
    """The body for `/cgi-bin/message/template/send`; WeChat drops repeats of `client_msg_id` for ten minutes."""
    body: Body = {"touser": send.address, "template_id": send.template, "data": _values(send.data)}
    return body | _link(send, mini_program) | {"client_msg_id": send.key.hex}


def subscription_notice(send: Send, *, mini_program: str) -> Body:
    """The body for `/cgi-bin/message/subscribe/bizsend`."""
    body: Body = {"touser": send.address, "template_id": send.template, "data": _values(send.data)}
    return body | _link(send, mini_program, page="page")


def _link(send: Send, mini_program: str, page: str = "url") -> Body:
    """Where a tap leads: a page of ours, or into the mini-program."""
    if send.page.startswith("https://"):
        return {page: send.page}
    if send.page and mini_program:
        return {"miniprogram": {"appid": mini_program, "pagepath": send.page}}
    return {}


@dataclass(frozen=True, kw_only=True)
class Messages:
    """One of WeChat's three ways, as a channel."""

    name: str
    url: str
    tokens: Tokens
    build: Callable[[Send], Body]
    table: Mapping[int, Outcome]
    batch: int = 100

    async def send(self, client: Clients, sends: Sequence[Send]) -> list[Outcome]:
        """Send to each; to one person one after another (43108)."""
        by_person: dict[str, list[int]] = {}
        for place, one in enumerate(sends):
            by_person.setdefault(one.address, []).append(place)
        outcomes: dict[int, Outcome] = {}

        async def serve(places: list[int]) -> None:
            for place in places:
                outcomes[place] = await self._one(client, sends[place])

        await asyncio.gather(*map(serve, by_person.values()))
        return [outcomes[place] for place in range(len(sends))]

    async def _one(self, client: Clients, send: Send) -> Outcome:
        try:
            body = json.dumps(self.build(send), ensure_ascii=False, separators=(",", ":")).encode()
        except FieldError as error:
            return permanent("field", wrong=error.field)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._with_token(client, body)
        except TokenRefusedError as error:
            return judge({"errcode": error.code}, self.table)
        except Exception as error:
            return unanswered(error)

    async def _with_token(self, client: Clients, body: bytes) -> Outcome:
        """One attempt; a dead token is replaced and the attempt repeated once, and no more."""
        held = self.tokens.at_hand()
        token = held if held else await asyncio.to_thread(self.tokens.current)
        answer = await self._post(client, token, body)
        if errcode(answer) in TOKEN_DEAD:
            token = await asyncio.to_thread(self.tokens.replace, token)
            answer = await self._post(client, token, body)
        return judge(answer, self.table) if answer else retry("no_json")

    async def _post(self, client: Clients, token: str, body: bytes) -> Body:
        base = target(self.url, trusted=True)
        goal = replace(base, path=base.path + f"?access_token={quote(token)}".encode())
        answer = await client.http.post(goal, headers={"content-type": "application/json"}, content=body)
        return answer.json() if answer.status < TROUBLE_STATUS else {}


def mini_program_messages(url: str, tokens: Tokens, *, state: State) -> Messages:
    """Subscribe messages of the mini-program; `url` is the API's base."""
    return Messages(
        name="wechat_subscribe",
        url=f"{url}/cgi-bin/message/subscribe/send",
        tokens=tokens,
        build=lambda send: subscribe_message(send, state=state),
        table=SUBSCRIBE,
    )


def account_messages(url: str, tokens: Tokens, *, mini_program: str) -> Messages:
    """Template messages of the Official Account."""
    return Messages(
        name="wechat_template",
        url=f"{url}/cgi-bin/message/template/send",
        tokens=tokens,
        build=lambda send: template_message(send, mini_program=mini_program),
        table=TEMPLATE,
    )


def account_notices(url: str, tokens: Tokens, *, mini_program: str) -> Messages:
    """Subscription notices of the Official Account."""
    return Messages(
        name="wechat_notice",
        url=f"{url}/cgi-bin/message/subscribe/bizsend",
        tokens=tokens,
        build=lambda send: subscription_notice(send, mini_program=mini_program),
        table=TEMPLATE,
    )
