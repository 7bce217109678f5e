"""The REST calls of synthetic members, over a few kept-alive connections.

Written on asyncio streams because httpx costs about as much CPU per request as the server under test, and
the rehearsal shares the machine with it. Speaks only what our API answers: HTTP/1.1 with a Content-Length.
"""

import asyncio
import json
import ssl
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit


class Answer(NamedTuple):
    """A status and the decoded JSON object ({} when there is none)."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """The stable code of a problem document."""
        return str(self.body.get("code", f"http_{self.status}"))

    @property
    def temporary(self) -> bool:
        """May the same request succeed a little later?"""
        return self.status == 429 or self.status >= 500


UNREACHABLE = Answer(599, {"code": "unreachable"})


class Lane:
    """One kept-alive connection to one server; requests go one after the other."""

    def __init__(self, base: str) -> None:
        self._base: SplitResult = urlsplit(base)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: dict[str, Any], *, token: str = "") -> Answer:
        """POST JSON. An idle connection that the server has closed meanwhile is opened again, once."""
        return await self._ask(self._request("POST", path, json.dumps(body).encode(), token))

    async def get(self, path: str, *, token: str = "") -> Answer:
        """GET, likewise."""
        return await self._ask(self._request("GET", path, b"", token))

    def close(self) -> None:
        """Hang up; the next request connects again."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _ask(self, request: bytes) -> Answer:
        reused = self._writer is not None
        try:
            return await self._exchange(request)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            if not reused:
                raise
        return await self._exchange(request)

    def _request(self, method: str, path: str, body: bytes, token: str) -> bytes:
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        head = (
            f"{method} {self._base.path.rstrip('/')}{path} HTTP/1.1\r\nHost: {self._base.netloc}\r\n"
            f"{authorization}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def _exchange(self, request: bytes) -> Answer:
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await self._open()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 "):
            raise ConnectionError("not an HTTP/1.1 answer")
        status, fields = int(head[9:12]), _fields(head)
        body = await self._reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection", "").lower() == "close" or "content-length" not in fields:
            self.close()
        return Answer(status, _decoded(body))

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        secure = self._base.scheme == "https"
        port = self._base.port or (443 if secure else 80)
        context = ssl.create_default_context() if secure else None
        return await asyncio.open_connection(self._base.hostname, port, ssl=context)


def _fields(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


async def mint(lane: Lane, openids: Sequence[str]) -> list[str]:
    """One WeChat code for each openid, from the sandbox."""
    answer = await lane.post("/sandbox/codes", {"openids": list(openids)})
    if answer.status >= 300:
        raise OSError(f"sandbox: {answer.code}")
    return [str(code) for code in answer.body["codes"]]


async def log_in(lane: Lane, code: str, invitation: str | None) -> Answer:
    """Exchange a WeChat code for a session, binding by the invitation when there is one."""
    body = {"app": "mini_program", "code": code}
    if invitation is not None:
        body["invitation"] = invitation
    return await lane.post("/api/v1/sessions", body)


async def check_in(lane: Lane, activity: int, *, reference: str, token: str) -> Answer:
    """Check in to the activity's current sitting."""
    path = f"/api/v1/activities/{activity}/check-ins"
    return await lane.post(path, {"reference": reference}, token=token)
