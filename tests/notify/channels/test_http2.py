"""Our HTTP/2 client against a server that is not ours, with TLS and ALPN."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from cryptography import x509
from hypercorn.asyncio import serve
from hypercorn.config import Config

from service.notify.channels.addresses import AddressRefusedError
from service.notify.channels.http import Answer, AnswerError, target
from service.notify.channels.http2 import ConnectionEndedError, Pool
from tests.notify.test_tls import write_certificate
from tests.ports import free_port


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application that answers with what it was sent and under which version."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    headers = [(b"x-version", scope["http_version"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def against_hypercorn(folder: Path, story: Callable[[Pool, str], Awaitable[None]], *, protocols: list[str]) -> None:
    file = write_certificate(folder, x509.DNSName("localhost"))

    async def within() -> None:
        port = free_port()
        config = Config()
        config.bind, config.certfile, config.keyfile = [f"127.0.0.1:{port}"], str(file), str(file)
        config.alpn_protocols, config.loglevel = protocols, "CRITICAL"
        stop = asyncio.Event()
        running = asyncio.create_task(serve(echo, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
        trust = ssl.create_default_context(cafile=str(file))
        trust.set_alpn_protocols(["h2"])
        pool = Pool(private=True, trust=trust)
        url = f"https://localhost:{port}/"
        await up(port)
        try:
            await story(pool, url)
        finally:
            pool.close()
            stop.set()
            await running

    asyncio.run(asyncio.wait_for(within(), 30))


async def up(port: int) -> None:
    """Wait until somebody listens."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


async def post(pool: Pool, url: str, content: bytes = b"{}") -> Answer:
    return await pool.post(target(url), headers={"x-a": "b"}, content=content)


def test_many_requests_at_once_on_one_connection(tmp_path: Path) -> None:
    async def story(pool: Pool, url: str) -> None:
        bodies = [f"{number}".encode() * 500 for number in range(300)]
        answers = await asyncio.gather(*(post(pool, url, body) for body in bodies))
        assert [answer.body for answer in answers] == bodies
        assert {answer.headers["x-version"] for answer in answers} == {"2"}
        assert len(pool._connections) == 1

    against_hypercorn(tmp_path, story, protocols=["h2"])


def test_a_server_without_http2_is_an_error(tmp_path: Path) -> None:
    async def story(pool: Pool, url: str) -> None:
        with pytest.raises(AnswerError):
            await post(pool, url)

    against_hypercorn(tmp_path, story, protocols=["http/1.1"])


class Narrow(asyncio.Protocol):
    """A server that takes its time to say how many requests it takes, and opens its window when it answers."""

    def __init__(self, streams: int) -> None:
        self._state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._state.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: streams}
        )
        self._early: bytearray | None = bytearray()
        self._open: dict[int, int] = {}
        self.most = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        asyncio.get_running_loop().call_later(0.05, self._begin)

    def _begin(self) -> None:
        early, self._early = bytes(self._early or b""), None
        self._state.initiate_connection()
        self.data_received(early)

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            return
        for event in self._state.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._open[event.stream_id] = 0
                self.most = max(self.most, len(self._open))
            elif isinstance(event, h2.events.DataReceived):
                self._open[event.stream_id] += event.flow_controlled_length
            elif isinstance(event, h2.events.StreamEnded):
                asyncio.get_running_loop().call_later(0.01, self._answer, event.stream_id)
        self._flush()

    def _answer(self, stream: int) -> None:
        self._state.acknowledge_received_data(self._open.pop(stream), stream)
        self._state.send_headers(stream, [(":status", "200")], end_stream=True)
        self._flush()

    def _flush(self) -> None:
        self._transport.write(self._state.data_to_send())


@pytest.mark.parametrize(("streams", "size", "most"), [(3, 10, 3), (20, 10, 20), (10, 16_000, 4)])
def test_never_more_at_once_than_the_server_takes_and_as_many(streams: int, size: int, most: int) -> None:
    async def story() -> None:
        narrow = Narrow(streams)
        server = await asyncio.get_running_loop().create_server(lambda: narrow, "127.0.0.1", 0)
        pool, url = Pool(private=True), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        answers = await asyncio.gather(*(post(pool, url, b"x" * size) for _ in range(60)))
        assert {answer.status for answer in answers} == {200}
        assert narrow.most == most
        pool.close()
        server.close()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_connection_that_fell_silent_is_not_used_again() -> None:
    connections = []

    async def converse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.write(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")  # empty SETTINGS, and then nothing more

    async def story() -> None:
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        pool, url = Pool(private=True), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        # Something came on the first one's connection after it was sent, so only the second finds the silence.
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(post(pool, url), 0.2)
        assert len(connections) == 2
        pool.close()
        server.close()
        for writer in connections:
            writer.close()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_one_slow_answer_ends_no_connection_on_which_others_come() -> None:
    async def story() -> None:
        narrow = Narrow(3)
        server = await asyncio.get_running_loop().create_server(lambda: narrow, "127.0.0.1", 0)
        pool, url = Pool(private=True), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await post(pool, url)
        (connection,) = pool._connections.values()
        slow = asyncio.create_task(post(pool, url))
        await asyncio.sleep(0)
        narrow._answer = lambda stream: None  # type: ignore[method-assign]
        await asyncio.sleep(0.02)
        connection._heard = asyncio.get_running_loop().time()  # another's answer
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        assert connection.open
        pool.close()
        server.close()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_private_address_is_refused_unless_the_operator_named_it() -> None:
    async def story() -> None:
        pool, goal = Pool(), "http://127.0.0.1:9/"
        with pytest.raises(AddressRefusedError):
            await post(pool, goal)
        with pytest.raises(ConnectionRefusedError):
            await pool.post(target(goal, trusted=True), headers={}, content=b"")

    asyncio.run(story())


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 40, b""])
def test_what_is_not_http2_ends_the_connection(answer: bytes) -> None:
    async def converse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        pool = Pool(private=True)
        with pytest.raises(ConnectionEndedError):
            await asyncio.wait_for(post(pool, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"), 5)
        pool.close()
        server.close()

    asyncio.run(story())
