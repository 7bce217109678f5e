"""The border of Sichuan as of a day."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from apiflask import APIFlask
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.org.divisions import import_shipped
from service.org.entries import Entry
from service.org.geography import changes, lookup, sets
from service.org.models import Division
from tests.concurrency import really_committed
from tests.factories import make_division

DAY = date(2026, 3, 1)
ENTRY = Entry(DAY)


@pytest.fixture(scope="module")
def shipped(shared_app: APIFlask) -> Iterator[None]:
    with shared_app.app_context(), really_committed():
        import_shipped()
        yield


@pytest.mark.usefixtures("shipped")
def test_fifty_five_counties_in_fourteen_prefectures(db: Session) -> None:
    border = sets.of_day(sets.BORDER, DAY)
    assert (len(border.divisions), len(border.prefectures)) == (55, 14)
    assert {one.level for one in border.divisions} == {"county"}
    assert "达州市" in {one.name for one in border.prefectures}
    assert not {"成都市", "自贡市", "德阳市"} & {one.name for one in border.prefectures}


@pytest.mark.usefixtures("shipped")
def test_what_is_shipped_is_found_in_its_time(db: Session) -> None:
    assert [one.code for one in lookup.find("呷依乡", parent="51", day=DAY)] == ["513332207"]
    assert [one.code for one in lookup.find("茨竹镇", parent="50", day=DAY)] == ["500109127"]
    former = [one.code for one in lookup.find("茨竹镇", parent="500112", day=date(2024, 4, 10))]
    assert former == ["500112140"]
    assert len(lookup.find("城关区", level="county", day=DAY)) > 1
    assert len(lookup.children(None, DAY)) == 34


@pytest.mark.usefixtures("shipped")
def test_an_abolished_county_leaves_the_set_and_its_successor_takes_its_place(db: Session) -> None:
    county = sets.of_day(sets.BORDER, DAY).divisions[0]
    parent = db.get_one(Division, county.parent_code)
    make_division("519999", name="新县", level="county", parent=parent)
    for township in lookup.children(county.code, DAY):
        changes.move(township.code, parent="519999", on=DAY, entry=ENTRY)
    changes.abolish(county.code, on=DAY, successor="519999", entry=ENTRY)
    before, after = (sets.of_day(sets.BORDER, day) for day in (DAY - timedelta(1), DAY))
    assert county.code in {one.code for one in before.divisions}
    assert {one.code for one in after.divisions} - {one.code for one in before.divisions} == {"519999"}
    assert len(after.divisions) == len(before.divisions) == 55
    sets.load_border()
    assert sets.of_day(sets.BORDER, DAY) == after


def test_no_such_set(db: Session) -> None:
    with pytest.raises(ServiceError, match="not_found"):
        sets.of_day("nowhere", DAY)
