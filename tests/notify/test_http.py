"""The client against servers that answer as they like."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.notify.channels.http import Answer, AnswerError, Client, target

MOST_IDLE = 8
Story = Callable[[Client, str], Awaitable[None]]


def served(*answers: bytes, story: Story) -> int:
    """Run `story` against a server that answers each request on a connection with the next of `answers`;
    how many connections it took. After the last answer it closes."""
    connections = 0

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            for answer in answers:
                await reader.readuntil(b"\r\n\r\n{}")
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        client = Client(private=True, most_idle=MOST_IDLE)
        port = server.sockets[0].getsockname()[1]
        await story(client, f"http://127.0.0.1:{port}/hook")
        client.close()
        server.close()
        await asyncio.sleep(0.01)

    asyncio.run(run())
    return connections


async def post(client: Client, url: str) -> Answer:
    return await client.post(target(url), headers={}, content=b"{}")


NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        NO_CONTENT,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + NO_CONTENT,
    ],
)
def test_a_connection_is_used_again(answer: bytes) -> None:
    async def story(client: Client, url: str) -> None:
        for _ in range(3):
            assert (await post(client, url)).status in (200, 204)

    assert served(*[answer] * 3, story=story) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
    ],
)
def test_a_connection_is_not_used_again(answer: bytes) -> None:
    async def story(client: Client, url: str) -> None:
        for _ in range(2):
            assert (await post(client, url)).status == 200

    assert served(answer, answer, story=story) == 2


def test_a_connection_closed_meanwhile_is_replaced_without_a_failure() -> None:
    async def story(client: Client, url: str) -> None:
        for _ in range(3):
            assert (await post(client, url)).status == 204

    assert served(NO_CONTENT, story=story) == 3


def test_only_so_many_connections_are_kept() -> None:
    async def story(client: Client, url: str) -> None:
        await asyncio.gather(*(post(client, url) for _ in range(20)))
        assert len(client._idle) == MOST_IDLE

    assert served(NO_CONTENT, NO_CONTENT, story=story) == 20


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_is_an_error(answer: bytes) -> None:
    async def story(client: Client, url: str) -> None:
        with pytest.raises(AnswerError):
            await post(client, url)

    served(answer, story=story)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda tail: b"HTTP/1.1 200 OK\r\n" + tail)))
def test_any_bytes_end_in_an_answer_or_a_known_error(answer: bytes) -> None:
    async def story(client: Client, url: str) -> None:
        with contextlib.suppress(AnswerError, EOFError, ConnectionError):
            await asyncio.wait_for(post(client, url), 5)

    served(answer, story=story)
