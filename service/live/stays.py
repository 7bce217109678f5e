"""The history of stays: what waits to be written, and how it is written.

A stay is one connection's continuous presence in a stream, keyed by (connection, sequence). Promises: an upsert that
may be repeated at will; the owner's close overrides a reaper's, never the other way round; an open stay costs no memory
of its own while it waits (it is read from its connection), closed ones wait up to a bound and are counted beyond it.
"""

from collections import deque
from typing import Any, NamedTuple, Protocol

import psycopg
import structlog

from service import arrays
from service.live.clerk import Job, Link

BATCH = 2000

log = structlog.get_logger(__name__)

_UPSERT = """
INSERT INTO stays AS kept (connection, sequence, stream_id, member_id, gateway_id, organisation_path, place_path,
                           channel, source, joined_at, left_at, closed_by)
SELECT (%(prefix)s || lpad(to_hex(number), 12, '0'))::uuid, sequence, stream, member, %(gateway)s::uuid,
       organisation, place, channel, source, to_timestamp(joined / 1e6),
       CASE WHEN gone IS NOT NULL THEN to_timestamp(greatest(gone, joined) / 1e6) END,
       CASE WHEN gone IS NOT NULL THEN 'owner' END
FROM unnest(%(number)s::bigint[], %(sequence)s::int[], %(stream)s::bigint[], %(member)s::bigint[],
            %(organisation)s::text[], %(place)s::text[], %(channel)s::text[], %(source)s::text[],
            %(joined)s::bigint[], %(gone)s::bigint[])
     AS t(number, sequence, stream, member, organisation, place, channel, source, joined, gone)
ON CONFLICT (connection, sequence) DO UPDATE
   SET left_at = greatest(excluded.left_at, kept.joined_at), closed_by = excluded.closed_by
 WHERE excluded.left_at IS NOT NULL AND kept.closed_by IS DISTINCT FROM 'owner'
"""

_HEARTBEAT = """
INSERT INTO gateways AS kept (id, started_at, heard_at) VALUES (%s, clock_timestamp(), clock_timestamp())
ON CONFLICT (id) DO UPDATE SET heard_at = excluded.heard_at
RETURNING extract(epoch FROM clock_timestamp())::float8
"""


class Row(NamedTuple):
    """One stay; times in seconds of the monotonic clock, `gone` None while it lasts."""

    number: int
    sequence: int
    stream: int
    member: int
    organisation: str
    place: str
    channel: str
    source: str
    joined: float
    gone: float | None


class Staying(Protocol):
    """What a connection shows of its stay."""

    stay_written: bool

    def stay(self) -> Row | None:
        """The stay that lasts now, None when there is none."""


class Stays:
    """What one worker has still to write. Pure: `take` gives a batch, `written` or `put_back` ends it."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._opened: list[Staying] = []
        self._closed: deque[Row] = deque()
        self._batch: list[Row] = []
        self.rows = self.lost = 0  # written, and not

    def __len__(self) -> int:
        return len(self._batch) + len(self._opened) + len(self._closed)

    def open(self, owner: Staying) -> None:
        """A stay begins."""
        owner.stay_written = False
        self._opened.append(owner)

    def close(self, row: Row) -> None:
        """A stay has ended; beyond the bound it is lost, and counted."""
        if len(self._closed) >= self._capacity:
            self.lost += 1
        else:
            self._closed.append(row)

    def take(self, limit: int = BATCH) -> list[Row]:
        """The next rows to write, at most one per key; the same ones again until `written`."""
        if not self._batch:
            self._batch = self._take_closed(limit)
            self._take_opened(limit)
        return self._batch

    def written(self, refused: int = 0) -> None:
        """The batch is in the database, but for the rows that it refused."""
        self.rows += len(self._batch) - refused
        self.lost += refused
        self._batch = []

    def _take_closed(self, limit: int) -> list[Row]:
        closed = self._closed
        return [closed.popleft() for _ in range(min(limit, len(closed)))]

    def _take_opened(self, limit: int) -> None:
        """Opens that still last: one that ended meanwhile is a closed row, one that was taken is marked."""
        while self._opened and len(self._batch) < limit:
            owner = self._opened.pop()
            row = None if owner.stay_written else owner.stay()
            if row is not None:
                owner.stay_written = True
                self._batch.append(row)


def writing(rows: list[Row], *, prefix: str, gateway: str, offset: float) -> Job[int]:
    """A job that writes `rows` and gives how many of them could not be; `offset` makes our clock the database's."""

    def write(connection: Link) -> int:
        return _write(connection, rows, {"prefix": prefix, "gateway": gateway}, offset)

    return write


def _write(connection: Link, rows: list[Row], fixed: dict[str, Any], offset: float) -> int:
    """Write all, or find the rows that PostgreSQL refuses by halving: one bad row must not hold up the others."""
    try:
        connection.execute(_UPSERT, fixed | _columns(rows, offset))
    except (psycopg.DataError, psycopg.IntegrityError, ValueError) as error:
        if len(rows) == 1:
            log.error("stay refused", error=type(error).__name__, stream=rows[0].stream)
            return 1
        half = len(rows) // 2
        return _write(connection, rows[:half], fixed, offset) + _write(connection, rows[half:], fixed, offset)
    return 0


def _columns(rows: list[Row], offset: float) -> dict[str, str]:
    """The columns as arrays."""
    number, sequence, stream, member, organisation, place, channel, source, joined, gone = zip(*rows, strict=True)
    numbers = {"number": number, "sequence": sequence, "stream": stream, "member": member}
    texts = {"organisation": organisation, "place": place, "channel": channel, "source": source}
    times = {"joined": joined, "gone": gone}
    return (
        {name: arrays.plain(map(str, values)) for name, values in numbers.items()}
        | {name: arrays.quoted(values) for name, values in texts.items()}
        | {name: arrays.plain(_moment(value, offset) for value in values) for name, values in times.items()}
    )


def _moment(value: float | None, offset: float) -> str:
    """Whole microseconds, as fine as PostgreSQL is: an integer is written in a fifth of the time of a float."""
    return "NULL" if value is None else str(round((value + offset) * 1e6))


def heartbeat(gateway: str) -> Job[float]:
    """A job that says the gateway lives and gives the database's clock in Unix seconds."""

    def beat(connection: Link) -> float:
        found = connection.execute(_HEARTBEAT, (gateway,)).fetchone()
        return float(found[0]) if found else 0.0

    return beat
