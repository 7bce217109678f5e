"""What goes wrong on the way to Valkey is a redis.RedisError, whoever noticed it."""

import asyncio

import pytest
import redis
import uvloop

from service.valkey import loop_errors


def test_a_connection_that_closed_since_it_was_looked_at_is_an_error_of_redis() -> None:
    async def story() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.transport.abort()
        await writer.wait_closed()
        with pytest.raises(redis.ConnectionError), loop_errors():
            writer.writelines([b"a command"])
        server.close()

    uvloop.run(story())


def test_no_other_error_is_taken_for_one() -> None:
    with pytest.raises(RuntimeError, match="another"), loop_errors():
        raise RuntimeError("another")
