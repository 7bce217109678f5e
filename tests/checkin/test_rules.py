"""The check-in rule without HTTP: many attempts at once, each with its own answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis
from apiflask import APIFlask
from sqlalchemy.orm import Session

from service.activity.models import Activity, Sitting, Stream
from service.checkin.ledger import checked_in
from service.checkin.models import CheckIn
from service.checkin.records import Attempt
from service.checkin.rules import Answer, check_in
from service.errors import ServiceError
from service.home import rehearsed
from service.live.figures import read_snapshot
from service.live.scripts import Timing, slots_of
from service.notify.models import Outbox
from service.org.models import Member
from service.valkey import connect
from tests.factories import HOUR, make_activity, make_member, make_organisation

NOW = datetime(2026, 9, 20, 9, 0, tzinfo=UTC)


def attempt(member: Member, reference: str = "reference-1", *, organisation: str = "1.2") -> Attempt:
    return Attempt(member=member.id, organisation=organisation, place="54.5401", reference=reference)


def outcome(answer: Answer) -> str:
    if answer.refusal:
        return answer.refusal.code
    return "repeat" if answer.repeat else "accepted"


def outcomes(activity: Activity, attempts: list[Attempt], now: datetime = NOW) -> list[str]:
    return [outcome(answer) for answer in check_in(activity.id, attempts, now)]


def test_each_attempt_has_its_answer_in_its_place(db: Session) -> None:
    ana, ben, cleo = make_member(), make_member(), make_member()
    activity = make_activity(now=NOW)
    assert outcomes(activity, [attempt(ben, "from-before")]) == ["accepted"]
    attempts = [
        attempt(cleo),
        attempt(ana),
        attempt(cleo),
        attempt(ben, "from-before"),
        attempt(ben, "another-one"),
        attempt(ana, "reference-2"),
    ]
    expected = ["accepted", "accepted", "repeat", "repeat", "already_checked_in", "already_checked_in"]
    assert outcomes(activity, attempts) == expected
    assert db.query(CheckIn).count() == 3


def test_nobody_is_no_work(db: Session) -> None:
    assert check_in(make_activity(now=NOW).id, [], NOW) == []


def test_a_repeat_is_answered_before_any_rule_is_asked(db: Session) -> None:
    """The window has closed and the branch is no longer invited: the first answer stands."""
    city = make_organisation(level="city")
    activity = make_activity(now=NOW, invited=[city])
    mine = attempt(make_member(organisation=city), organisation=city.path)
    [first] = check_in(activity.id, [mine], NOW)
    moved = replace(mine, organisation="999")
    [again] = check_in(activity.id, [moved], NOW + 5 * HOUR)
    assert again.repeat
    assert again.record == first.record
    assert outcomes(activity, [replace(moved, reference="reference-2")], NOW + 5 * HOUR) == ["not_invited"]


def test_a_reference_of_another_activity_is_refused(db: Session) -> None:
    member, here, there = make_member(), make_activity(now=NOW), make_activity(now=NOW)
    assert outcomes(here, [attempt(member)]) == ["accepted"]
    assert outcomes(there, [attempt(member)]) == ["reference_reused"]
    assert outcomes(there, [attempt(member, "reference-2")]) == ["accepted"]


@pytest.mark.parametrize("spoilt", ["nul\0inside", "half-\ud800-pair"])
def test_one_bad_attempt_fails_alone(db: Session, spoilt: str) -> None:
    """The doors refuse such text; should one slip through, the others are still checked in."""
    activity = make_activity(now=NOW)
    members = [make_member() for _ in range(7)]
    attempts = [attempt(member) for member in members]
    attempts[3] = attempt(members[3], spoilt)
    assert outcomes(activity, attempts) == ["accepted"] * 3 + ["validation"] + ["accepted"] * 3
    assert db.query(CheckIn).count() == 6
    assert db.query(Outbox).count() == 6


def test_a_member_that_is_not_on_the_roster_fails_alone(db: Session) -> None:
    activity = make_activity(now=NOW)
    ghost = Attempt(member=10**12, organisation="1", place="", reference="reference-1")
    assert outcomes(activity, [attempt(make_member()), ghost]) == ["accepted", "validation"]


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (-61, "checkin_not_open"),
        (-60, "accepted"),
        (59, "accepted"),
        (60, "checkin_closed"),
    ],
)
def test_the_window_opens_on_time_and_closes_on_time(db: Session, minutes: int, expected: str) -> None:
    activity = make_activity(now=NOW)
    assert outcomes(activity, [attempt(make_member())], NOW + timedelta(minutes=minutes)) == [expected]


def test_the_sitting_that_is_open_counts(db: Session) -> None:
    member, activity = make_member(), make_activity(now=NOW)
    begin, end = NOW + 3 * HOUR, NOW + 4 * HOUR
    second = Sitting(
        activity_id=activity.id,
        starts_at=begin,
        ends_at=end,
        checkin_opens_at=begin,
        checkin_closes_at=end,
    )
    db.add(second)
    db.commit()
    assert outcomes(activity, [attempt(member)], NOW + 2 * HOUR) == ["checkin_not_open"]
    [late] = check_in(activity.id, [attempt(member)], begin)
    assert late.record is not None
    assert late.record.sitting_id == second.id
    assert outcomes(activity, [attempt(member, "reference-2")], end) == ["checkin_closed"]
    first = replace(attempt(member, "reference-3"), sitting=activity.sittings[0].id)
    assert outcomes(activity, [first], NOW) == ["accepted"]
    assert outcomes(activity, [replace(first, reference="reference-4")], begin) == ["checkin_closed"]


def test_everybody_may_come_to_an_open_activity(db: Session) -> None:
    assert outcomes(make_activity(now=NOW), [attempt(make_member(), organisation="7.8")]) == ["accepted"]


def test_a_neighbour_in_number_is_not_invited(db: Session) -> None:
    """12 does not cover 123."""
    city = make_organisation(level="city")
    activity = make_activity(now=NOW, invited=[city])
    paths = [city.path, f"{city.path}.5", f"{city.path}5", f"5.{city.path}"]
    attempts = [attempt(make_member(), organisation=path) for path in paths]
    assert outcomes(activity, attempts) == ["accepted", "accepted", "not_invited", "not_invited"]


def test_an_unknown_activity(db: Session) -> None:
    with pytest.raises(ServiceError, match="not_found"):
        check_in(10**9, [attempt(make_member())], NOW)


def test_the_outbox_tells_of_nobody_by_number(db: Session) -> None:
    member, activity = make_member(), make_activity(now=NOW, rehearsal=True)
    check_in(activity.id, [attempt(member, organisation=rehearsed("1.2"))], NOW)
    [event] = db.query(Outbox).all()
    assert (event.topic, event.subject_member) == ("checkin.created", member.id)
    assert event.organisation_paths == ["1.2"]
    assert event.payload["activity"] == activity.id
    assert event.payload["rehearsal"] is True
    assert "member" not in " ".join(event.payload)


def test_a_check_in_counts_live_once(db: Session, valkey: redis.Redis) -> None:
    member, activity = make_member(), make_activity(now=NOW)
    [stream] = activity.sittings[0].streams
    for now in (NOW, NOW + HOUR / 2):
        check_in(activity.id, [attempt(member)], now)
    figures = read_snapshot(valkey, slots_of(stream.id, 1), organisations=[], places=[], timing=Timing(5000, 1500))
    assert figures.checked_in == 1


def test_without_valkey_a_check_in_still_commits(app: APIFlask, db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(app.config["CHUNSHUI"], redis_url="redis://127.0.0.1:1")
    with connect(config) as nowhere:
        monkeypatch.setitem(app.extensions, "valkey", nowhere)
        assert outcomes(make_activity(now=NOW), [attempt(make_member())]) == ["accepted"]
    assert db.query(CheckIn).count() == 1


def test_the_ledger_names_who_checked_in_to_the_streams_sitting(db: Session) -> None:
    members, activity, other = [make_member(), make_member()], make_activity(now=NOW), make_activity(now=NOW)
    check_in(activity.id, [attempt(member) for member in members], NOW)
    check_in(other.id, [attempt(make_member())], NOW)
    stream: Stream = activity.sittings[0].streams[0]
    assert sorted(db.scalars(checked_in(stream.id))) == [member.id for member in members]
