"""How fast each provider may be sent to, shared by all workers in Valkey: rate, quota of the day, and a breaker.

While Valkey is away nobody knows what the others send, so nothing is sent by a channel; the inbox is always there.
"""

import json
from dataclasses import dataclass
from datetime import datetime

import redis

from service.clock import day_of
from service.config import Config
from service.notify.channels.sends import ALARM_SECONDS

# Seconds without sends after so many failures in a row.
BREAK_FAILURES, BREAK_SECONDS = 50, 30


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What a provider bears: so many a second, with bursts of as many, and so many a day; 0 is any number."""

    per_second: float
    per_day: int = 0


# Limits as documented; where none is, a careful guess. JPush's is of requests, ten a second, each for up to 1,000.
PACES = {
    "wechat_subscribe": Pace(per_second=2000, per_day=10_000_000),
    "wechat_template": Pace(per_second=500, per_day=100_000),
    "wechat_notice": Pace(per_second=500, per_day=100_000),
    "apns": Pace(per_second=4000),
    "fcm": Pace(per_second=9000),
    "jpush": Pace(per_second=10_000),
    "sms": Pace(per_second=50),
}
UNKNOWN = Pace(per_second=100)


def paces_of(config: Config) -> dict[str, Pace]:
    """Those of an installation: the usual ones, but for what its settings say."""
    told = json.loads(config.channel_paces or "{}")
    return PACES | {lane: Pace(per_second=one["per_second"], per_day=one["per_day"]) for lane, one in told.items()}


# KEYS: bucket, the day's count, the breaker. ARGV: wanted, per second, per day. A bucket refills by Valkey's own clock.
TAKE = """
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local wanted, rate, quota = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local kept = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = math.min(rate, tonumber(kept[1] or rate) + (now - tonumber(kept[2] or now)) * rate)
local given = math.min(wanted, math.floor(math.max(0, left)))
if quota > 0 then given = math.max(0, math.min(given, quota - tonumber(redis.call('GET', KEYS[2]) or 0))) end
redis.call('HSET', KEYS[1], 'left', tostring(left - given), 'at', tostring(now))
redis.call('EXPIRE', KEYS[1], 3600)
if quota > 0 and given > 0 then redis.call('INCRBY', KEYS[2], given) redis.call('EXPIRE', KEYS[2], 172800) end
return given
"""
# KEYS: bucket, the day's count. ARGV: how many, per day.
GIVE_BACK = """
redis.call('HINCRBYFLOAT', KEYS[1], 'left', ARGV[1])
if tonumber(ARGV[2]) > 0 then redis.call('DECRBY', KEYS[2], ARGV[1]) end
"""
# KEYS: failures, the breaker. ARGV: failures, successes, how many break, seconds.
LEARN = """
if tonumber(ARGV[2]) > 0 then redis.call('DEL', KEYS[1]) return 0 end
local failures = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], 60)
if failures < tonumber(ARGV[3]) then return 0 end
redis.call('SET', KEYS[2], 'failures', 'EX', ARGV[4])
redis.call('DEL', KEYS[1])
return 1
"""


class Gate:
    """Lets through what the providers bear."""

    def __init__(self, valkey: redis.Redis, paces: dict[str, Pace] | None = None) -> None:
        self._valkey = valkey
        self._paces = PACES if paces is None else paces
        self._take, self._back, self._learn = map(valkey.register_script, (TAKE, GIVE_BACK, LEARN))

    def take(self, lane: str, wanted: int, now: datetime) -> int:
        """How many of `wanted` may be sent now."""
        pace = self._pace(lane)
        keys = [_key(lane, "bucket"), _day(lane, now), _key(lane, "stopped")]
        return int(self._take(keys=keys, args=[wanted, pace.per_second, pace.per_day]))

    def give_back(self, lane: str, unused: int, now: datetime) -> None:
        """Of what was taken, so many were not sent."""
        if unused > 0:
            self._back(keys=[_key(lane, "bucket"), _day(lane, now)], args=[unused, self._pace(lane).per_day])

    def learn(self, lane: str, *, failures: int, successes: int) -> bool:
        """What came of attempts; whether that broke the circuit: then nothing is taken for `BREAK_SECONDS`."""
        keys, args = [_key(lane, "failures"), _key(lane, "stopped")], [failures, successes]
        return bool(self._learn(keys=keys, args=[*args, BREAK_FAILURES, BREAK_SECONDS]))

    def stop(self, lane: str, code: str, template: str | None = None) -> None:
        """Send nothing by a channel, or by one template of it, until somebody looked."""
        self._valkey.set(_key(lane, f"stopped:{template}" if template else "stopped"), code, ex=int(ALARM_SECONDS))

    def stopped(self, lane: str, template: str | None = None) -> bool:
        """Whether it is so."""
        return bool(self._valkey.exists(_key(lane, f"stopped:{template}" if template else "stopped")))

    def _pace(self, lane: str) -> Pace:
        return self._paces.get(lane, UNKNOWN)


def _key(lane: str, name: str) -> str:
    # All keys of a lane lie in one slot of a cluster.
    return f"notify:{{{lane}}}:{name}"


def _day(lane: str, now: datetime) -> str:
    return _key(lane, f"day:{day_of(now).isoformat()}")
