"""The gateway's guards as pure rules: origins, addresses, devices, pressure and pace."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config import Config, ConfigError
from service.live import memory
from service.live.addresses import Addresses, packed
from service.live.devices import Devices
from service.live.origins import Origins
from service.live.pace import Bounds, Pace
from service.live.pressure import LEAST, RETRY_SECONDS, STRETCH_LIMIT, Pressure

CONFIG = Config(database_url="postgresql://x", redis_url="redis://x", secret_key="s" * 32)

# Origins.


@pytest.mark.parametrize(
    ("allowed", "origin", "may"),
    [
        ("*", "https://servicewechat.com", True),
        ("*", "null", True),
        ("https://day.example.org", "https://day.example.org", True),
        ("https://Day.example.org", "https://dAy.example.org", True),
        ("https://day.example.org", "http://day.example.org", False),
        ("https://day.example.org", "https://day.example.org:8443", False),
        ("https://day.example.org", "https://day.example.org.evil.example", False),
        ("https://*.example.org", "https://a.b.example.org", True),
        ("https://*.example.org", "https://example.org", False),
        ("https://*.example.org", "https://.example.org", False),
        ("https://*.example.org", "https://evilexample.org", False),
        ("https://*.example.org", "null", False),
        ("https://*.example.org:8443", "https://a.example.org:8443", True),
        ("null, https://a.example", "null", True),
    ],
)
def test_origins(allowed: str, origin: str, may: bool) -> None:
    assert Origins(allowed, required=False).allow(origin) is may


@pytest.mark.parametrize("origin", [None, ""])
def test_who_sends_no_origin_may_pass_unless_one_is_required(origin: str | None) -> None:
    assert Origins("https://a.example", required=False).allow(origin)
    assert not Origins("*", required=True).allow(origin)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"GATEWAY_ORIGINS": "https://a.example/page"}, "GATEWAY_ORIGINS"),
        ({"GATEWAY_ORIGINS": "a.example"}, "GATEWAY_ORIGINS"),
        ({"GATEWAY_ORIGINS": "https://a*.example"}, "GATEWAY_ORIGINS"),
        ({"GATEWAY_PROXIES": "10.0.0.0/33"}, "GATEWAY_PROXIES"),
        ({"GATEWAY_PROXIES": "10.0.0.1/8"}, "GATEWAY_PROXIES"),
        ({"GATEWAY_CLIENT_HEADER": "X-Real-IP"}, "GATEWAY_CLIENT_HEADER"),
        ({"MEMBER_CONNECTIONS": "0"}, "MEMBER_CONNECTIONS"),
        ({"RESTART_SPREAD_SECONDS": "30"}, "RESTART_SECONDS"),
        (
            {"GATEWAY_ORIGINS": "*, null, https://[::1]:80, https://*.a.example", "GATEWAY_PROXIES": "10.0.0.0/8, ::1"},
            "",
        ),
    ],
)
def test_guards_that_cannot_be_stop_the_start(settings: dict[str, str], wrong: str) -> None:
    environ = {"DATABASE_URL": "postgresql://x", "REDIS_URL": "redis://x", "SECRET_KEY": "s" * 32} | settings
    if wrong:
        with pytest.raises(ConfigError, match=f"^{wrong}: "):
            Config.from_env(environ)
    else:
        Config.from_env(environ)


# Addresses.

PROXIES = "10.0.0.0/8, fd00::/8"
hosts = st.ip_addresses().map(str)
proxies = st.ip_addresses(network="10.0.0.0/8").map(str) | st.ip_addresses(network="fd00::/8").map(str)
strangers = hosts.filter(lambda host: not host.startswith(("10.", "fd")) and "ffff:" not in host)


def addresses(header: str = "X-Forwarded-For", limit: int = 2) -> Addresses:
    return Addresses(limit=limit, proxies=PROXIES, header=header)


@given(st.text(max_size=60), strangers, st.lists(proxies, max_size=4), st.booleans())
def test_what_a_client_writes_before_its_address_counts_for_nothing(
    forged: str, client: str, behind: list[str], ports: bool
) -> None:
    known = addresses()
    said = [(f"[{host}]:80" if ":" in host else f"{host}:80") if ports else host for host in [client, *behind]]
    assert known.behind_proxy({"x-forwarded-for": ",".join([forged, *said])}) == known.of_peer(client) is not None
    quoted = [f'for="{node}"; proto=https' for node in said]
    heard = addresses("Forwarded").behind_proxy(
        {"forwarded": ", ".join([forged, *quoted]), "x-forwarded-for": "1.1.1.1"}
    )
    assert heard == known.of_peer(client)


@given(st.text(max_size=80))
def test_no_header_raises(value: str) -> None:
    addresses().behind_proxy({"x-forwarded-for": value})
    addresses("Forwarded").behind_proxy({"forwarded": value})


@pytest.mark.parametrize("value", [None, "", "unknown", "10.1.2.3", "1.2.3.4, unknown", "1.2.3.4, _hidden, 10.0.0.1"])
def test_who_cannot_be_known_is_not_limited(value: str | None) -> None:
    assert addresses().behind_proxy({} if value is None else {"x-forwarded-for": value}) is None
    assert addresses().of_peer("10.0.0.1") is None
    assert addresses(limit=0).of_peer("1.2.3.4") is None


def test_a_slash_64_is_one_address_and_so_is_ipv4_in_ipv6() -> None:
    known = addresses()
    assert known.of_peer("2001:db8:1:2::1") == known.of_peer("2001:db8:1:2:ffff::9")
    assert known.of_peer("2001:db8:1:2::1") != known.of_peer("2001:db8:1:3::1")
    assert known.of_peer("::ffff:1.2.3.4") == known.of_peer("1.2.3.4")
    assert known.of_peer("::ffff:10.2.3.4") is None
    assert packed("fe80::1%eth0") == packed("fe80::1")


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.booleans())), st.integers(1, 4))
def test_an_address_has_its_limit_and_leaves_nothing_over(steps: list[tuple[bytes, bool]], limit: int) -> None:
    known, inside = addresses(limit=limit), dict.fromkeys([b"a", b"b", b"c"], 0)
    for key, comes in steps:
        if comes:
            assert known.enter(key) is (inside[key] < limit)
            inside[key] = min(inside[key] + 1, limit)
        elif inside[key]:
            known.leave(key)
            inside[key] -= 1
    assert len(known) == sum(count > 0 for count in inside.values())


# Devices.


@given(st.lists(st.tuples(st.integers(1, 3), st.none() | st.integers(0, 5))), st.integers(1, 4))
def test_the_oldest_device_goes_for_the_newest(steps: list[tuple[int, int | None]], limit: int) -> None:
    devices: Devices[object] = Devices(limit)
    model: dict[int, list[object]] = {1: [], 2: [], 3: []}
    for member, which in steps:
        mine = model[member]
        if which is None:
            new = object()
            mine.append(new)
            assert devices.add(member, new) is (mine.pop(0) if len(mine) > limit else None)
        elif which < len(mine):
            gone = mine.pop(which)
            devices.remove(member, gone)
            devices.remove(member, gone)
        assert devices.of(member) == mine
    assert len(devices) == sum(map(len, model.values()))


# Pressure.

TICK = 0.125  # binary: a second is eight of them exactly


def lived(storm: list[tuple[float, int]], bound: float = 1.0) -> list[tuple[int, int]]:
    """(asked, admitted) in each second; a second brings ticks of one lateness, and arrivals all over it."""
    pressure, seconds, now = Pressure(bound, 0.0), [], 0.0
    for late, asked in storm:
        admitted = 0
        for number in range(8):
            now += TICK
            share = asked * (number + 1) // 8 - asked * number // 8
            admitted += sum(pressure.admits(now) for _ in range(share))
            pressure.tick(late, now)
        seconds.append((asked, admitted))
    return seconds


storms = st.lists(st.tuples(st.sampled_from([0.0, 0.9, 1.1, 5.0]), st.integers(0, 600)), min_size=1, max_size=12)


@given(st.lists(st.tuples(st.floats(0, 1.0), st.integers(0, 600)), min_size=1, max_size=12))
def test_while_the_loop_is_on_time_everybody_is_let_in_at_once(seconds: list[tuple[float, int]]) -> None:
    assert all(asked == admitted for asked, admitted in lived(seconds))


@given(storms)
def test_a_late_loop_lets_in_ever_fewer_but_never_nobody(seconds: list[tuple[float, int]]) -> None:
    story = lived(seconds)
    for (late, _), (_, before), (asked, admitted) in zip(seconds, story, story[1:], strict=False):
        assert admitted >= min(asked, math.floor(LEAST * 0.9))
        if late > 1.0:
            assert admitted <= max(before * 0.7, LEAST) * 1.2 + 1


@given(storms)
def test_the_storm_over_everybody_is_let_in_again(seconds: list[tuple[float, int]]) -> None:
    calm = [(0.0, 100)] * 12
    assert lived([*seconds, *calm, (0.0, 1_000)])[-1] == (1_000, 1_000)


@given(storms)
def test_hints_and_stretch_stay_within_their_bounds(seconds: list[tuple[float, int]]) -> None:
    pressure, now = Pressure(1.0, 0.0), 0.0
    for late, asked in seconds:
        now += 1.0
        before = pressure.stretch
        for _ in range(asked):
            pressure.admits(now)
        assert pressure.tick(late, now)
        assert RETRY_SECONDS[0] <= pressure.retry_after() <= RETRY_SECONDS[1]
        assert 1.0 <= pressure.stretch <= STRETCH_LIMIT
        assert (pressure.stretch >= before) if late > 0.25 else (pressure.stretch <= before)


def test_unfinished_handshakes_bound_the_rate_too() -> None:
    pressure = Pressure(1.0, 0.0)
    pressure.tick(0.0, 1.0, crowded=True)
    assert pressure.rate == LEAST
    assert pressure.stretch == 1.0


def test_more_who_were_sent_away_are_spread_wider() -> None:
    pressure = Pressure(1.0, 0.0)
    pressure.tick(5.0, 1.0)
    hints = []
    for _ in range(3):
        for _ in range(400):
            pressure.admits(1.0)
        hints.append(pressure.retry_after(lambda _, most: most))
    assert hints == [16, 30, 30]


# Pace.


@given(st.floats(0.1, 100), st.floats(0.1, 100), st.lists(st.integers(0, 10**6), min_size=2), st.floats(1, 8))
def test_intervals_keep_their_bounds_and_grow_with_the_crowd(
    least: float, greatest: float, crowds: list[int], stretch: float
) -> None:
    bounds = Bounds(least, greatest)
    intervals = [bounds.interval(crowd, per_second=500, stretch=stretch) for crowd in sorted(crowds)]
    assert all(first <= second for first, second in pairwise(intervals))
    for interval in (*intervals, *map(bounds.step, intervals)):
        assert least <= interval <= max(least, greatest)


@given(st.integers(0, 60_000))
def test_no_worker_sends_more_than_it_should_until_the_longest_interval(crowd: int) -> None:
    pace = Pace(CONFIG, 32)
    pace.adjust(crowd, 1.0)
    assert crowd / pace.count_seconds <= 500.001 or pace.count_seconds == CONFIG.count_max_seconds
    assert crowd / pace.ping_seconds <= 500.001 or pace.ping_seconds == CONFIG.ping_interval_max_seconds
    assert f'"pingInterval":{round(pace.ping_seconds * 1000)}'.encode() in pace.greeting("x" * 32)
    assert pace.ping_ticks == round(pace.ping_seconds / CONFIG.flush_seconds)


def test_a_small_crowd_is_told_the_least() -> None:
    pace = Pace(CONFIG, 32)
    pace.adjust(4_000, 1.0)
    assert (pace.ping_seconds, pace.count_seconds) == (25.0, 10.0)
    pace.adjust(15_000, 1.0)
    assert (pace.ping_seconds, pace.count_seconds) == (30.0, 30.0)
    pace.adjust(15_000, 4.0)
    assert (pace.ping_seconds, pace.count_seconds) == (60.0, 120.0)


# Memory.


def test_the_memory_limit_is_what_was_set_or_a_share() -> None:
    assert memory.limit(64, workers=3) == 64 * memory.MIB
    total, mine = memory.available(), memory.resident()
    assert 0 < mine < total
    assert mine * 0.9 <= memory.limit(0, workers=2) - total / 4 <= mine * 1.1
