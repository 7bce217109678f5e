"""What the worker writes: peaks, and the end of abandoned stays."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.activity.models import Stream
from service.live.models import Stay
from service.live.recording import Closer, close_some, record_peaks
from tests.factories import make_stream
from tests.live.history import JOINED, make_gateway, make_stay

SILENCE = timedelta(seconds=15)
SECOND = timedelta(seconds=1)


@pytest.fixture
def closer() -> Closer:
    """A closer that has been awake for long enough."""
    found = Closer(silence=SILENCE, missed=12.5 * SECOND)
    for seconds in range(-25, 0, 5):
        found.close(JOINED + seconds * SECOND)
    return found


def test_a_peak_only_rises(db: Session) -> None:
    stream = make_stream()
    record_peaks([(stream.id, 7, JOINED)])
    record_peaks([(stream.id, 5, JOINED + SECOND)])
    db.expire_all()
    found = db.get_one(Stream, stream.id)
    assert (found.peak, found.peak_at) == (7, JOINED)


def test_a_silent_gateways_stays_end_when_it_was_last_heard(db: Session, closer: Closer) -> None:
    now = datetime.now(UTC)
    heard = now - 20 * SECOND
    silent, lively = make_gateway(heard_at=heard), make_gateway(heard_at=now)
    abandoned = make_stay(1, 1, gateway=silent, joined_at=now - 60 * SECOND)
    later = make_stay(1, 2, gateway=silent, joined_at=now - 10 * SECOND)
    open_ = make_stay(1, 3, gateway=lively)
    over = make_stay(1, 4, gateway=silent, left_at=JOINED, closed_by="owner")
    assert closer.close(JOINED) == 2
    db.expire_all()
    assert (abandoned.left_at, abandoned.closed_by) == (heard, "reaper")
    assert later.left_at == later.joined_at
    assert open_.left_at is None
    assert (over.left_at, over.closed_by) == (JOINED, "owner")
    assert closer.close(JOINED + 5 * SECOND) == 0


def test_who_has_just_woken_waits_one_silence_first(db: Session) -> None:
    gateway = make_gateway(heard_at=datetime.now(UTC) - 60 * SECOND)
    make_stay(1, 1, gateway=gateway)
    closer = Closer(silence=SILENCE, missed=12.5 * SECOND)
    assert [closer.close(JOINED + seconds * SECOND) for seconds in (0, 5, 10, 15)] == [0, 0, 0, 1]


def test_after_missed_runs_the_silence_is_granted_again(db: Session, closer: Closer) -> None:
    gateway = make_gateway(heard_at=datetime.now(UTC) - 60 * SECOND)
    make_stay(1, 1, gateway=gateway)
    assert [closer.close(JOINED + seconds * SECOND) for seconds in (8, 13, 18, 23)] == [0, 0, 0, 1]


def test_stays_are_closed_in_chunks(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.live.recording.CHUNK", 2)
    gateway = make_gateway(heard_at=JOINED)
    for member in range(5):
        make_stay(1, member, gateway=gateway)
    assert [close_some(JOINED + SECOND) for _ in range(4)] == [2, 2, 1, 0]
    assert db.scalar(select(func.count()).where(Stay.closed_by == "reaper")) == 5
