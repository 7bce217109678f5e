"""Tables that are made, and tables of organisations: within one's own part of the tree, and unchanged on return."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from service.org.errands import rules
from service.org.models import Organisation
from service.org.organisers import Organiser
from service.sheets import read
from tests.factories import make_organisation
from tests.org.errands.steps import NOW, applied, compared, enrolled_meanwhile, exported, lines
from tests.org.people.conftest import phone_of


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_an_export_has_ones_own_part_of_the_tree_and_tails_only(
    tmp_path: Path,
    organiser: Organiser,
    branch: Organisation,
    format: str,  # noqa: A002
) -> None:
    enrolled_meanwhile(branch, 2)
    enrolled_meanwhile(make_organisation(), 3)
    _, found = rules.fetched(exported(organiser, "roster", format).id, organiser, NOW)
    file = tmp_path / f"roster.{format}"
    file.write_bytes(b"".join(found))
    [row] = read(file, headings={"姓名": "name", "手机号": "phone"})
    assert row.cells == {"name": "他人先改", "phone": f"*{phone_of(2)[-4:]}"}


def tree(*rows: str) -> bytes:
    return ("code,name,level,parent_code\n" + "".join(f"{row}\n" for row in rows)).encode()


def key(organisation: Organisation) -> str:
    return organisation.code or f"#{organisation.id}"


def test_organisations_are_brought_in_below_ones_own(
    db: Session, organiser: Organiser, city: Organisation, branch: Organisation
) -> None:
    elsewhere = make_organisation()
    elsewhere.code = "TAKEN"
    db.commit()
    table = tree(
        f"{key(city)},{city.name},city,{city.path.split('.')[0]}",
        f"{key(branch)},新名,branch,{key(city)}",
        f"B,乙支部,branch,{key(city)}",
        "T,县委,province,",
        f"TAKEN,改名,branch,{key(city)}",
        f"C,丙支部,branch,{key(elsewhere)}",
        f"#{elsewhere.id},改名,branch,{key(city)}",
    )
    errand = applied(organiser, table, subject="organisations")
    fates = [line.split(",")[3] for line in lines(organiser, errand)[1:]]
    assert fates == ["unchanged", "changed", "added", *["refused"] * 4]
    db.expire_all()
    assert branch.name == "新名"
    assert elsewhere.name != "改名"
    assert db.query(Organisation).filter_by(code="B").one().parent_id == city.id
    again = compared(organiser, table, subject="organisations")
    assert again.counts == {"unchanged": 3, "refused": 4}


def test_the_top_of_ones_own_part_is_for_those_above(organiser: Organiser, city: Organisation) -> None:
    errand = compared(organiser, tree(f"{key(city)},改名,city,"), subject="organisations")
    assert errand.counts == {"refused": 1}
    assert rules.differences(errand.id, organiser)[0]["details"].endswith("(forbidden)")


def test_what_was_exported_is_brought_in_again_without_a_change(
    organiser: Organiser, city: Organisation, branch: Organisation
) -> None:
    other = make_organisation(level="city", parent=make_organisation(level="province"))
    make_organisation(parent=city, joint="functional")
    shared = make_organisation(parent=city, joint="service")
    share(shared, other)
    share(shared, branch_parent := make_organisation(level="county", parent=city))
    errand = exported(organiser, "organisations", "csv")
    table = "\n".join(lines(organiser, errand))
    assert key(branch_parent) in table.splitlines()[-1].split(",")[-1] or str(branch_parent.id) in table
    assert f"#{other.id}" not in table
    again = compared(organiser, table.encode(), subject="organisations")
    assert again.counts == {"unchanged": 5}


def share(joint: Organisation, parent: Organisation) -> None:
    from service.org.entries import Entry
    from service.org.tree import changes

    changes.join(joint.id, parent=parent.id, on=NOW.date(), until=None, entry=Entry(NOW.date()))
