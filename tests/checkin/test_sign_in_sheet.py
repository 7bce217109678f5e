"""The sign-in sheet: who stands on it, in whose part of the tree, what it prints, and that it can be typed in again."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from flask import current_app
from python_calamine import CalamineWorkbook
from sqlalchemy import true
from sqlalchemy.orm import Session

from service import audit
from service.activity.models import Activity, Sitting
from service.audit.models import Note
from service.audit.notes import pseudonym
from service.checkin.attendance import leaves, lists, printing, roster, sheet
from service.checkin.attendance.sheet import Asked, Sheet
from service.checkin.group import sessions
from service.checkin.group.sessions import Screen
from service.checkin.paper import importing
from service.checkin.paper.importing import Wish
from service.clock import now as read_clock
from service.errors import ServiceError
from service.org.models import Organisation
from service.org.organisers import Organiser
from service.org.person import rights
from tests.checkin.people import DAY, NOW, City, attach, come, make_city, make_day
from tests.factories import HOUR, make_activity, make_member, make_organiser


@pytest.fixture
def city(db: Session) -> City:
    city = make_city()
    for member, name in zip(city.everybody, ("安", "本", "克", "丹"), strict=True):
        member.name = name
    db.commit()
    return city


@pytest.fixture
def day(city: City) -> Activity:
    """Frozen: Ana (on leave) and Ben of the east, Cleo of the west, Dan from away who stays in the east."""
    attach(city.dan, city.east)
    day = make_day(city)
    roster.freeze(day.id, NOW)
    leave = leaves.ask(day.id, city.ana.id, reason="出差", by=None, now=NOW)
    leaves.decide(day.id, leave.id, approved=True, visible=true(), by=7, now=NOW)
    return day


@pytest.fixture
def secretary(city: City) -> Organiser:
    """Of the whole city."""
    return make_organiser(organisation=city.city, role="branch_secretary", now=NOW)[0]


def taken(by: Organiser, day: Activity, node: Organisation, **more: Any) -> Sheet:
    return sheet.take(by, Asked(activity=day.id, node=node.id, **more), NOW)


def told(found: Sheet) -> dict[int, tuple[str, bool, str | None, bool]]:
    return {one.member: (one.standing, one.staying, one.method, one.on_leave) for one in found.lines}


def printed(found: Sheet, language: str = "zh") -> bytes:
    target = io.BytesIO()
    printing.write(target, found, language)
    return target.getvalue()


def rows(raw: bytes) -> list[list[Any]]:
    return CalamineWorkbook.from_filelike(io.BytesIO(raw)).get_sheet_by_index(0).to_python()


def inside(raw: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return archive.read("xl/worksheets/sheet1.xml").decode()


def test_everybody_has_a_line_with_standing_and_how_he_came(
    db: Session, city: City, day: Activity, secretary: Organiser
) -> None:
    guest = make_member(organisation=city.west)
    lists.add_guest(day.id, guest.id, by=7, now=NOW)
    come(day, city.ben)
    come(day, city.dan, method="group", entered_by=7)
    assert told(taken(secretary, day, city.city)) == {
        city.ana.id: ("expected", False, None, True),
        city.ben.id: ("expected", False, "self", False),
        city.cleo.id: ("expected", False, None, False),
        city.dan.id: ("expected", True, "group", False),
        guest.id: ("guest", False, None, False),
    }
    found = taken(secretary, day, city.east)
    assert set(told(found)) == {city.ana.id, city.ben.id, city.dan.id}
    assert found.counts == {"expected": 2, "present": 1, "on_leave": 1, "staying": 1}


def test_before_the_start_it_is_the_roster_that_would_be(db: Session, city: City, secretary: Organiser) -> None:
    """That is when one prints it."""
    attach(city.dan, city.east)
    lists.exempt(city.ana.id, reason="高龄", starts_on=DAY, ends_on=None, by=7, now=NOW)
    day = make_day(city, opens=HOUR, closes=2 * HOUR)
    before = told(taken(secretary, day, city.city))
    assert before == {
        city.ana.id: ("exempt", False, None, False),
        city.ben.id: ("expected", False, None, False),
        city.cleo.id: ("expected", False, None, False),
        city.dan.id: ("expected", True, None, False),
    }
    roster.freeze(day.id, NOW + 2 * HOUR)
    assert told(taken(secretary, day, city.city)) == before


def test_an_open_activity_lists_who_came_and_nobody_else(db: Session, city: City, secretary: Organiser) -> None:
    day = make_activity(now=NOW)
    come(day, city.ana, city.dan)
    found = taken(secretary, day, city.city)
    assert told(found) == {city.ana.id: ("guest", False, "self", False)}
    assert rows(printed(found))[1][4:7] == ["参加", "实到", "自行签到"]


def test_of_several_sittings_each_has_its_sheet(db: Session, city: City, day: Activity, secretary: Organiser) -> None:
    begins, ends = NOW - HOUR, NOW + HOUR
    second = Sitting(
        activity_id=day.id, starts_at=begins, ends_at=ends, checkin_opens_at=begins, checkin_closes_at=ends
    )
    db.add(second)
    db.commit()
    come(day, city.ben, sitting=second.id)
    first = day.sittings[0].id if day.sittings[0].id != second.id else day.sittings[1].id
    came = [told(taken(secretary, day, city.east, sitting=one))[city.ben.id][2] for one in (first, second.id, None)]
    assert came == [None, "self", "self"]
    with pytest.raises(ServiceError, match="not_found"):
        taken(secretary, day, city.east, sitting=make_activity().sittings[0].id)


def test_who_moved_later_stands_where_the_roster_says(
    db: Session, city: City, day: Activity, secretary: Organiser
) -> None:
    city.ben.organisation_id = city.west.id
    db.commit()
    come(day, city.ben)
    assert city.ben.id in told(taken(secretary, day, city.east))
    assert city.ben.id not in told(taken(secretary, day, city.west))


def test_nobody_takes_along_what_lies_elsewhere(city: City, day: Activity) -> None:
    of_east = make_organiser(organisation=city.east, role="branch_secretary", now=NOW)[0]
    assert len(taken(of_east, day, city.east).lines) == 3
    for node in (city.west, city.city, city.away):
        with pytest.raises(ServiceError, match="not_found"):
            taken(of_east, day, node)
    stranger = make_organiser(organisation=city.away, role="branch_secretary", now=NOW)[0]
    with pytest.raises(ServiceError, match="not_found"):
        taken(stranger, day, city.away)


def test_that_it_was_taken_is_noted_with_the_highest_label(
    db: Session, city: City, day: Activity, secretary: Organiser
) -> None:
    taken(secretary, day, city.east)
    sheet.take(secretary, Asked(activity=day.id, node=city.east.id), NOW, actor=audit.OPERATOR)
    first, second = db.query(Note).filter_by(event="data.exported").order_by(Note.id)
    assert first.details == {
        "what": "sign-in sheet", "activity": day.id, "node": city.east.id, "label": "sensitive", "rows": 3
    }  # fmt: skip
    me = pseudonym(audit.Party("organiser", secretary.id), current_app.config["CHUNSHUI"])
    assert (first.actor, first.subject, second.actor, second.subject) == (me, None, "operator", me)


def test_too_many_for_a_request_are_refused_and_not_noted(
    db: Session, city: City, day: Activity, secretary: Organiser
) -> None:
    asked = Asked(activity=day.id, node=city.east.id)
    with pytest.raises(ServiceError, match="sheet_too_large"):
        sheet.take(secretary, asked, NOW, most=2)
    assert db.query(Note).filter_by(event="data.exported").count() == 0
    assert len(sheet.take(secretary, asked, NOW, most=3).lines) == 3


def test_it_prints_on_a4_with_a_title_and_a_page_for_each_branch(
    city: City, day: Activity, secretary: Organiser
) -> None:
    session = sessions.begin(
        secretary, day.id, Screen(reference="screen-1", organisation=city.east.id, place="村", screen="tv"), NOW
    )[0]
    sessions.count_heads(secretary, day.id, session.id, 40, NOW)
    come(day, city.ben)
    found = taken(secretary, day, city.city)
    raw = printed(found)
    table = rows(raw)
    assert table[0] == ["序号", "党员编号", "姓名", "所在支部", "类别", "情况", "签到方式", "签到时间", "签名"]
    states = {row[2]: (row[4], row[5], row[6], row[7], row[8]) for row in table[1:]}
    assert states == {
        "安": ("应到", "请假", "", "", ""),
        "本": ("应到", "实到", "自行签到", "2026-09-20 17:00", ""),
        "克": ("应到", "", "", "", ""),
        "丹": ("应到 (流入)", "", "", "", ""),
    }
    page = inside(raw)
    assert 'paperSize="9"' in page
    assert "学习新思想、建功新时代 签到表" in page
    assert "应到 3  实到 1  请假 1  流入 1  集中收看清点人数（不记名，不计入） 40" in page
    assert "敏感" in page
    assert len(re.findall("<brk ", page)) == len({one.home_path for one in found.lines}) - 1 == 2
    assert rows(printed(found, "en"))[1][5:6] == ["on leave"]


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "＝1", "'=1"])
def test_no_name_is_a_formula(db: Session, city: City, day: Activity, secretary: Organiser, name: str) -> None:
    city.ana.name = name
    db.commit()
    raw = printed(taken(secretary, day, city.east))
    assert "<f>" not in inside(raw)
    [cell] = [row[2] for row in rows(raw)[1:] if row[1] == city.ana.id]
    assert cell == f"'{name}"


def test_a_theme_is_no_command_of_the_header(db: Session, city: City, day: Activity, secretary: Organiser) -> None:
    day.theme, found = "&D&P" + "长" * 300, None
    db.commit()
    found = taken(secretary, day, city.east)
    page = inside(printed(found))
    assert "&amp;&amp;D&amp;&amp;P长" in page
    header = re.search("<oddHeader>(.*)</oddHeader>", page, re.S)
    assert header
    assert len(header[1].replace("&amp;", "&")) <= 255


def test_signed_on_paper_it_is_typed_in_again(
    db: Session, city: City, day: Activity, secretary: Organiser, tmp_path: Path
) -> None:
    """Whoever came stands there already; who signed is entered; who did not is not."""
    come(day, city.ben)
    table = rows(printed(taken(secretary, day, city.city)))
    file = tmp_path / "signed.csv"
    for row in table[1:]:
        row[8] = "√" if row[2] in ("本", "克") else ""
    file.write_text("\n".join(",".join(str(int(x)) if isinstance(x, float) else str(x) for x in row) for row in table))
    outcome = importing.enter(secretary, day.id, file, Wish(), NOW + HOUR)
    assert {one.member: one.fate for one in outcome.fates if one.member} == {
        city.ben.id: "there", city.cleo.id: "entered"
    }  # fmt: skip
    assert outcome.counts == {"there": 1, "entered": 1, "unsigned": 2}


def test_whoever_was_forgotten_has_a_line_without_a_name(
    db: Session, city: City, day: Activity, secretary: Organiser
) -> None:
    come(day, city.ben)
    before = taken(secretary, day, city.east).counts
    rights.erase(city.ben.id, actor=audit.OPERATOR, now=NOW + 40 * 24 * HOUR)
    found = taken(secretary, day, city.east)
    assert found.counts == before
    assert [row[1:3] for row in rows(printed(found)) if row[5] == "实到"] == [["", ""]]


def test_the_door(client: Any, db: Session, city: City) -> None:
    day = make_activity(lead=city.city, invited=[city.city])
    roster.freeze(day.id, read_clock())
    client.set_cookie("chunshui_organiser", make_organiser(organisation=city.east, role="branch_secretary")[1])
    path = f"/api/v1/activities/{day.id}/sign-in-sheet.xlsx"
    answer = client.get(path, query_string={"node": city.east.id})
    assert (answer.status_code, answer.content_type) == (200, printing.KIND)
    assert answer.headers["Content-Disposition"] == f"attachment; filename=sign-in-{day.id}-{city.east.id}.xlsx"
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(rows(answer.data)) == 3
    assert client.get(path, query_string={"node": city.west.id}).json["code"] == "not_found"
    assert client.get(path).json["code"] == "validation"
