"""What a rehearsal is told, what it reports on the way, and what it counted at the end.

All of it is plain data that survives JSON: the members run in processes of their own.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Candidate:
    """One synthetic member: a WeChat openid with, the first time, an invitation; or a token already issued."""

    openid: str = ""
    invitation: str | None = None
    token: str | None = None
    channel: str = "mini_program"
    source: str = "hls"


@dataclass(frozen=True, slots=True)
class Plan:
    """A rehearsal: whom, where to, along which curve, and how they behave.

    `url` is the REST base, `gateway_url` the members' socket, `wechat_api_url` the sandbox that mints codes
    (not needed when every candidate has a token). With `stay` the members stay with gentle churn until
    stopped; otherwise they leave after the plateau. Shares are of the members, churn is a share a minute;
    who wanders off is back within `away_seconds`. At the end they wait for the acknowledgement of their leave, or, as
    a page that is closed, do not. `second_device_share` of them join at a second device as well, `drop_share` of the
    devices drop and come back at the word `drop`.
    """

    gateway_url: str
    stream: int
    members: tuple[Candidate, ...]
    url: str = ""
    activity: int = 0
    wechat_api_url: str = ""
    curve: str = "founding-day"
    arrival_seconds: float = 60.0
    plateau_seconds: float = 30.0
    leave_seconds: float = 5.0
    leave_acknowledged: bool = True
    quiet_seconds: float = 2.0
    churn_per_minute: float = 0.10
    away_seconds: float = 6.0
    drop_share: float = 0.05
    repeat_share: float = 0.02
    second_device_share: float = 0.0
    check_in_share: float = 0.80
    check_in_repeat_share: float = 0.02
    login_lanes: int = 16
    window: int = 400
    stay: bool = False
    seed: int = 20230920

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        values["members"] = tuple(Candidate(**one) for one in values["members"])
        return cls(**values)


@dataclass(slots=True)
class Tally:
    """What the members of one process counted themselves, without asking the server.

    `settled`, `failed` and whatever is under way are devices. `online` is the number of members whose join was
    accepted at a device that neither left nor lost its connection, `connections` that of such devices; `away` are
    members who dropped and will return: a server with grace shows a count between `online` and `online + away`. A
    stay begins with an accepted join that was not a repeat.
    `watch_seconds` runs from the acceptance, `watch_seconds_asked` from the moment of asking.
    `asking` and `leaving` are joins and leaves under way, `leaving` also those who left to join again; `reached`
    are members that heard a message since the last word `listen`.
    """

    members: int = 0
    devices: int = 0
    logged_in: int = 0
    settled: int = 0
    failed: int = 0
    online: int = 0
    connections: int = 0
    away: int = 0
    asking: int = 0
    leaving: int = 0
    reached: int = 0
    joined: int = 0
    stays: int = 0
    repeats: int = 0
    dropped: int = 0
    left: int = 0
    lost: int = 0
    in_doubt: int = 0
    checked_in: int = 0
    check_in_repeats: int = 0
    counts_heard: int = 0
    watch_seconds: float = 0.0
    watch_seconds_asked: float = 0.0
    cpu_seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    latency_ms: Counter[int] = field(default_factory=Counter)

    def __add__(self, other: Self) -> Self:
        """Return both tallies as one."""
        return type(self)(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON (`asdict` miscounts a Counter)."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` gave, after JSON made text of the latency keys."""
        latency = Counter({int(key): number for key, number in values["latency_ms"].items()})
        return cls(**{**values, "errors": Counter(values["errors"]), "latency_ms": latency})


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rehearsal is: its phase, its own tally, and the count that its members last heard.

    The tally adds up what the processes said between `oldest` and `newest` (Unix seconds).
    """

    phase: str
    seconds: float
    tally: Tally
    count: int | None = None
    basis: str | None = None
    oldest: float = 0.0
    newest: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """What the members counted by the end, `peak` and the curve (seconds, online) included."""

    members: int
    devices: int
    logged_in: int
    joined: int
    stays: int
    repeats: int
    peak: int
    online_at_end: int
    checked_in: int
    check_in_repeats: int
    watch_seconds: float
    watch_seconds_asked: float
    dropped: int
    left: int
    lost: int
    in_doubt: int
    failed: int
    counts_heard: int
    join_ms: dict[str, int]
    errors: dict[str, int]
    generators: int
    generator_cpu_seconds: float
    seconds: float
    online: list[tuple[float, int]]

    def to_json(self) -> str:
        """One JSON object on one line."""
        return json.dumps(asdict(self), ensure_ascii=False)


def percentiles(latency: Counter[int]) -> dict[str, int]:
    """p50, p95, p99 and the maximum of a histogram of milliseconds; nothing of an empty one."""
    total = sum(latency.values())
    found: dict[str, int] = {}
    seen = 0
    for milliseconds, number in sorted(latency.items()):
        seen += number
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
            if name not in found and seen >= share * total:
                found[name] = milliseconds
    return found
