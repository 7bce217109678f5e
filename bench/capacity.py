"""`python -m bench.capacity`: what a member costs each part, for docs/capacity.md; about two minutes.

CPU is that of the server's own process, memory what the server says it uses, bytes are those that a client sent or got.
"""

import json
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg
import redis

from bench.servers import ours, start
from bench.stage import Stage, candidates, open_stage, process_cpu
from service.live import figures, stays
from service.live.disclosure import Outlook, Told
from service.live.feed import dump
from service.live.nodes import View
from service.live.presence import LIMIT, Attribution, Holding, Reply
from service.live.scripts import Slot, Timing, call, slots_of

MEMBERS = 200_000
ROWS = 200_000
ENDS = 4_000
BRANCHES = 20_000
TIMING = Timing(lease=3_600_000, stale=3_600_000)
SLOT = Slot(1_000_001)

Cost = tuple[str, float, str]


def main() -> None:
    """Print every cost, one a line."""
    with open_stage() as stage:
        for measure in (in_valkey, in_small_flushes, in_readings, in_postgres, in_the_kernel, on_the_wire):
            for name, value, unit in measure(stage):
                print(f"{name:<58} {value:>12,.1f} {unit}", flush=True)


def attribution(member: int) -> Attribution:
    """A branch five levels deep out of 20,000, a county out of 70."""
    branch = member % BRANCHES
    home = f"1.{2 + branch % 5}.{10 + branch % 50}.{100 + branch % 1000}.{10_000 + branch}"
    return Attribution(home, f"54.54{1 + branch % 7:02d}.54{1 + branch % 7:02d}{1 + branch % 70:02d}", "h5", "hls")


def push(client: redis.Redis, holding: Holding, *, renew: bool = False) -> None:
    """Flush until nothing waits, by the synchronous client."""
    while (batch := holding.batch(renew=renew)) is not None:
        renew = False
        arguments = batch.arguments(TIMING)[1:]
        holding.acknowledge(Reply.parse(call(client, "flush", holding.slot, *arguments, boot=batch.boot)))


def spent(stage: Stage, act: Callable[[], object]) -> float:
    """Microseconds of Valkey's CPU."""
    before = process_cpu(stage.valkey.process)
    act()
    return (process_cpu(stage.valkey.process) - before) * 1e6


def memory(client: redis.Redis) -> int:
    """Bytes that Valkey has given out."""
    return int(client.info("memory")["used_memory"])


def in_valkey(stage: Stage) -> Iterator[Cost]:
    """Everybody joins, leaves, comes again, is reaped; in full batches."""
    with redis.Redis.from_url(stage.valkey.url) as client:
        before, holding = memory(client), Holding(SLOT)
        for member in range(MEMBERS):
            holding.join(member, attribution(member))
            holding.connect()
        yield f"Valkey: a join, in batches of {LIMIT}", spent(stage, lambda: push(client, holding)) / MEMBERS, "µs"
        yield "Valkey: memory of a member online", (memory(client) - before) / MEMBERS, "bytes"
        everybody = range(MEMBERS)
        slots = (SLOT,)
        noting = spent(stage, lambda: figures.note_check_ins(client, slots, everybody))
        yield f"Valkey: a check-in noted, in batches of {LIMIT}", noting / MEMBERS, "µs"
        for member in range(MEMBERS // 2):
            holding.leave(member)
            holding.disconnect()
        yield (
            f"Valkey: a leave, in batches of {LIMIT}",
            spent(stage, lambda: push(client, holding)) / (MEMBERS // 2),
            "µs",
        )
        expired = Timing(lease=-1, stale=-1)

        def reap() -> None:
            while figures.reap(client, SLOT, holding.boot, timing=expired) > 0:
                pass

        yield "Valkey: a member of a dead gateway, reaped", spent(stage, reap) / (MEMBERS // 2), "µs"
        client.flushall()


def in_small_flushes(stage: Stage) -> Iterator[Cost]:
    """What a flush costs by itself: every gateway worker sends ten a second to every slot while people come."""
    with redis.Redis.from_url(stage.valkey.url) as client:
        holding = Holding(SLOT)
        holding.join(0, attribution(0))
        push(client, holding)
        calls = 5_000

        def renew() -> None:
            for _ in range(calls):
                push(client, holding, renew=True)

        def trickle() -> None:
            for member in range(1, calls + 1):
                holding.join(member, attribution(member))
                push(client, holding)

        bare = spent(stage, renew) / calls
        yield "Valkey: a flush of nobody (the renewal of a lease)", bare, "µs"
        yield "Valkey: a flush of one member", spent(stage, trickle) / calls, "µs"
        client.flushall()


def in_readings(stage: Stage) -> Iterator[Cost]:
    """What an organisers' snapshot of a node with 20 children costs, by slot, and how many bytes it is."""
    organisations, places, calls = range(1, 22), [f"54{number:02}" for number in range(21)], 2_000
    with redis.Redis.from_url(stage.valkey.url) as client:
        for shards in (1, 4, 16):
            slots = slots_of(SLOT.stream, shards)

            def read(slots: tuple[Slot, ...] = slots) -> None:
                for _ in range(calls):
                    figures.read_snapshot(client, slots, timing=TIMING, organisations=organisations, places=places)

            own = os.times()
            theirs = spent(stage, read) / calls
            now = os.times()
            reading = (now.user + now.system - own.user - own.system) / calls * 1e6
            yield f"Valkey: a snapshot of 42 nodes, {shards} slots", theirs, "µs"
            yield f"web: reading it, {shards} slots", reading, "µs"
    begin = time.process_time()
    for _ in range(calls):
        text = snapshot()
    yield "web: making an event of it, a node and 20 children a tree", (time.process_time() - begin) / calls * 1e6, "µs"
    yield "web: bytes of the event", float(len(text.encode())), "bytes"


def snapshot() -> str:
    """The event as JSON."""
    names = [(number, "某某市某某区党委") for number in range(21)]
    there = [(f"54{number:02}", "西藏某某县") for number in range(21)]
    view = View((SLOT,), names[0], tuple(names[1:]), there[0], tuple(there[1:]), Outlook((), frozenset()))
    now = datetime.now(UTC)
    counts = dict.fromkeys(("online", "connections", "joined", "peak", "checked_in"), 10_000_000)
    known = {"stream": 7, "epoch": "1795440889-453947", "seq": 10_000_000, "as_of": now, "peak_at": now, "in_doubt": 0}
    channels = dict.fromkeys(("mini_program", "official_account", "android", "ios", "h5"), 2_000_000)
    told = known | counts | {"basis": "exact", "reason": None}
    homes = {number: 500_000 for number, _ in names}
    parts = Told(homes, {code: 500_000 for code, _ in there}, channels, {"hls": 10_000_000})
    return json.dumps(["snapshot", dump(told, view, parts)], ensure_ascii=False)


def in_postgres(stage: Stage) -> Iterator[Cost]:
    """A stay opened and closed, as a gateway's clerk writes them: 2,000 a statement."""
    gateway, prefix = str(uuid.uuid4()), "00000000000080008000"
    rows = [
        stays.Row(number, 1, stage.stream, number, *attribution(number), joined=1.0, gone=None)
        for number in range(ROWS)
    ]
    closed = [row._replace(gone=2.0) for row in rows]
    with psycopg.connect(stage.postgres.url, autocommit=True) as link:
        stays.heartbeat(gateway)(link)
        link.execute("CHECKPOINT")
        wal = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8"
        logged = link.execute(wal).fetchone()[0]  # type: ignore[index]
        for name, part in (("opened", rows), ("closed", closed)):
            before, begin = process_cpu(stage.postgres.process), os.times().elapsed
            for first in range(0, ROWS, stays.BATCH):
                stays.writing(part[first : first + stays.BATCH], prefix=prefix, gateway=gateway, offset=0.0)(link)
            seconds = os.times().elapsed - begin
            used = process_cpu(stage.postgres.process) - before
            yield f"PostgreSQL: CPU of a stay {name}", used / ROWS * 1e6, "µs"
            yield f"PostgreSQL: stays {name} a second by one connection", ROWS / seconds, ""
        yield "PostgreSQL: log of a stay, opened and closed", (link.execute(wal).fetchone()[0] - logged) / ROWS, "bytes"  # type: ignore[index]
        link.execute("VACUUM FULL stays")
        size = link.execute("SELECT pg_total_relation_size('stays')::float8").fetchone()[0]  # type: ignore[index]
        yield "PostgreSQL: a stay with its indexes, at rest", size / ROWS, "bytes"


def in_the_kernel(stage: Stage) -> Iterator[Cost]:
    """Idle TCP connections within this process: what the kernel's slabs grow by, ÷ ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=ENDS) as listener:
        before, held = slab(), list[socket.socket]()
        while len(held) < ENDS:
            held.append(socket.create_connection(listener.getsockname()))
            held.append(listener.accept()[0])
        yield "kernel: memory of one end of an idle connection", (slab() - before) / ENDS, "bytes"
        for end in held:
            end.close()


def slab() -> int:
    """Bytes in the kernel's slabs."""
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Slab:"))


class Meter:
    """A member's socket that counts: plain WebSocket frames, as the JavaScript client sends them."""

    def __init__(self, port: int) -> None:
        self.sent = self.got = 0
        self._socket = socket.create_connection(("127.0.0.1", port), 10)

    def send(self, data: bytes) -> None:
        self.sent += len(data)
        self._socket.sendall(data)

    def packet(self, text: str) -> None:
        """One masked text frame."""
        body = text.encode()
        size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
        self.send(b"\x81" + size + bytes(4) + body)

    def hear(self, wanted: bytes) -> None:
        """Read until `wanted` was in it."""
        found = b""
        while wanted not in found:
            data = self._socket.recv(65_536)
            if not data:
                raise RuntimeError(f"closed before {wanted!r}: {found!r}")
            found += data
        self.got += len(found)

    def told(self) -> tuple[int, int]:
        """Bytes sent and got since the last call."""
        answer = self.sent, self.got
        self.sent = self.got = 0
        return answer


def on_the_wire(stage: Stage) -> Iterator[Cost]:
    """Payload of TCP; every packet carries 40 bytes of IPv4 and TCP headers besides, 52 with time stamps."""
    quick = {"PING_INTERVAL_SECONDS": "2", "PING_TIMEOUT_SECONDS": "1", "COUNT_SECONDS": "1.5"}
    server = ours()
    server.environment.update(quick)
    with start(server, stage) as running:
        member = Meter(int(running.url.rpartition(":")[2]))
        member.send(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: live.example.org\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Origin: https://example.org\r\n\r\n"
        )
        member.hear(b'"sid"')
        [one] = candidates(1, first=1_234_567)
        member.packet("40" + json.dumps({"token": one.token, "channel": one.channel, "source": one.source}))
        member.hear(b'40{"sid"')
        member.packet(f'420["join",{{"stream":{stage.stream}}}]')
        member.hear(b'"count"')
        for name, count in zip(("sent", "got"), member.told(), strict=True):
            yield f"wire: bytes a member {name} from the first to the join's answer", float(count), "bytes"
        yield from beats(member)


def beats(member: Meter) -> Iterator[Cost]:
    """A ping with its pong, and a count."""
    heard = dict[str, int]()
    while len(heard) < 2:
        data = member._socket.recv(65_536)
        if data == b"\x81\x012":
            member.packet("3")
            heard["wire: a ping and its pong"] = len(data) + member.told()[0]
        elif data.startswith(b"\x81") and b'"count"' in data:
            heard["wire: a count pushed to a member"] = len(data)
    yield from ((name, float(count), "bytes") for name, count in heard.items())


if __name__ == "__main__":
    print(f"members {MEMBERS:,}, rows {ROWS:,}", file=sys.stderr)
    main()
