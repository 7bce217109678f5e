"""Entering a paper list: every row has its fate, a repeat changes nothing, all or nothing where that is asked for."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, true
from sqlalchemy.orm import Session

from service.activity.models import Activity, Sitting
from service.audit.models import Note
from service.checkin import annulling, rules
from service.checkin.attendance import figures, roster
from service.checkin.attendance.figures import Sums
from service.checkin.models import CheckIn, Refusal
from service.checkin.paper import importing
from service.checkin.paper.importing import Outcome, Wish
from service.checkin.rules import check_in_together
from service.clock import CIVIL
from service.errors import ServiceError
from service.notify.models import Outbox
from service.org.models import Member
from service.org.organisers import Organiser
from tests.checkin.people import NOW, City, attach, come, make_city, make_day
from tests.factories import HOUR, make_activity, make_member, make_organiser

LATER = NOW + 24 * HOUR


@pytest.fixture
def city(db: Session) -> City:
    city = make_city()
    for member, name in zip(city.everybody, ("安", "本", "克", "丹"), strict=True):
        member.name = name
    db.commit()
    return city


@pytest.fixture
def day(city: City) -> Activity:
    day = make_day(city)
    roster.freeze(day.id, NOW)
    return day


@pytest.fixture
def secretary(city: City) -> Organiser:
    """Of the east."""
    return make_organiser(organisation=city.east, role="branch_secretary", now=NOW)[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "list.csv"


def table(file: Path, *rows: Sequence[object], heads: str = "党员编号,姓名,签到时间") -> Path:
    lines = [",".join(map(str, row)) for row in rows]
    file.write_text("\n".join([heads, *lines]))
    return file


def row(member: Member, at: str = "") -> tuple[object, ...]:
    return member.id, member.name, at


def enter(by: Organiser, day: Activity, file: Path, now: datetime = LATER, **wish: Any) -> Outcome:
    return importing.enter(by, day.id, file, Wish(**wish), now)


def told(outcome: Outcome) -> list[tuple[str, str | None]]:
    return [(one.fate, one.reason) for one in outcome.fates]


def test_every_row_has_its_fate_and_the_good_ones_are_written(
    db: Session, city: City, day: Activity, secretary: Organiser, file: Path
) -> None:
    come(day, city.ben)
    rows = [row(city.ana, "17:05"), row(city.ben), row(city.cleo), row(city.ana), (city.ana.id, ""), (10**9, "谁")]
    outcome = enter(secretary, day, table(file, *rows))
    assert told(outcome) == [
        ("entered", None),
        ("there", None),
        ("refused", "member_unknown"),
        ("refused", "repeated"),
        ("refused", "name_missing"),
        ("refused", "member_unknown"),
    ]
    assert (outcome.written, [one.row for one in outcome.fates]) == (True, [2, 3, 4, 5, 6, 7])
    [made] = db.query(CheckIn).filter_by(method="paper")
    assert (made.member_id, made.entered_by, made.received_at) == (city.ana.id, secretary.id, LATER)
    assert made.happened_at == datetime(2026, 9, 20, 17, 5, tzinfo=CIVIL)
    assert figures.rostered(day.id, city.city.path).all == Sums(expected=3, present=2, completed=2)
    kept = {(one.member_id, one.code) for one in db.query(Refusal)}
    assert kept == {(city.ben.id, "already_checked_in"), (city.cleo.id, "member_unknown"), (10**9, "member_unknown")}


def test_a_wrong_name_enters_nobody_and_is_kept(
    db: Session, city: City, day: Activity, secretary: Organiser, file: Path
) -> None:
    """Numbers alone sign nobody in: counting through them gives names that are not known."""
    outcome = enter(secretary, day, table(file, (city.ana.id, "本"), (city.ben.id, " 本 ")))
    assert told(outcome) == [("refused", "name_differs"), ("entered", None)]
    assert [(one.member_id, one.code, one.method) for one in db.query(Refusal)] == [
        (city.ana.id, "name_differs", "paper")
    ]


def test_the_same_list_again_changes_nothing(
    db: Session, city: City, day: Activity, secretary: Organiser, file: Path
) -> None:
    table(file, row(city.ana, "17:05"), row(city.ben), (10**9, "谁"))
    enter(secretary, day, file)
    before = [db.scalar(select(func.count()).select_from(model)) for model in (CheckIn, Refusal, Outbox)]
    assert told(enter(secretary, day, file, LATER + HOUR)) == [
        ("same", None), ("same", None), ("refused", "member_unknown")
    ]  # fmt: skip
    table(file, row(city.ben), row(city.ana, "17:05"))
    assert told(enter(secretary, day, file, LATER + HOUR)) == [("same", None)] * 2
    assert [db.scalar(select(func.count()).select_from(model)) for model in (CheckIn, Refusal, Outbox)] == before


def test_another_time_or_another_hand_does_not_enter_it_twice(
    db: Session, city: City, day: Activity, secretary: Organiser, file: Path
) -> None:
    enter(secretary, day, table(file, row(city.ana, "17:05")))
    assert told(enter(secretary, day, table(file, row(city.ana, "17:06")))) == [("there", None)]
    other = make_organiser(organisation=city.city, role="branch_secretary", now=NOW)[0]
    assert told(enter(other, day, table(file, row(city.ana, "17:05")))) == [("there", None)]
    assert db.query(CheckIn).count() == 1


def test_what_was_taken_back_stays_so_and_a_corrected_row_is_entered(
    db: Session, city: City, day: Activity, secretary: Organiser, file: Path
) -> None:
    enter(secretary, day, table(file, row(city.ana, "17:05")))
    annulling.annul(day.id, db.query(CheckIn).one().id, visible=true(), by=secretary.id, reason="误录", now=LATER)
    assert told(enter(secretary, day, file)) == [("refused", "checkin_annulled")]
    assert told(enter(secretary, day, table(file, row(city.ana, "17:15")))) == [("entered", None)]


def test_a_dry_run_says_the_same_and_writes_nothing(
    db: Session, city: City, day: Activity, secretary: Organiser, file: Path
) -> None:
    come(day, city.ben)
    table(file, row(city.ana), row(city.ben), row(city.cleo))
    before = [db.scalar(select(func.count()).select_from(model)) for model in (CheckIn, Refusal, Outbox, Note)]
    dry = enter(secretary, day, file, dry_run=True)
    assert [db.scalar(select(func.count()).select_from(model)) for model in (CheckIn, Refusal, Outbox, Note)] == before
    wet = enter(secretary, day, file)
    assert (told(dry), dry.written, wet.written) == (told(wet), False, True)


def test_all_or_nothing(db: Session, city: City, day: Activity, secretary: Organiser, file: Path) -> None:
    come(day, city.ben)
    table(file, row(city.ana), row(city.ben), row(city.cleo))
    refused = enter(secretary, day, file, whole=True)
    assert (told(refused)[2], refused.written) == (("refused", "member_unknown"), False)
    assert db.query(CheckIn).filter_by(method="paper").count() == 0
    done = enter(secretary, day, table(file, row(city.ana), row(city.ben)), whole=True)
    assert (told(done), done.written) == ([("entered", None), ("there", None)], True)
    topics = [one.topic for one in db.query(Outbox)]
    assert topics == ["checkin.created"] * 2


def test_all_or_nothing_holds_when_something_happens_in_between(
    db: Session, city: City, day: Activity, secretary: Organiser, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the writing an organiser takes somebody's list back: then nothing is written."""
    table(file, row(city.ana), row(city.ben))
    enter(secretary, day, table(file, row(city.ben)))
    table(file, row(city.ana), row(city.ben))

    def meanwhile(*args: Any, **more: Any) -> Any:
        ben = db.query(CheckIn).filter_by(member_id=city.ben.id).one().id
        annulling.annul(day.id, ben, visible=true(), by=9, reason="误录", now=LATER)
        return check_in_together(*args, **more)

    monkeypatch.setattr(importing, "check_in_together", meanwhile)
    done = enter(secretary, day, file, whole=True)
    assert (told(done), done.written) == ([("entered", None), ("refused", "checkin_annulled")], False)
    assert db.query(CheckIn).filter_by(member_id=city.ana.id).count() == 0


@pytest.mark.parametrize("whole", [False, True])
def test_a_long_list_goes_in_batches(
    city: City, day: Activity, file: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    monkeypatch.setattr(rules, "MOST", 2)
    monkeypatch.setattr(importing, "STEP", 2)
    secretary = make_organiser(organisation=city.city, role="branch_secretary", now=NOW)[0]
    table(file, *[row(one) for one in (city.cleo, city.ben, city.ana)])
    assert told(enter(secretary, day, file, whole=whole)) == [("entered", None)] * 3
    assert figures.rostered(day.id, city.city.path).all.present == 3


def test_the_list_is_entered_for_as_long_as_an_organiser_may(
    city: City, day: Activity, secretary: Organiser, file: Path
) -> None:
    assert told(enter(secretary, day, table(file, row(city.ana)), NOW + 74 * HOUR)) == [("refused", "checkin_closed")]
    assert told(enter(secretary, day, file, NOW + 72 * HOUR)) == [("entered", None)]


def test_one_of_several_sittings_has_to_be_named(
    db: Session, city: City, day: Activity, secretary: Organiser, file: Path
) -> None:
    begins, ends = NOW - HOUR, NOW + HOUR
    second = Sitting(
        activity_id=day.id, starts_at=begins, ends_at=ends, checkin_opens_at=begins, checkin_closes_at=ends
    )
    db.add(second)
    db.commit()
    with pytest.raises(ServiceError, match="validation"):
        enter(secretary, day, table(file, row(city.ana)))
    assert told(enter(secretary, day, file, sitting=second.id)) == [("entered", None)]
    assert told(enter(secretary, day, file, sitting=day.sittings[0].id)) == [("entered", None)]
    with pytest.raises(ServiceError, match="not_found"):
        enter(secretary, day, file, sitting=make_activity().sittings[0].id)


def test_who_stays_with_the_branch_may_stand_on_its_list(db: Session, city: City, file: Path) -> None:
    attach(city.dan, city.east)
    day = make_day(city)
    secretary = make_organiser(organisation=city.east, role="branch_secretary", now=NOW)[0]
    assert told(enter(secretary, day, table(file, row(city.dan)), NOW)) == [("entered", None)]


def test_a_strangers_list_is_of_no_activity(city: City, day: Activity, file: Path) -> None:
    stranger = make_organiser(organisation=city.away, role="branch_secretary", now=NOW)[0]
    with pytest.raises(ServiceError, match="not_found"):
        enter(stranger, day, table(file, row(make_member(organisation=city.away))))


def test_it_is_noted_who_entered_how_many(
    db: Session, city: City, day: Activity, secretary: Organiser, file: Path
) -> None:
    enter(secretary, day, table(file, row(city.ana)))
    [note] = db.query(Note).filter_by(event="data.imported")
    assert note.details == {"what": "paper list", "activity": day.id, "rows": 1}


@pytest.mark.parametrize("name", ["安\0", "安\u200b", "\ufeff安"])
def test_what_cannot_be_seen_in_a_name_is_left_out(
    city: City, day: Activity, secretary: Organiser, file: Path, name: str
) -> None:
    assert told(enter(secretary, day, table(file, (city.ana.id, name)))) == [("entered", None)]


def test_half_a_pair_of_surrogates_is_no_text(city: City, day: Activity, secretary: Organiser, file: Path) -> None:
    file.write_bytes("党员编号,姓名\n".encode() + f"{city.ana.id},".encode() + b"\xed\xa0\x80\n")
    with pytest.raises(ServiceError, match="sheet_unreadable"):
        enter(secretary, day, file)
