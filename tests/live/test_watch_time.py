"""Watch time is the union of a member's stays, whatever devices and workers they came from."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from service.live.models import Stay
from service.live.watch_time import connection_seconds, watch_seconds
from tests.live.history import JOINED, make_stay

STREAM = 7
MICROSECOND = timedelta(microseconds=1)


class Span(NamedTuple):
    """A stay of `member` in `stream`, in microseconds; `length` None while it lasts."""

    stream: int
    member: int
    begin: int
    length: int | None


# Few distinct times, so that stays touch, repeat and contain each other.
TIMES = st.integers(0, 12).map(lambda units: units * 500_001)
SPANS = st.builds(Span, st.sampled_from([STREAM, STREAM, STREAM, 8]), st.integers(1, 4), TIMES, st.none() | TIMES)


def union(spans: list[tuple[int, int]]) -> int:
    """The oracle: walk the spans by their beginnings and add what reaches beyond all before."""
    total, reached = 0, -1
    for begin, end in sorted(spans):
        total += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def test_watch_time_is_the_union_of_a_members_stays(db: Session) -> None:
    @settings(max_examples=100, deadline=None)
    @given(st.lists(SPANS, max_size=25))
    def law(spans: list[Span]) -> None:
        db.execute(delete(Stay))
        if spans:
            db.execute(insert(Stay), [row(number, span) for number, span in enumerate(spans)])
        seen = [span for span in spans if span.stream == STREAM]
        closed = [(span.member, span.begin, span.begin + span.length) for span in seen if span.length is not None]
        members = {member for member, *_ in closed}
        watched = sum(union([(begin, end) for whose, begin, end in closed if whose == member]) for member in members)
        connected = sum(end - begin for _, begin, end in closed)
        assert watch_seconds(STREAM) == Decimal(watched) / 1_000_000
        assert connection_seconds(STREAM) == Decimal(connected) / 1_000_000

    law()


def row(number: int, span: Span) -> dict[str, object]:
    begin = JOINED + span.begin * MICROSECOND
    closed = span.length is not None
    return {
        "connection": f"00000000-0000-8000-8000-{number:012x}",
        "sequence": 1,
        "stream_id": span.stream,
        "member_id": span.member,
        "gateway_id": "00000000-0000-8000-8000-000000000000",
        "organisation_path": "1.2",
        "place_path": "",
        "channel": "h5",
        "source": "hls",
        "joined_at": begin,
        "left_at": begin + (span.length or 0) * MICROSECOND if closed else None,
        "closed_by": "owner" if closed else None,
    }


def test_two_devices_at_once_count_once_and_whose_time_is_asked_for_can_be_said(db: Session) -> None:
    for member, begin, end in ((1, 0, 60), (1, 30, 90), (2, 0, 10)):
        at = JOINED + timedelta(seconds=begin)
        make_stay(STREAM, member, joined_at=at, left_at=JOINED + timedelta(seconds=end), closed_by="owner")
    make_stay(STREAM, 3)
    assert times(STREAM) == (100, 130)
    assert times(STREAM, Stay.member_id == 1) == (90, 120)
    assert times(8) == (0, 0)


def times(*whose: Any) -> tuple[float, float]:
    return float(watch_seconds(*whose)), float(connection_seconds(*whose))
