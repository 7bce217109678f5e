"""Importing organisations from files and exporting them again: every row's fate, repeats, dry runs."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.org.entries import Entry
from service.org.models import Organisation
from service.org.tree import asof, changes
from service.org.tree.exporting import export_organisations
from service.org.tree.importing import import_organisations
from tests.factories import make_division, make_organisation

TODAY = date(2026, 3, 1)
ENTRY = Entry(TODAY)
HEADER = "组织代码,组织名称,层级,上级组织代码,行政区划代码,联建类型,其他上级代码\n"
TREE = (
    "B1,城北支部,支部,T1",
    "P,省委,province,",
    "C1,甲市委,市,P",
    "C2,乙市委,市,P",
    "X1,甲县委,县,C1",
    "X2,乙县委,县,C2",
    "T1,城关镇党委,乡镇,X1",
    "J,边界联合支部,支部,X1,,功能型,X2",
)
TABLES = ("organisations", "affiliations", "organisation_paths", "organisation_changes")


def csv(folder: Path, rows: Sequence[str]) -> Path:
    file = folder / "organisations.csv"
    file.write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return file


def load(folder: Path, rows: Sequence[str], *, on: date = TODAY, dry_run: bool = False) -> dict[str, list[str]]:
    """What became of each row, the refusal or the changes behind it."""
    found = import_organisations(csv(folder, rows), on=on, entry=ENTRY, dry_run=dry_run)
    return {one.code: [one.fate, *one.what] for one in found}


def stored(db: Session) -> dict[str, list[object]]:
    """Every row with the version that PostgreSQL gave it."""
    return {
        table: list(db.execute(text(f"SELECT t::text, xmin::text, ctid::text FROM {table} t ORDER BY 1")).all())
        for table in TABLES
    }


def numbers(db: Session) -> dict[str | None, int]:
    return {row.code: row.id for row in db.execute(select(Organisation.code, Organisation.id))}


def names_above(db: Session, code: str, day: date = TODAY) -> list[list[str]]:
    """The paths of an organisation, in codes."""
    codes = {number: code for code, number in numbers(db).items()}
    number = numbers(db)[code]
    return [[str(codes[int(one)]) for one in path.split(".")] for path in asof.paths(number, day)]


def test_a_tree_is_loaded_whatever_the_order_of_its_rows(db: Session, tmp_path: Path) -> None:
    assert load(tmp_path, TREE) == {row.split(",")[0]: ["added"] for row in TREE}
    assert names_above(db, "B1") == [["P", "C1", "X1", "T1", "B1"]]
    assert names_above(db, "J") == [["P", "C1", "X1", "J"], ["P", "C2", "X2", "J"]]
    branch = db.scalars(select(Organisation).where(Organisation.code == "B1")).one()
    assert branch.path.split(".")[-2:] == [str(branch.parent_id), str(branch.id)]


def test_loading_twice_writes_nothing_the_second_time(db: Session, tmp_path: Path) -> None:
    load(tmp_path, TREE)
    before = stored(db)
    assert set(map(tuple, load(tmp_path, TREE).values())) == {("unchanged",)}
    assert stored(db) == before


def test_a_dry_run_says_the_same_and_keeps_nothing(db: Session, tmp_path: Path) -> None:
    load(tmp_path, TREE)
    before = stored(db)
    changed = ["X1,甲县委,县,C2", "N,新支部,支部,T1", "C2,丙市委,市,P", "Z,无主支部,支部,没有"]
    said = load(tmp_path, changed, dry_run=True)
    assert stored(db) == before
    assert load(tmp_path, changed) == said
    assert said == {
        "X1": ["changed", "moved"],
        "N": ["added"],
        "C2": ["changed", "renamed"],
        "Z": ["refused", "parent_unknown"],
    }


def test_what_was_before_the_day_of_the_file_stays(db: Session, tmp_path: Path) -> None:
    load(tmp_path, TREE, on=date(2026, 1, 1))
    assert load(tmp_path, ["X1,新甲县委,县,C2"], on=date(2026, 2, 1)) == {"X1": ["changed", "moved", "renamed"]}
    before, after = date(2026, 1, 31), date(2026, 2, 1)
    assert names_above(db, "B1", before) == [["P", "C1", "X1", "T1", "B1"]]
    assert names_above(db, "B1", after) == [["P", "C2", "X1", "T1", "B1"]]
    shown = [asof.node(numbers(db)["X1"], day) for day in (before, after)]
    assert [one.name for one in shown if one] == ["甲县委", "新甲县委"]


def test_two_that_change_places_do_not_stand_in_each_others_way(db: Session, tmp_path: Path) -> None:
    load(tmp_path, ["P,省委,省,", "A,甲,支部,P", "B,乙,支部,A", "C,丙,支部,B"])
    assert load(tmp_path, ["C,丙,支部,P", "B,乙,支部,C", "A,甲,支部,B"]) == {
        "C": ["changed", "moved"],
        "B": ["changed", "moved"],
        "A": ["changed", "moved"],
    }
    assert names_above(db, "A") == [["P", "C", "B", "A"]]


@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        ("N,,支部,T1", "validation"),
        ("N,支部,班组,T1", "validation"),
        ("N,支部,支部,T1,,联谊型", "validation"),
        ("N,支部,支部,T1,,,X2", "validation"),
        ("N,支部,支部,", "parent_unknown"),
        ("N,支部,支部,没有", "parent_unknown"),
        ("N,市委,市,X1", "organisation_level"),
        ("N,支部,支部,J", "organisation_level"),
        ("N,支部,支部,N", "organisation_circle"),
        ("N,支部,支部,T1,99", "division_unknown"),
        ("#99,支部,支部,T1", "not_found"),
        ("B1,城北支部,乡镇,T1", "conflict"),
        ("B1,城北支部,支部,", "conflict"),
        ("X1,甲县委,县,T1", "organisation_level"),
        ("X1,甲县委,县,X1", "organisation_circle"),
    ],
)
def test_a_row_is_refused_for_its_own_reason_alone(db: Session, tmp_path: Path, row: str, refusal: str) -> None:
    load(tmp_path, TREE)
    fates = load(tmp_path, [row, "K,好支部,支部,T1"])
    assert fates[row.split(",")[0]] == ["refused", refusal]
    assert fates["K"] == ["added"]


def test_who_lies_below_a_refused_row_is_refused_too(db: Session, tmp_path: Path) -> None:
    load(tmp_path, TREE)
    fates = load(tmp_path, ["N2,支部,支部,N1", "N1,乡党委,乡镇,没有", "B1,城北支部,支部,T1"])
    assert [fates["N1"][0], fates["N2"][0], fates["B1"][0]] == ["refused", "refused", "unchanged"]


def test_rows_in_a_circle_are_refused(db: Session, tmp_path: Path) -> None:
    fates = load(tmp_path, ["A,甲,支部,B", "B,乙,支部,A", "C,丙,支部,A", "P,省委,省,"])
    assert [fates[code][0] for code in "ABCP"] == ["refused", "refused", "refused", "added"]


def test_the_second_of_two_rows_with_one_code_is_refused(db: Session, tmp_path: Path) -> None:
    found = import_organisations(csv(tmp_path, ["P,省委,省,", "P,另一省委,省,"]), on=TODAY, entry=ENTRY)
    assert [(one.row, one.fate) for one in found] == [(2, "added"), (3, "refused")]


def test_a_closed_one_takes_nobody(db: Session, tmp_path: Path) -> None:
    load(tmp_path, TREE, on=date(2026, 1, 1))
    changes.close(numbers(db)["B1"], on=TODAY, entry=ENTRY)
    fates = load(tmp_path, ["N,支部,支部,B1", "B1,城北支部,支部,T1"])
    assert fates == {"N": ["refused", "organisation_closed"], "B1": ["refused", "organisation_closed"]}


def test_the_day_of_a_file_is_not_to_come(db: Session, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="validation"):
        load(tmp_path, TREE, on=date(2026, 3, 2))


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_what_was_exported_changes_nothing_when_it_is_loaded(db: Session, tmp_path: Path, kind: str) -> None:
    make_division()
    load(tmp_path, [*TREE, "P2,外省委,省,,51", "X3,外县委,县,P2"])
    load(tmp_path, ["J,边界联合支部,支部,X1,,功能型,X3"])
    without_code = make_organisation(parent=db.get_one(Organisation, numbers(db)["T1"]))
    make_organisation(parent=without_code)
    file = tmp_path / f"all.{kind}"
    with file.open("wb") as target:
        count = export_organisations(target, kind, below=None, day=TODAY)
    before = stored(db)
    found = import_organisations(file, on=TODAY, entry=ENTRY)
    assert len(found) == count == 12
    assert {(one.fate, *one.what) for one in found} == {("unchanged",)}
    assert stored(db) == before


def test_an_export_is_as_of_a_day_and_below_one(db: Session, tmp_path: Path) -> None:
    load(tmp_path, TREE, on=date(2026, 1, 1))
    load(tmp_path, ["T1,城关镇党委,乡镇,X2"], on=date(2026, 2, 1))
    file = tmp_path / "county.csv"
    for day, codes in ((date(2026, 1, 15), ["X1", "T1", "B1", "J"]), (TODAY, ["X1", "J"])):
        with file.open("wb") as target:
            export_organisations(target, "csv", below=numbers(db)["X1"], day=day)
        lines = file.read_text(encoding="utf-8-sig").splitlines()[1:]
        assert sorted(line.split(",")[0] for line in lines) == sorted(codes)


def test_a_parent_for_a_time_stays_one_for_that_time(db: Session, tmp_path: Path) -> None:
    load(tmp_path, TREE)
    joint, other, until = numbers(db)["J"], numbers(db)["T1"], date(2026, 6, 1)
    changes.join(joint, parent=other, on=TODAY, until=until, entry=ENTRY)
    assert load(tmp_path, ["J,边界联合支部,支部,X1,,功能型,X2;T1"]) == {"J": ["unchanged"]}
    assert len(names_above(db, "J", until)) == 2


def test_a_parent_that_is_unknown_is_told(db: Session, tmp_path: Path) -> None:
    fates = load(tmp_path, [*TREE[:-1], "J,边界联合支部,支部,X1,,功能型,没有;X2"])
    assert fates["J"] == ["added", "parent_unknown"]
    assert len(names_above(db, "J")) == 2
