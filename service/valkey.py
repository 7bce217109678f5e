"""The one client of Valkey (redis-py), single or cluster. Each room owns a key prefix; `live:` is the live room's.

Promises, for both kinds: a client is made without a connection; a command gives up after `valkey_timeout_seconds` and
is never sent again after its reply was lost, because the callers' protocols decide what a lost reply means and a silent
second attempt would hide it; whatever goes wrong is a redis.RedisError. Only a node's own "not here" (MOVED, ASK,
TRYAGAIN), which executed nothing, is followed.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.backoff
import redis.retry
from flask import current_app
from redis._parsers import AsyncCommandsParser
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.cluster import ClusterNode
from redis.commands.core import AsyncScript, DataAccessCommands, Script, ScriptCommands
from redis.connection import parse_url
from redis.event import EventDispatcher
from redis.exceptions import ClusterError, NoScriptError, RedisClusterException

from service.config import CLUSTER_SCHEMES, Config


def connect(config: Config) -> redis.Redis:
    """A synchronous client."""
    retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    if is_cluster(config):
        return cast(redis.Redis, Cluster(config.redis_url, retry=retry, **_patience(config)))
    return redis.Redis.from_url(config.redis_url, retry=retry, **_patience(config))


def connect_async(config: Config) -> redis.asyncio.Redis:
    """The same for an asyncio loop."""
    retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
    if is_cluster(config):
        nodes, login = parse_cluster(config.redis_url)
        seeds = [AsyncClusterNode(host, port) for host, port in nodes]
        return cast(redis.asyncio.Redis, AsyncCluster(startup_nodes=seeds, retry=retry, **login, **_patience(config)))
    return AsyncSingle.from_url(config.redis_url, retry=retry, **_patience(config))


def client() -> redis.Redis:
    """The current application's client."""
    found: redis.Redis = current_app.extensions["valkey"]
    return found


def is_cluster(config: Config) -> bool:
    """Whether the settings name a cluster."""
    return config.redis_url.split("://", 1)[0] in CLUSTER_SCHEMES


def parse_cluster(url: str) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """The nodes in redis+cluster://[user:password@]host:port[,host:port…], and what each of them is told."""
    scheme, rest = url.split("+cluster://", 1)
    login, at, hosts = rest.rstrip("/").rpartition("@")
    read: Callable[[str], dict[str, Any]] = parse_url
    found = [read(f"{scheme}://{login}{at}{host}") for host in hosts.split(",")]
    told = {name: found[0][name] for name in ("username", "password") if name in found[0]}
    return [(one["host"], one["port"]) for one in found], told | ({"ssl": True} if scheme == "rediss" else {})


@contextmanager
def cluster_errors() -> Iterator[None]:
    """Turn "the cluster cannot serve now" into redis.ConnectionError; redis-py's own are not even a RedisError."""
    try:
        yield
    except (RedisClusterException, ClusterError) as error:
        raise redis.ConnectionError(f"{type(error).__name__}: {error}") from error


@contextmanager
def loop_errors() -> Iterator[None]:
    """Turn uvloop's refusal to write to a connection that closed since redis-py looked into redis.ConnectionError."""
    try:
        yield
    except RuntimeError as error:
        if "closed" not in str(error):
            raise
        raise redis.ConnectionError("closed meanwhile") from error


class AsyncSingle(redis.asyncio.Redis):
    """One server, for an asyncio loop."""

    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Run a command."""
        with loop_errors():
            return await super().execute_command(*arguments, **options)  # type: ignore[no-untyped-call]


class Cluster(DataAccessCommands, ScriptCommands):
    """A cluster that is sought at the first command: redis-py's client cannot be made while Valkey is away.

    It has the commands on keys, all of them of one slot, and scripts.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self._url = url
        self._options = options
        self._event_dispatcher = EventDispatcher()
        self._found: Any = None
        self._seeking = threading.Lock()

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Run a command on the node that has its keys."""
        with cluster_errors():
            return self._cluster().execute_command(*arguments, **options)

    def register_script(self, script: Any) -> Script:
        """A script that any node can run."""
        return ClusterScript(cast(redis.RedisCluster, self), script.encode())

    def close(self) -> None:
        """End all connections."""
        if self._found is not None:
            self._found.close()

    def _cluster(self) -> Any:
        with self._seeking:
            if self._found is None:
                nodes, login = parse_cluster(self._url)
                node: Callable[[str, int], ClusterNode] = ClusterNode
                seeds = [node(host, port) for host, port in nodes]
                self._found = redis.RedisCluster(startup_nodes=seeds, **login, **self._options)
            return self._found


class LateCommandTable(AsyncCommandsParser):
    """Fetches the table of commands for the first one that needs it; scripts, which say their keys, never do.

    redis-py's fetches it after every failure: 40 ms of the gateway's loop, and a dead node to ask for it.
    """

    async def initialize(self, node: AsyncClusterNode | None = None) -> None:
        """With a node: that is the one to ask. Without: ask it."""
        if node is None:
            await super().initialize()
        else:
            self.node = node


class AsyncCluster(redis.asyncio.RedisCluster):
    """The same for an asyncio loop."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands_parser = LateCommandTable()

    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Run a command on the node that has its keys."""
        with cluster_errors(), loop_errors():
            return await super().execute_command(*arguments, **options)

    def register_script(self, script: Any) -> Any:
        """A script that any node can run."""
        return AsyncClusterScript(self, script.encode())

    async def aclose(self) -> None:
        """End all connections; redis-py's leaves some open when the last command failed."""
        await super().aclose()
        await self.nodes_manager.aclose()
        await self.nodes_manager.aclose("startup_nodes")


class ClusterScript(Script):
    """A script that travels with its text when a node does not know it: after a failover the new master does not.

    redis-py's own would load it into every master, and so fail while any of them is away.
    """

    def __call__(self, keys: Any = None, args: Any = None, client: Any = None) -> Any:
        """Execute it where its keys are."""
        target, parameters = client or self.registered_client, (len(keys), *keys, *args)
        try:
            return target.evalsha(self.sha, *parameters)
        except NoScriptError:
            return target.execute_command("EVAL", self.script, *parameters)


class AsyncClusterScript(AsyncScript):
    """The same for an asyncio loop."""

    async def __call__(self, keys: Any = None, args: Any = None, client: Any = None) -> Any:
        """Execute it where its keys are."""
        target, parameters = client or self.registered_client, (len(keys), *keys, *args)
        try:
            return await target.evalsha(self.sha, *parameters)
        except NoScriptError:
            return await target.execute_command("EVAL", self.script, *parameters)


def _patience(config: Config) -> dict[str, Any]:
    return {
        "socket_timeout": config.valkey_timeout_seconds,
        "socket_connect_timeout": config.valkey_timeout_seconds,
    }
