"""What counts is said once: in every statement by `STANDS`, of a record by `counts`, and both say the same."""

from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.checkin.attendance import figures
from service.checkin.models import CheckIn, stands
from service.checkin.records import of_row
from tests.checkin.people import NOW, City, make_day

PROXY: dict[str, Any] = {"method": "proxy", "entered_by": 7, "reason": "无手机"}
CONFIRMED: dict[str, Any] = {"confirmed_at": NOW, "confirmed_by": 8}
ANNULLED: dict[str, Any] = {"annulled_at": NOW, "annul_reason": "误签"}


@pytest.fixture
def day(city: City) -> Activity:
    return make_day(city)


@pytest.mark.parametrize("annulled", [{}, ANNULLED])
@pytest.mark.parametrize("how", [{}, {"method": "paper", "entered_by": 7}, PROXY, PROXY | CONFIRMED])
def test_statements_and_records_say_the_same_of_what_stands(
    db: Session, city: City, day: Activity, how: dict[str, Any], annulled: dict[str, Any]
) -> None:
    where = {"organisation_path": city.east.path, "place_path": "54", "happened_at": NOW}
    row = CheckIn(
        activity_id=day.id,
        sitting_id=day.sittings[0].id,
        member_id=city.ana.id,
        reference="r",
        **where,
        **how,
        **annulled,
    )
    db.add(row)
    db.commit()
    counts = not annulled and (how.get("method") != "proxy" or "confirmed_at" in how)
    assert of_row(row).counts is counts
    assert (db.scalar(select(CheckIn.id).where(stands())) == row.id) is counts
    assert figures.open_to_all(day.id, city.city.path).guests == counts
    index = db.scalar(
        text("SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = 'uq_check_ins_standing'::regclass")
    )
    assert db.scalar(text(f"SELECT count(*) FROM check_ins WHERE {index}")) == counts
