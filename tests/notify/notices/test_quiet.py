"""Quiet hours: around midnight, across zones, and where clocks are put back or forward."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.notify.notices.quiet import Quiet

ZONES = ("Asia/Shanghai", "Asia/Urumqi", "Asia/Kathmandu", "Europe/Berlin", "America/St_Johns", "Pacific/Apia")
MINUTE = timedelta(minutes=1)

clocks = st.integers(0, 24 * 60 - 1).map(lambda minute: time(minute // 60, minute % 60))
moments = st.integers(0, 5_000_000).map(lambda minutes: datetime(2020, 1, 1, tzinfo=UTC) + minutes * MINUTE)
quiets = st.builds(Quiet, st.sampled_from(ZONES), clocks, clocks)


@pytest.mark.parametrize(
    ("clock", "quiet"),
    [("21:59", False), ("22:00", True), ("23:59", True), ("00:00", True), ("06:59", True), ("07:00", False)],
)
def test_a_night_leads_over_midnight(clock: str, quiet: bool) -> None:
    moment = datetime.combine(date(2026, 7, 1), time.fromisoformat(clock), tzinfo=ZoneInfo("Asia/Shanghai"))
    assert Quiet("Asia/Shanghai", time(22), time(7)).covers(moment) is quiet


def test_the_same_moment_is_night_here_and_day_there() -> None:
    moment = datetime(2026, 6, 30, 15, 30, tzinfo=UTC)
    assert Quiet("Asia/Shanghai", time(22), time(7)).covers(moment)
    assert not Quiet("Europe/Berlin", time(22), time(7)).covers(moment)


@given(quiets, moments)
def test_it_ends_when_it_is_no_longer_quiet_and_within_a_day(quiet: Quiet, moment: datetime) -> None:
    end = quiet.ends(moment)
    if not quiet.covers(moment):
        assert end == moment
        return
    assert moment < end <= moment + timedelta(hours=26)
    # Where a clock was put back the same hour comes again; then it takes a few more.
    for _ in range(3 * 60):
        if not quiet.covers(end):
            return
        end = quiet.ends(end)
    pytest.fail("it never ends")


@given(st.sampled_from(ZONES), clocks, moments)
def test_from_a_time_to_itself_is_never_quiet(zone: str, clock: time, moment: datetime) -> None:
    assert not Quiet(zone, clock, clock).covers(moment)


@given(st.sampled_from(ZONES), clocks, clocks, moments)
def test_what_is_not_the_quiet_half_is_the_other(zone: str, start: time, end: time, moment: datetime) -> None:
    if start != end:
        assert Quiet(zone, start, end).covers(moment) is not Quiet(zone, end, start).covers(moment)


@given(quiets, moments)
def test_nothing_is_put_off_further_than_to_the_end(quiet: Quiet, moment: datetime) -> None:
    """A minute before its end it is still quiet, unless a clock jumped in between."""
    end = quiet.ends(moment)
    zone = ZoneInfo(quiet.zone)
    same = moment.astimezone(zone).utcoffset() == end.astimezone(zone).utcoffset()
    if quiet.covers(moment) and same and end - moment > MINUTE:
        assert quiet.covers(end - MINUTE)
