"""Requests over kept HTTP/1.1 connections, and HTTP/2 ones where asked for, to checked addresses only.

Made for very many small requests to a few receivers: an exchange costs a tenth of a general client's (decision 22),
heads and bodies of answers are bounded, redirects, cookies and proxies do not exist.
"""

import asyncio
import json
import ssl
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import httpx

from service.notify.channels.addresses import AddressRefusedError, resolve

MAX_HEAD_BYTES = 32_768
MAX_BODY_BYTES = 65_536
# Shorter than most servers keep a silent connection, so that we seldom find one just closed.
IDLE_SECONDS = 20.0


class AnswerError(Exception):
    """What came back is not HTTP/1.1, or not within bounds."""


@dataclass(frozen=True)
class Target:
    """Where a URL leads; `trusted` if the operator named it, so that it may be inside our own network."""

    host: str
    port: int
    tls: bool
    authority: bytes
    # It may hold a token, or a device: nothing that prints a target shows it.
    path: bytes = field(repr=False)
    trusted: bool = False


@dataclass(frozen=True)
class Answer:
    """Status, headers and body; the body is empty where it was not within bounds or had no stated end."""

    status: int
    headers: Mapping[str, str]
    reusable: bool
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """The object that the body spells; an empty one if it spells none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Connection:
    """An open connection and since when it has been idle."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    idle_since: float

    def usable(self, now: float) -> bool:
        """Whether the other side has not closed it, nor is about to."""
        closed = self.writer.is_closing() or self.reader.at_eof()
        return not closed and now - self.idle_since < IDLE_SECONDS

    def abort(self) -> None:
        """Close it at once."""
        self.writer.transport.abort()


@lru_cache(maxsize=4096)
def target(url: str, trusted: bool = False) -> Target:
    """Where `url` leads; httpx.InvalidURL if nowhere."""
    parsed = httpx.URL(url)
    tls = parsed.scheme == "https"
    return Target(
        host=parsed.raw_host.decode("ascii"),
        port=parsed.port or (443 if tls else 80),
        tls=tls,
        authority=parsed.netloc,
        path=parsed.raw_path or b"/",
        trusted=trusted,
    )


class Client:
    """Within one event loop. As many requests at once as the caller starts; at most `most_idle` kept connections."""

    def __init__(self, *, private: bool, most_idle: int) -> None:
        self._private = private
        self._most_idle = most_idle
        self._idle: OrderedDict[int, tuple[Target, Connection]] = OrderedDict()
        self._trust: ssl.SSLContext | None = None

    async def post(self, goal: Target, *, headers: Mapping[str, str], content: bytes) -> Answer:
        """The answer; AddressRefusedError, NameUnknownError, AnswerError, EOFError or OSError if there is none."""
        return await self._ask(goal, _request(b"POST", goal, headers, content))

    async def get(self, goal: Target, *, headers: Mapping[str, str]) -> Answer:
        """The same for a GET."""
        return await self._ask(goal, _request(b"GET", goal, headers, b""))

    async def _ask(self, goal: Target, request: bytes) -> Answer:
        kept = self._take(goal)
        if kept is not None:
            try:
                return await self._exchange(goal, kept, request)
            except (ConnectionError, EOFError):
                # Closed while we reached for it. Should the request have got through after all, its id tells.
                pass
        return await self._exchange(goal, await self._connect(goal), request)

    def close(self) -> None:
        """Close the kept connections."""
        for _, connection in self._idle.values():
            connection.abort()
        self._idle.clear()

    async def _exchange(self, goal: Target, connection: Connection, request: bytes) -> Answer:
        try:
            connection.writer.write(request)
            answer = await _read(connection.reader)
        except BaseException:
            connection.abort()
            raise
        if answer.reusable:
            self._keep(goal, connection)
        else:
            connection.abort()
        return answer

    async def _connect(self, goal: Target) -> Connection:
        failure: Exception = AddressRefusedError()
        for address in await resolve(goal.host, goal.port, private=self._private or goal.trusted):
            try:
                reader, writer = await asyncio.open_connection(
                    address,
                    goal.port,
                    limit=MAX_HEAD_BYTES,
                    ssl=self._trusted() if goal.tls else None,
                    server_hostname=goal.host if goal.tls else None,
                )
            except OSError as error:
                failure = error
            else:
                return Connection(reader, writer, time.monotonic())
        raise failure

    def _trusted(self) -> ssl.SSLContext:
        self._trust = self._trust or httpx.create_ssl_context()
        return self._trust

    def _take(self, goal: Target) -> Connection | None:
        now = time.monotonic()
        for key, (kept_for, connection) in reversed(self._idle.items()):
            if kept_for == goal:
                del self._idle[key]
                if connection.usable(now):
                    return connection
                connection.abort()
                return None
        return None

    def _keep(self, goal: Target, used: Connection) -> None:
        fresh = Connection(used.reader, used.writer, time.monotonic())
        self._idle[id(used.writer)] = (goal, fresh)
        while self._idle:
            _, (_, oldest) = next(iter(self._idle.items()))
            if len(self._idle) <= self._most_idle and oldest.usable(fresh.idle_since):
                return
            self._idle.popitem(last=False)
            oldest.abort()


def _request(method: bytes, goal: Target, headers: Mapping[str, str], content: bytes) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("ascii")
    line = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method, goal.path, goal.authority)
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (line, fields, len(content), content)


async def _read(reader: asyncio.StreamReader) -> Answer:
    """One answer with its body; interim answers are passed over."""
    try:
        while True:
            status, headers = _head(await reader.readuntil(b"\r\n\r\n"))
            if status >= 200:
                break
        body = await _body(reader, status, headers)
    except (asyncio.LimitOverrunError, ValueError) as error:
        raise AnswerError(str(error)) from None
    reusable = body is not None and headers.get("connection", "").lower() != "close"
    return Answer(status, headers, reusable=reusable, body=body or b"")


def _head(data: bytes) -> tuple[int, dict[str, str]]:
    lines = data.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (rest[:3].isascii() and rest[:3].isdigit()):
        raise AnswerError("not HTTP/1.1")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if version == "HTTP/1.0":
        headers["connection"] = "close"
    return int(rest[:3]), headers


async def _body(reader: asyncio.StreamReader, status: int, headers: Mapping[str, str]) -> bytes | None:
    """A short body; None for another, after which the connection cannot be used."""
    if status in (204, 304):
        return b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader)
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()) or len(length) > 6 or int(length) > MAX_BODY_BYTES:
        return None
    return await reader.readexactly(int(length))


async def _chunks(reader: asyncio.StreamReader) -> bytes | None:
    body = bytearray()
    while len(body) <= MAX_BODY_BYTES:
        size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        if size == 0:
            # No trailers were asked for; with any there the connection is not worth the reading.
            return bytes(body) if await reader.readexactly(2) == b"\r\n" else None
        if not 0 < size <= MAX_BODY_BYTES:
            return None
        body += (await reader.readexactly(size + 2))[:-2]
    return None
