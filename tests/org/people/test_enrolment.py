"""A roster is enrolled whole or not at all, and once."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from service.config import Config
from service.errors import ServiceError
from service.extensions import db as database
from service.org.models import Denial, Member, Organisation
from service.org.people import export, identity, standings
from service.org.people.enrolment import Outcome, enrol, judge
from service.org.people.entries import COLUMNS, entries, entry
from service.org.people.models import SealedNumber
from service.sheets import Row, write
from service.supervisor import HERE
from tests.concurrency import at_once, really_committed
from tests.factories import make_organisation, make_place, make_token
from tests.org.people.conftest import identity_of, phone_of, revealed

NOW = datetime(2026, 9, 1, tzinfo=UTC)


def row(number: int, branch: "Organisation | str", **cells: str) -> Row:
    """A row of person `number`."""
    said = {"name": f"党员{number}", "organisation": branch if isinstance(branch, str) else str(branch.id)}
    return Row(number, said | {"phone": phone_of(number), "identity": identity_of(number)} | cells)


def enrolled(*rows: Row, scope: str = "", dry: bool = False) -> Outcome:
    ring, found = identity.keyring(), map(entry, rows)
    return judge(found, scope=scope, ring=ring) if dry else enrol(found, scope=scope, ring=ring, now=NOW)


def told(outcome: Outcome) -> list[tuple[int, str, tuple[str, ...]]]:
    return [(one.row, one.fate, one.reasons) for one in outcome.fates]


@pytest.fixture
def city(db: Session) -> Organisation:
    return make_organisation(level="city")


@pytest.fixture
def branch(city: Organisation) -> Organisation:
    return make_organisation(name="甲支部", parent=city)


def test_everybody_is_added_and_found(db: Session, branch: Organisation) -> None:
    outcome = enrolled(*(row(number, branch) for number in range(2, 9)))
    assert outcome.counts == {"added": 7}
    ring = identity.keyring()
    for one in outcome.fates:
        assert one.member is not None
        assert identity.holder(ring, "phone", phone_of(one.row)) == one.member
        assert revealed(one.member, "identity") == identity_of(one.row)
        assert db.get_one(Member, one.member).name == f"党员{one.row}"


def test_a_second_time_nothing_changes(db: Session, branch: Organisation) -> None:
    rows = [row(number, branch) for number in range(2, 9)]
    first = enrolled(*rows)
    before = stored(db)
    second = enrolled(*rows)
    assert second.counts == {"same": 7}
    assert [one.member for one in second.fates] == [one.member for one in first.fates]
    assert stored(db) == before


def test_a_dry_run_tells_the_same_and_writes_nothing(db: Session, branch: Organisation) -> None:
    enrolled(row(2, branch))
    before = stored(db)
    rows = [row(2, branch, name="改名"), row(3, branch), row(4, "乙")]
    foreseen = enrolled(*rows, dry=True)
    assert stored(db) == before
    done = enrolled(*rows)
    assert (
        told(done)
        == told(foreseen)
        == [(2, "changed", ()), (3, "added", ()), (4, "refused", ("organisation_unknown",))]
    )
    assert done.digest == foreseen.digest


def test_differences_are_told_field_by_field(db: Session, branch: Organisation, city: Organisation) -> None:
    other, place = make_organisation(parent=city), make_place()
    enrolled(row(2, branch), row(3, branch, identity=""))
    changed = enrolled(
        row(2, other, name="新名", phone=phone_of(99), place=place.code, status="已转出"), row(3, branch)
    )
    assert changed.fates[0].changes == (
        ("name", "党员2", "新名"),
        ("organisation", str(branch.id), str(other.id)),
        ("place", "", place.code),
        ("status", "active", "left"),
        ("phone", "0002", "0099"),
    )
    assert changed.fates[1].changes == (("identity", "", identity_of(3)[-4:]),)
    member = changed.fates[0].member
    assert member is not None
    assert revealed(member, "phone") == phone_of(99)
    assert enrolled(row(2, other, name="新名", phone=phone_of(99))).counts == {"same": 1}


def test_how_members_stand_is_told_from_the_day_of_the_table(db: Session, branch: Organisation) -> None:
    [one] = enrolled(row(2, branch, category="预备党员")).fates
    assert one.member is not None
    assert standings.of_member(one.member) == []
    for status, category in (("失去联系", "预备"), ("流动党员", "正式"), ("流动", "full")):
        enrolled(row(2, branch, status=status, category=category))
    told = [(each.kind, each.since, each.value, each.former) for each in standings.of_member(one.member)]
    # On one day the last word counts.
    assert told == [
        ("category", NOW.date(), "full", "probationary"), ("status", NOW.date(), "floating", "active")
    ]  # fmt: skip
    db.expire_all()
    member = db.get_one(Member, one.member)
    assert (member.status, member.category) == ("floating", "full")


def test_what_the_row_does_not_say_stays(db: Session, branch: Organisation) -> None:
    place = make_place()
    enrolled(row(2, branch, place=place.code, status="已转出"))
    assert enrolled(row(2, branch, phone="")).counts == {"same": 1}
    assert db.query(Member).one().place_code == place.code
    assert db.query(SealedNumber).count() == 2


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"name": ""}, "name_missing"),
        ({"name": "名" * 51}, "name_too_long"),
        ({"organisation": ""}, "organisation_missing"),
        ({"phone": "", "identity": ""}, "number_missing"),
        ({"phone": "1234"}, "phone_invalid"),
        ({"identity": "1234"}, "identity_invalid"),
        ({"status": "?"}, "status_unknown"),
        ({"category": "?"}, "category_unknown"),
        ({"organisation": "没有"}, "organisation_unknown"),
        ({"organisation": "9" * 18}, "organisation_unknown"),
        ({"organisation": "9" * 30}, "organisation_unknown"),
        ({"organisation": "重名支部"}, "organisation_ambiguous"),
        ({"place": "000000"}, "place_unknown"),
        ({"phone": phone_of(50)}, "numbers_of_two_members"),
        ({"phone": phone_of(50), "identity": identity_of(77)}, "identity_differs"),
        ({"phone": phone_of(60), "identity": ""}, "member_elsewhere"),
    ],
)
def test_each_refusal_has_its_reason_and_the_others_go_on(
    db: Session, city: Organisation, branch: Organisation, cells: dict[str, str], reason: str
) -> None:
    for _ in range(2):
        make_organisation(name="重名支部", parent=city)
    enrolled(row(40, branch), row(50, branch), row(60, make_organisation()))
    outcome = enrolled(row(40, branch, **cells), row(41, branch), scope=city.path)
    assert told(outcome) == [(40, "refused", (reason,)), (41, "added", ())]


def test_whoever_is_elsewhere_is_refused_on_either_side_of_the_tree(db: Session) -> None:
    """By path before and behind the scope; a synthetic member within it; and branches by number."""
    before, city, behind = (make_organisation(level="city") for _ in range(3))
    inside, *outside = (make_organisation(parent=at) for at in (city, before, behind))
    for number, branch in enumerate((*outside, inside), 50):
        enrolled(row(number, branch))
    db.query(Member).filter_by(organisation_id=inside.id).update({"rehearsal": True})
    db.commit()
    told_of = enrolled(*(row(number, inside) for number in (50, 51, 52)), scope=city.path)
    assert {one.reasons for one in told_of.fates} == {("member_elsewhere",)}
    branches = enrolled(row(60, outside[0]), row(61, outside[1]), row(62, inside), scope=city.path)
    assert told(branches) == [
        (60, "refused", ("organisation_unknown",)), (61, "refused", ("organisation_unknown",)), (62, "added", ())
    ]  # fmt: skip


def test_a_branch_may_be_named_if_no_other_is(db: Session, city: Organisation, branch: Organisation) -> None:
    make_organisation(name=branch.name)
    assert told(enrolled(row(2, branch.name), dry=True)) == [(2, "refused", ("organisation_ambiguous",))]
    enrolled(row(2, branch.name), scope=city.path)
    assert db.query(Member).one().organisation_id == branch.id


def test_who_is_twice_in_the_file_is_enrolled_once(db: Session, branch: Organisation) -> None:
    outcome = enrolled(row(2, branch), row(3, branch, phone=phone_of(2)), row(4, branch, identity=identity_of(2)))
    assert told(outcome) == [(2, "added", ()), (3, "refused", ("repeated",)), (4, "refused", ("repeated",))]
    again = enrolled(row(5, branch, identity=identity_of(2), phone=""), row(6, branch, phone=phone_of(2), identity=""))
    assert told(again) == [(5, "changed", ()), (6, "refused", ("repeated",))]


def test_members_are_found_under_the_keys_before(
    app: APIFlask, db: Session, config: Config, branch: Organisation
) -> None:
    enrolled(row(2, branch))
    kept = app.config["CHUNSHUI"]
    app.config["CHUNSHUI"] = replace(config, secret_key="n" * 32, previous_secret_key=config.secret_key)
    try:
        assert enrolled(row(2, branch)).counts == {"same": 1}
    finally:
        app.config["CHUNSHUI"] = kept


def test_who_left_is_logged_out(db: Session, branch: Organisation) -> None:
    [one] = enrolled(row(2, branch)).fates
    assert one.member is not None
    member = db.get_one(Member, one.member)
    db.commit()
    make_session(member)
    enrolled(row(2, branch, status="失联"))
    assert db.query(Denial).count() == 0
    enrolled(row(2, branch, status="已转出"))
    assert db.query(Denial).filter_by(member_id=one.member).count() == 1


def make_session(member: Member) -> None:
    make_token(member=member, now=NOW)


def test_what_is_not_what_was_shown_is_not_written(db: Session, branch: Organisation) -> None:
    rows = [row(2, branch), row(3, branch)]
    shown = enrolled(*rows, dry=True)
    enrolled(row(3, branch, name="他人先改"))
    before = stored(db)
    with pytest.raises(ServiceError, match="conflict"):
        enrol(map(entry, rows), scope="", ring=identity.keyring(), now=NOW, expected=shown.digest)
    assert stored(db) == before


def test_a_file_that_breaks_off_leaves_nothing(db: Session, branch: Organisation) -> None:
    def broken() -> Iterator[Any]:
        yield entry(row(2, branch))
        raise ServiceError("sheet_unreadable", row=3)

    with pytest.raises(ServiceError, match="sheet_unreadable"):
        enrol(broken(), scope="", ring=identity.keyring(), now=NOW)
    assert db.query(Member).count() == 0


def test_of_two_at_once_one_waits_for_nobody_and_nothing_is_doubled(app: APIFlask) -> None:
    with really_committed():
        rows = [row(number, make_organisation()) for number in range(2, 40)]
        results = at_once(app, [partial(enrolled, *rows)] * 3)
        refused = [one.code for one in results if isinstance(one, ServiceError)]
        done = [one for one in results if isinstance(one, Outcome)]
        assert len(done) + len(refused) == 3
        assert set(refused) <= {"conflict"}
        assert sum(one.counts["added"] for one in done) == 38


CELLS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["", "甲", "乙"]),
        "phone": st.sampled_from(["", "x", phone_of(1), phone_of(2), phone_of(3)]),
        "identity": st.sampled_from(["", "x", identity_of(1), identity_of(2), identity_of(3)]),
        "status": st.sampled_from(["", "在册", "已转出"]),
    },
)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(CELLS, max_size=5), min_size=1, max_size=2))
def test_whatever_comes_every_row_has_a_fate_and_what_was_taken_stays(
    db: Session, branch: Organisation, files: Sequence[Sequence[dict[str, str]]]
) -> None:
    for cells in files:
        rows = [row(number, branch, **said) for number, said in enumerate(cells, 2)]
        outcome = enrolled(*rows)
        assert [one.row for one in outcome.fates] == [one.number for one in rows]
        again = {one.row: one.fate for one in enrolled(*rows).fates}
        # What was refused for a number that the file itself set free may be taken the second time.
        assert all(again[one.row] == "same" for one in outcome.fates if one.fate != "refused")
    counts = [db.query(SealedNumber).filter_by(kind=kind).count() for kind in ("phone", "identity")]
    assert max(counts) <= db.query(Member).count()


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_what_was_exported_whole_is_enrolled_again_without_a_change(
    db: Session, tmp_path: Path, branch: Organisation, kind: str
) -> None:
    enrolled(row(2, branch, status="出国（境）", category="正式"), row(3, branch, phone=""))
    enrolled(row(4, branch, identity="", name="=1+1"))
    file = tmp_path / f"roster.{kind}"
    with file.open("wb") as target:
        rows = export.rows("", ring=identity.keyring(), reveal=True, now=NOW)
        write(target, kind, headings=export.HEADINGS, rows=rows)
    found = list(entries(file))
    assert judge(found, scope="", ring=identity.keyring()).counts == {"same": 3}


def test_an_export_has_tails_only(db: Session, branch: Organisation, city: Organisation) -> None:
    enrolled(row(2, branch), row(3, make_organisation()))
    [only] = export.rows(city.path, ring=identity.keyring(), reveal=False, now=NOW)
    assert only[:5] == ("党员2", branch.id, branch.name, "*0002", f"*{identity_of(2)[-4:]}")


def test_the_command_shows_asks_writes_and_reports(app: APIFlask, config: Config, tmp_path: Path) -> None:
    file, report = tmp_path / "roster.csv", tmp_path / "report.csv"
    with really_committed():
        branch = make_organisation().id
        members()  # ends the transaction that has just asked for the number
        headings = [COLUMNS[name][0] for name in ("name", "organisation", "phone")]
        with file.open("wb") as target:
            write(target, "csv", headings=headings, rows=[("甲", branch, phone_of(2)), ("乙", branch, "1")])
        dry = command(config, "import", str(file), "--dry-run", "--report", str(report))
        assert (dry.returncode, "added 1" in dry.stdout, "row 3: not a phone number" in dry.stdout) == (1, True, True)
        assert report.read_text("utf-8-sig").splitlines()[2].startswith("3,refused,")
        assert command(config, "import", str(file), said="n\n").returncode == 1
        assert members() == 0
        done = command(config, "import", str(file), said="y\n")
        assert (done.returncode, members()) == (1, 1)
        assert phone_of(2) not in done.stdout + done.stderr + dry.stdout
        wrong = command(config, "import", str(report), "--yes")
        assert (wrong.returncode, "sheet_columns" in wrong.stderr) == (1, True)
        exported = tmp_path / "out.csv"
        assert command(config, "export", str(exported), "--reveal").returncode == 0
        assert phone_of(2) in exported.read_text("utf-8-sig")


def command(config: Config, *arguments: str, said: str = "") -> "subprocess.CompletedProcess[str]":
    """`chunshui roster …` in English against the test's database."""
    environ = {
        "PATH": os.environ["PATH"],
        "LANG": "en_US.UTF-8",
        "DATABASE_URL": config.database_url,
        "REDIS_URL": config.redis_url,
        "SECRET_KEY": config.secret_key,
    }
    line = [sys.executable, "-m", "service.cli", "roster", *arguments]
    return subprocess.run(line, cwd=HERE, env=environ, input=said, capture_output=True, text=True, check=False)


def members() -> int:
    """How many there are; leaves no transaction open."""
    count = database.session.query(Member).count()
    database.session.rollback()
    return count


def stored(db: Session) -> list[Any]:
    """Everything that enrolling may write."""
    db.expire_all()
    people = db.query(Member.id, Member.name, Member.organisation_id, Member.place_code, Member.status)
    numbers = db.query(SealedNumber.member_id, SealedNumber.kind, SealedNumber.ciphertext)
    return [people.order_by(Member.id).all(), numbers.order_by(SealedNumber.member_id, SealedNumber.kind).all()]
