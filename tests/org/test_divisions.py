"""The shipped divisions, and importing others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask
from sqlalchemy import func, select, text

from service.extensions import db
from service.org.divisions import DATA, DivisionsError, import_divisions, import_shipped
from service.org.models import CountyBorder, Division, within
from tests.concurrency import really_committed

HEADER = "code,name,level,parent_code\n"


@pytest.fixture(autouse=True)
def committed(app: APIFlask) -> Iterator[None]:
    with really_committed():
        yield


def csv(folder: Path, *lines: str, header: str = HEADER) -> Path:
    file = folder / "divisions.csv"
    file.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def paths() -> dict[str, str]:
    return {row.code: row.path for row in db.session.execute(select(Division.code, Division.path))}


def count(*conditions: object) -> int:
    return db.session.scalar(select(func.count(Division.code)).where(*conditions)) or 0  # type: ignore[arg-type]


def test_the_shipped_divisions_twice() -> None:
    assert import_shipped() == import_shipped() == 41_965
    rows = db.session.execute(select(Division.level, func.count(Division.code)).group_by(Division.level))
    levels = {row[0]: row[1] for row in rows}
    assert levels == {"province": 34, "prefecture": 333, "county": 2_848, "township": 38_750}
    found = paths()
    # Chongqing's counties hang directly under it; cutting 500109 would invent a 5001.
    assert found["500109127"] == "50.500109.500109127"
    assert found["513332207"] == "51.5133.513332.513332207"
    assert count(within(Division.path, "51"), Division.level == "township") == 3_182
    abolished = db.session.get(Division, "500112140")
    assert abolished is not None
    assert (str(abolished.valid_to), abolished.successor_code) == ("2026-01-25", "500109127")
    borders = db.session.query(CountyBorder).all()
    assert (len(borders), len({one.county_code for one in borders})) == (115, 55)


def test_a_whole_country_has_more_time_than_a_request() -> None:
    db.session.execute(text("SET LOCAL statement_timeout = '20ms'"))
    assert import_divisions(DATA / "divisions.csv") == 41_963


def test_importing_twice_writes_nothing_the_second_time(tmp_path: Path) -> None:
    file = csv(tmp_path, "51,四川省,province,", "5101,成都市,prefecture,51")
    import_divisions(file)
    versions = text("SELECT code, xmin::text, ctid::text FROM divisions ORDER BY code")
    before = db.session.execute(versions).all()
    import_divisions(file)
    assert db.session.execute(versions).all() == before


def test_a_part_hangs_under_what_is_stored(tmp_path: Path) -> None:
    import_divisions(csv(tmp_path, "51,四川省,province,", "5101,成都市,prefecture,51"))
    import_divisions(csv(tmp_path, "510104,锦江区,county,5101"))
    assert paths()["510104"] == "51.5101.510104"


def test_who_lies_below_moves_along(tmp_path: Path) -> None:
    import_divisions(
        csv(tmp_path, "50,重庆市,province,", "51,四川省,province,", "5101,甲,prefecture,51", "510101,乙,county,5101")
    )
    import_divisions(csv(tmp_path, "5101,甲市,prefecture,50"))
    assert paths()["510101"] == "50.5101.510101"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "no rows"),
        (["51,四川省,province,99"], "no such parent"),
        (["51,甲,province,52", "52,乙,province,51"], "circle"),
        (["51,四川省,planet,"], "line 2"),
        (["51,四川省,province,", "五一,某地,county,51"], "line 3"),
        (["51,,province,"], "line 2"),
        (["51"], "line 2"),
    ],
)
def test_a_bad_file_is_named_and_changes_nothing(tmp_path: Path, lines: list[str], reason: str) -> None:
    with pytest.raises(DivisionsError, match=reason):
        import_divisions(csv(tmp_path, *lines))
    assert count() == 0


def test_a_bad_date(tmp_path: Path) -> None:
    header = "code,name,level,parent_code,valid_to\n"
    with pytest.raises(DivisionsError, match="line 2"):
        import_divisions(csv(tmp_path, "51,四川省,province,,tomorrow", header=header))


def test_another_file_altogether(tmp_path: Path) -> None:
    with pytest.raises(DivisionsError, match="line 2"):
        import_divisions(csv(tmp_path, "1,2", header="a,b\n"))
