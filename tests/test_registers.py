"""The commands that keep the registers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask

from service.config import Config
from service.extensions import db
from service.org.models import Division, Organisation
from tests.commands import chunshui
from tests.concurrency import really_committed
from tests.factories import make_division, make_organisation

HEADER = "code,name,level,parent_code\n"


@pytest.fixture(autouse=True)
def committed(app: APIFlask) -> Iterator[None]:
    with really_committed():
        yield


def csv(folder: Path, *lines: str) -> Path:
    file = folder / "organisations.csv"
    file.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return file


def test_organisations_are_loaded_with_every_rows_fate(config: Config, tmp_path: Path) -> None:
    file, fates = csv(tmp_path, "P,省委,省,", "A,某支部,支部,P", "B,某支部,支部,X"), tmp_path / "fates.csv"
    dry = chunshui(config, "import", "organisations", str(file), "--dry-run")
    assert (dry.exit_code, db.session.query(Organisation).count()) == (1, 0)
    assert "added 2, changed 0, unchanged 0, refused 1" in dry.output
    assert "nothing was kept" in dry.output
    done = chunshui(config, "import", "organisations", str(file), "--fates", str(fates))
    assert (done.exit_code, db.session.query(Organisation).count()) == (1, 2)
    assert "parent_unknown" in done.output
    assert [line.split(",")[3] for line in fates.read_text("utf-8-sig").splitlines()[1:]] == [
        "added",
        "added",
        "refused",
    ]
    exported = tmp_path / "all.xlsx"
    assert chunshui(config, "organisation", "export", str(exported)).exit_code == 0
    again = chunshui(config, "import", "organisations", str(exported))
    assert (again.exit_code, again.output) == (0, "added 0, changed 0, unchanged 2, refused 0\n")


def test_a_file_that_is_none_is_told_in_one_line(config: Config, tmp_path: Path) -> None:
    done = chunshui(config, "import", "organisations", str(csv(tmp_path)), "--on", "2999-01-01")
    assert (done.exit_code, "validation" in done.output) == (1, True)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    done = chunshui(config, "import", "organisations", str(tmp_path / "x.csv"))
    assert (done.exit_code, "sheet_columns" in done.output) == (1, True)
    assert chunshui(config, "organisation", "export", str(tmp_path / "all.doc")).exit_code == 2


def test_every_change_of_an_organisation(config: Config) -> None:
    province = make_organisation(level="province")
    one, other = (make_organisation(level="county", parent=province) for _ in range(2))
    joint, branch = make_organisation(parent=one, joint="service"), make_organisation(parent=one)
    numbers = {"one": one.id, "other": other.id, "joint": joint.id, "branch": branch.id}
    for words in (
        "join {joint} --parent {other} --on 2026-01-01 --until 2027-01-01",
        "part {joint} --parent {other} --on 2026-02-01",
        "move {joint} --to {other} --on 2026-02-01",
        "rename {one} 新县委 --on 2026-02-01",
        "merge {one} --into {other} --on 2026-02-02",
        "close {branch}",
    ):
        done = chunshui(config, "organisation", *words.format(**numbers).split())
        assert (done.exit_code, done.output) == (0, "recorded\n")
    refused = chunshui(config, "organisation", "close", str(other.id))
    assert (refused.exit_code, "organisation_in_use" in refused.output) == (1, True)


def test_every_change_of_a_division(config: Config) -> None:
    province = make_division("50", name="重庆市")
    for code, name in (("500112", "渝北区"), ("500109", "北碚区")):
        make_division(code, name=name, level="county", parent=province)
    make_division("500112140", name="茨竹镇", level="township", parent=db.session.get(Division, "500112"))
    for words in (
        "move 500112140 --to 500109 --on 2026-01-26",
        "abolish 500112 --successor 500109 --on 2026-01-26",
        "rename 500109 新碚区 --on 2026-01-26",
        "alias 500109 北培区",
    ):
        done = chunshui(config, "division", *words.split())
        assert (done.exit_code, done.output) == (0, "recorded\n")
    found = chunshui(config, "division", "find", "茨竹镇", "--parent", "50")
    assert (found.exit_code, found.output) == (0, "500112140\t茨竹镇\t新碚区\t\n")
    assert chunshui(config, "division", "find", "北培区", "--level", "county").exit_code == 0
    assert chunshui(config, "division", "find", "渝北区", "--level", "county").exit_code == 1
    alone = chunshui(config, "division", "find", "茨竹镇")
    assert (alone.exit_code, "lookup_context" in alone.output) == (1, True)
