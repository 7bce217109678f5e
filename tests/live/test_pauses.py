"""The law of pauses: however long Valkey or the worker stands still, nobody alive is taken out for it."""

import redis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from service.live import figures
from service.live.scripts import Timing
from tests.factories import make_stream
from tests.live.scene import NOW, Scene


@st.composite
def pauses(draw: st.DrawFn) -> tuple[Timing, int, int]:
    """Settings that the configuration accepts, the age of a lease at a tick, and the time until the next one."""
    renew = draw(st.integers(100, 3000))
    lease = draw(st.integers(3 * renew, 12 * renew))
    timing = Timing(lease=lease, stale=renew * 3 // 2)
    return timing, draw(st.integers(0, timing.stale)), draw(st.integers(0, 3 * lease))


def test_nobody_alive_is_taken_out_after_a_pause(app: Flask, db: Session, valkey: redis.Redis) -> None:
    stream = make_stream(now=NOW)

    @given(pauses())
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def law(pause: tuple[Timing, int, int]) -> None:
        timing, age, gap = pause
        valkey.flushdb()
        scene = Scene(valkey, stream, timing=timing)
        silent, other = scene.holding(1, 2), scene.holding(3)
        epoch = scene.flush(silent).epoch
        scene.flush(other)
        assert figures.settle(valkey, scene.slot, epoch=epoch, lease=-1, now=scene.now)
        scene.now += age
        scene.keeper.reap(valkey, now=scene.now)
        scene.now += gap
        # The worker is the first that Valkey hears, then one of the gateways; the other one has not come yet.
        scene.keeper.reap(valkey, now=scene.now)
        scene.flush(other)
        assert scene.seen().online == 3
        scene.flush(silent)
        assert scene.seen().online == 3

    law()
