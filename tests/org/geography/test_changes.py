"""Divisions that are abolished, renamed and moved, each from a day on, and what any day then looks like."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.org.divisions import import_divisions
from service.org.entries import Entry
from service.org.geography import changes, lookup
from service.org.geography.models import DivisionChange
from service.org.models import Division
from tests.factories import make_division

TODAY = date(2026, 3, 1)
ENTRY = Entry(TODAY, by=7)
NOTICE = date(2026, 1, 26)
DAYS = [date(2026, 1, day) for day in range(1, 21)]
pytestmark = pytest.mark.usefixtures("chongqing")


def test_an_abolished_one_is_there_until_the_day_before(db: Session) -> None:
    changes.abolish("500112140", on=NOTICE, successor="500109127", entry=ENTRY)
    assert lookup.by_code("500112140", date(2026, 1, 25)).successor_code == "500109127"
    with pytest.raises(ServiceError, match="division_unknown"):
        lookup.by_code("500112140", NOTICE)


def test_one_with_others_below_it_is_not_abolished(db: Session) -> None:
    with pytest.raises(ServiceError, match="division_in_use"):
        changes.abolish("500112", on=NOTICE, successor=None, entry=ENTRY)
    changes.abolish("500112140", on=NOTICE, successor=None, entry=ENTRY)
    changes.abolish("500112", on=NOTICE, successor=None, entry=ENTRY)
    assert [one.code for one in lookup.children("50", TODAY)] == ["500101", "500109"]
    assert [one.code for one in lookup.children("50", date(2026, 1, 1))] == ["500101", "500109", "500112"]


def test_one_that_moved_is_below_either_parent_in_its_time(db: Session) -> None:
    changes.move("500112140", parent="500109", on=NOTICE, entry=ENTRY)
    assert lookup.by_code("500112140", date(2026, 1, 25)).parent_name == "渝北区"
    assert lookup.by_code("500112140", NOTICE).parent_name == "北碚区"
    assert db.get_one(Division, "500112140").path == "50.500109.500112140"
    found = {
        day: [one.code for one in lookup.find("茨竹镇", parent="500112", day=day)] for day in (date(2026, 1, 1), TODAY)
    }
    assert found == {date(2026, 1, 1): ["500112140"], TODAY: []}


def test_who_lies_below_moves_along(db: Session) -> None:
    make_division("51")
    changes.move("500112", parent="51", on=NOTICE, entry=ENTRY)
    assert db.get_one(Division, "500112140").path == "51.500112.500112140"


def test_a_renamed_one_is_found_by_both_names(db: Session) -> None:
    changes.rename("500112", name="新渝区", on=NOTICE, entry=ENTRY)
    assert [lookup.by_code("500112", day).name for day in (date(2026, 1, 25), NOTICE)] == ["渝北区", "新渝区"]
    for name in ("渝北区", "新渝区"):
        assert [one.code for one in lookup.find(name, parent="50", day=TODAY)] == ["500112"]
    assert lookup.by_code("500112140", date(2026, 1, 1)).parent_name == "渝北区"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(entered=st.lists(st.tuples(st.sampled_from(DAYS), st.sampled_from("甲乙丙丁")), max_size=6))
def test_names_entered_in_any_order_are_those_of_the_days(db: Session, entered: list[tuple[date, str]]) -> None:
    """A name holds until the next one that is recorded; of two for one day the later entry holds.

    What is so already is not recorded.
    """
    db.rollback()
    db.query(DivisionChange).delete()
    db.get_one(Division, "500112").name = "渝北区"
    db.commit()
    recorded = {date.min: "渝北区"}

    def in_force(day: date) -> str:
        return recorded[max(on for on in recorded if on <= day)]

    for on, name in entered:
        changes.rename("500112", name=name, on=on, entry=ENTRY)
        if in_force(on) != name:
            recorded[on] = name
    assert [lookup.by_code("500112", day).name for day in DAYS] == [in_force(day) for day in DAYS]


def test_entering_a_change_again_changes_nothing(db: Session) -> None:
    for _ in range(2):
        changes.rename("500101", name="新万州区", on=NOTICE, entry=ENTRY)
        changes.move("500112140", parent="500109", on=NOTICE, entry=ENTRY)
        changes.abolish("500112", on=NOTICE, successor="500109", entry=ENTRY)
    assert db.scalar(select(func.count(DivisionChange.id))) == 3
    assert set(db.scalars(select(DivisionChange.entered_by))) == {7}


@pytest.mark.parametrize(
    ("refusal", "change"),
    [
        ("division_unknown", lambda: changes.rename("99", name="某地", on=NOTICE, entry=ENTRY)),
        ("division_unknown", lambda: changes.move("500112140", parent="99", on=NOTICE, entry=ENTRY)),
        ("division_level", lambda: changes.move("500112", parent="500112140", on=NOTICE, entry=ENTRY)),
        ("division_level", lambda: changes.move("500112", parent="500109", on=NOTICE, entry=ENTRY)),
        ("validation", lambda: changes.rename("500112", name="某区", on=date(2026, 3, 2), entry=ENTRY)),
    ],
)
def test_what_is_refused(db: Session, refusal: str, change: object) -> None:
    with pytest.raises(ServiceError, match=refusal):
        change()  # type: ignore[operator]


def test_an_import_leaves_a_changed_one_alone(db: Session, tmp_path: Path) -> None:
    changes.rename("500112", name="新渝区", on=NOTICE, entry=ENTRY)
    changes.move("500112140", parent="500109", on=NOTICE, entry=ENTRY)
    file = tmp_path / "divisions.csv"
    rows = "50,重庆市,province,\n500112,渝北区,county,50\n500112140,茨竹镇,township,500112\n500101,万州新区,county,50\n"
    file.write_text(f"code,name,level,parent_code\n{rows}")
    import_divisions(file)
    db.expire_all()
    assert db.get_one(Division, "500112").name == "新渝区"
    assert db.get_one(Division, "500112140").path == "50.500109.500112140"
    assert db.get_one(Division, "500101").name == "万州新区"
