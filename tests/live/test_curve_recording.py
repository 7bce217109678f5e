"""What the worker records of a stream: exact points, the nodes' minutes, and outages in place of dips."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, delete, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from service.extensions import db as database
from service.live.curves import Recorder, record_reading, record_silence
from service.live.figures import Snapshot
from service.live.models import CurveMinute, CurveOutage, CurvePoint
from service.live.recording import Live
from service.live.scripts import Timing
from service.notify.models import Outbox
from tests.factories import make_organisation, make_place, make_stream

OPENS = datetime(2026, 9, 20, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LENGTH = 600 * SECOND
Outage = tuple[int, int, str]


@pytest.fixture
def stream(db: Session) -> int:
    return make_stream(now=OPENS, opens=timedelta(), closes=LENGTH).id


def read(stream: int, second: float, *, reason: str | None = None, missing: str = "worker", online: int = 3) -> bool:
    return record_reading(figures(stream, OPENS + second * SECOND, reason, online), spacing=5, missing=missing)


def silence(stream: int, second: int) -> None:
    record_silence(stream, OPENS + second * SECOND, spacing=5, reason="valkey")


def figures(stream: int, as_of: datetime, reason: str | None, online: int) -> Snapshot:
    return Snapshot(
        stream=stream,
        epoch="1-1",
        seq=1,
        as_of=as_of,
        reason=reason,
        in_doubt=0,
        online=online,
        connections=4,
        joined=5,
        checked_in=1,
        peak=4,
        peak_at=as_of,
        organisations={7: online, 8: 0},
        places={"54": online},
        channels={},
        sources={},
    )


def points(db: Session, stream: int) -> list[int]:
    found = db.scalars(select(CurvePoint.at).where(CurvePoint.stream_id == stream).order_by(CurvePoint.at))
    return [round((at - OPENS).total_seconds()) for at in found]


def outages(db: Session, stream: int) -> list[Outage]:
    found = db.scalars(select(CurveOutage).where(CurveOutage.stream_id == stream).order_by(CurveOutage.began_at))
    return [
        (round((one.began_at - OPENS).total_seconds()), round((one.ended_at - OPENS).total_seconds()), one.reason)
        for one in found
    ]


def test_one_point_per_interval_whoever_writes_it(db: Session, stream: int) -> None:
    assert [read(stream, second) for second in (0, 1, 4.9, 5, 12)] == [True, False, False, True, True]
    assert (points(db, stream), outages(db, stream)) == ([0, 5, 10], [])


def test_doubtful_readings_are_one_outage_between_exact_ones(db: Session, stream: int) -> None:
    read(stream, 0)
    assert read(stream, 5, reason="lease")
    assert not read(stream, 6, reason="rebuilding")
    assert read(stream, 10, reason="rebuilding")
    assert outages(db, stream) == [(0, 10, "lease")]
    assert read(stream, 15)
    assert (points(db, stream), outages(db, stream)) == ([0, 15], [(0, 15, "lease")])
    read(stream, 20, reason="lease")
    read(stream, 25)
    assert outages(db, stream) == [(0, 15, "lease"), (15, 25, "lease")]


def test_a_doubt_after_somebodys_exact_reading_of_the_same_interval_is_none(db: Session, stream: int) -> None:
    read(stream, 0)
    assert not read(stream, 3, reason="lease")
    assert outages(db, stream) == []


def test_who_reads_nothing_while_others_do_says_nothing(db: Session, stream: int) -> None:
    read(stream, 0)
    silence(stream, 5)
    silence(stream, 10)
    assert outages(db, stream) == []
    silence(stream, 15)
    silence(stream, 20)
    assert outages(db, stream) == [(0, 20, "valkey")]
    read(stream, 25, reason="rebuilding")
    read(stream, 30)
    assert outages(db, stream) == [(0, 30, "valkey")]


@pytest.mark.parametrize("missing", ["worker", "database"])
def test_a_gap_is_an_outage_found_by_who_comes_back(db: Session, stream: int, missing: str) -> None:
    read(stream, 40, missing=missing)
    read(stream, 50)
    read(stream, 65, missing=missing)
    assert outages(db, stream) == [(0, 40, missing), (50, 65, missing)]


def test_the_nodes_are_recorded_once_a_minute(db: Session, stream: int) -> None:
    for second, online in ((5, 1), (50, 2), (65, 3), (125, 4)):
        read(stream, second, online=online, reason="lease" if online == 4 else None)
    rows = db.scalars(select(CurveMinute).where(CurveMinute.stream_id == stream).order_by(CurveMinute.at)).all()
    assert [(row.at - OPENS).total_seconds() for row in rows] == [0, 60]
    assert [(row.organisations, row.places) for row in rows] == [({"7": 1}, {"54": 1}), ({"7": 3}, {"54": 3})]


def test_the_count_is_announced_every_ten_seconds_with_its_basis(db: Session, stream: int) -> None:
    for second, reason in ((0, None), (0, None), (5, None), (10, "lease"), (11, "lease"), (15, None)):
        read(stream, second, reason=reason)
    told = db.scalars(select(Outbox.payload).where(Outbox.topic == "stream.count").order_by(Outbox.id)).all()
    assert [(one["stream"], one["online"], one["basis"]) for one in told] == [
        (stream, 3, "exact"), (stream, 3, "degraded"),
    ]  # fmt: skip
    assert told[0]["as_of"].endswith("Z")


@pytest.mark.parametrize(("spacing", "times"), [(3, 2), (5, 2), (10, 2), (20, 1)])
def test_announcements_keep_their_pace_whatever_the_curves(db: Session, stream: int, spacing: int, times: int) -> None:
    for second in range(20):
        record_reading(figures(stream, OPENS + second * SECOND, None, 3), spacing=spacing)
    assert db.scalar(select(func.count()).where(Outbox.topic == "stream.count")) == times


def test_points_and_outages_cover_the_time_and_never_overlap(db: Session, stream: int) -> None:
    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.sampled_from(["exact", "lease", "silence", "nobody"]), min_size=1, max_size=20))
    def law(readings: Sequence[str]) -> None:
        for table in (CurvePoint, CurveOutage, CurveMinute):
            db.execute(delete(table).where(table.stream_id == stream))
        for number, kind in enumerate(readings):
            if kind == "silence":
                silence(stream, 5 * number)
            elif kind != "nobody":
                read(stream, 5 * number, reason=None if kind == "exact" else kind)
        exact = [5 * number for number, kind in enumerate(readings) if kind == "exact"]
        assert points(db, stream) == exact
        found = [outage[:2] for outage in outages(db, stream)]
        assert not [second for began, ended in found for second in exact if began < second < ended]
        # Between two neighbouring points there is an outage exactly if a doubt was seen, or too much time passed.
        for before, after in pairwise([0, *exact]):
            doubted = "lease" in readings[before // 5 + 1 : after // 5]
            assert ((before, after) in found) == (doubted or after - before > 10)

    law()


def test_a_recorder_tells_one_fault_from_the_other(db: Session, valkey: redis.Redis, stream: int) -> None:
    city, place = make_organisation(level="city"), make_place()
    branch = make_organisation(parent=city)
    live = Live(stream, OPENS, OPENS + LENGTH, 0, None)
    recorder = Recorder(Timing(lease=5000, stale=1500), 5)
    with redis.Redis(port=1, retry=Retry(NoBackoff(), 0)) as away, pytest.raises(redis.ConnectionError):
        recorder.record(away, [live], OPENS + 15 * SECOND)
    assert outages(db, stream) == [(0, 15, "valkey")]
    now = datetime.now(UTC)
    today = Live(make_stream(now=now).id, now, now + LENGTH, 0, None)
    valkey.hset(f"live:{{s{today.id}}}:state", mapping={"epoch": "1-1", "version": 1})
    valkey.hset(f"live:{{s{today.id}}}:organisations", mapping={city.id: 7, branch.id: 7})
    valkey.hset(f"live:{{s{today.id}}}:places", mapping={place.code: 6, "999999": 1})
    recorder.record(valkey, [today], now)
    recorder.record(valkey, [today], now)
    minute = db.scalars(select(CurveMinute).where(CurveMinute.stream_id == today.id)).one()
    assert (minute.organisations, minute.places) == ({str(city.id): 7}, {place.code: 6})


def test_a_stream_that_nobody_saw_end_has_an_outage_to_its_end(db: Session, stream: int, valkey: redis.Redis) -> None:
    read(stream, 100)
    for _ in range(2):
        recorder = Recorder(Timing(lease=5000, stale=1500), 5)
        for _ in range(2):
            recorder.record(valkey, [Live(stream, OPENS, OPENS + LENGTH, 0, None)], OPENS + 2 * LENGTH)
    assert outages(db, stream) == [(0, 100, "worker"), (100, 600, "worker")]


def test_a_database_that_was_away_is_named_afterwards(db: Session, stream: int, valkey: redis.Redis) -> None:
    recorder = Recorder(Timing(lease=5000, stale=1500), 5)
    ended = Live(stream, OPENS, OPENS + LENGTH, 0, None)
    previous = database.session
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    database.session = scoped_session(sessionmaker(bind=engine))  # type: ignore[arg-type]
    try:
        with pytest.raises(OperationalError):
            recorder.record(valkey, [ended], OPENS + 2 * LENGTH)
    finally:
        database.session = previous
    recorder.record(valkey, [ended], OPENS + 2 * LENGTH)
    assert outages(db, stream) == [(0, 600, "database")]


def test_a_silence_prolongs_an_outage_at_once(db: Session, stream: int) -> None:
    read(stream, 0)
    read(stream, 5, reason="lease")
    silence(stream, 10)
    assert outages(db, stream) == [(0, 10, "lease")]
