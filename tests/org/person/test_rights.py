"""A person's rights: see, take along, correct, be erased, withdraw; and what counts keep afterwards."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import distinct, func, select, text, true
from sqlalchemy.orm import Session

from service import audit
from service.activity.models import Activity, Stream
from service.audit.models import Note
from service.checkin.models import CheckIn
from service.clock import now as read_clock
from service.errors import ServiceError
from service.extensions import Base
from service.holdings import holdings
from service.live.models import Stay
from service.live.watch_time import watch_seconds
from service.notify.models import Outbox
from service.org.models import Member, WechatIdentity
from service.org.person import rights
from tests.factories import bearer, make_activity, make_invitation, make_member, make_place

NOW = read_clock()
LONG_AGO = timedelta(days=-30)
DAY = timedelta(days=1)


def attended(member: Member, activity: Activity, db: Session) -> None:
    """`member` watched `activity` for ten minutes, at two devices, and checked in."""
    sitting = activity.sittings[0]
    [stream] = sitting.streams
    path = member.organisation.path
    for _ in range(2):
        since = stream.opens_at
        left = {"left_at": since + timedelta(minutes=10), "closed_by": "owner"}
        where = {"organisation_path": path, "place_path": "54", "channel": "mini_program", "source": "hls"}
        ids = {"connection": uuid4(), "sequence": 1, "gateway_id": uuid4()}
        db.add(Stay(**ids, stream_id=stream.id, member_id=member.id, joined_at=since, **where, **left))
    record = {"sitting_id": sitting.id, "happened_at": since, "organisation_path": path, "place_path": "54"}
    db.add(
        CheckIn(activity_id=activity.id, member_id=member.id, reference=f"phone-{member.id}-{activity.id}", **record)
    )
    db.add(Outbox(topic="checkin.created", organisation_paths=[path], subject_member=member.id, payload={}))
    db.commit()


@pytest.fixture
def days(db: Session) -> list[Activity]:
    """Two activities of last month and one that goes on."""
    past = [make_activity(now=NOW, opens=LONG_AGO, closes=LONG_AGO + DAY) for _ in range(2)]
    return [*past, make_activity(now=NOW)]


@pytest.fixture
def ana(db: Session, days: list[Activity]) -> Member:
    """A member who was everywhere, as was her neighbour."""
    ana = make_member(name="安娜", place=make_place())
    ben = make_member(organisation=ana.organisation)
    db.add(WechatIdentity(appid="wx", openid="o-ana", unionid="u-ana", member_id=ana.id))
    make_invitation(member=ana)
    for member in (ana, ben):
        for day in days:
            attended(member, day, db)
    return ana


def figures(day: Activity, db: Session) -> list[Any]:
    """Every count that is made from the rows of an activity."""
    [stream] = day.sittings[0].streams
    joined = db.scalar(select(func.count(distinct(Stay.member_id))).where(Stay.stream_id == stream.id))
    stays = select(Stay.organisation_path, Stay.place_path, func.count()).where(Stay.stream_id == stream.id)
    by_node = db.execute(stays.group_by(Stay.organisation_path, Stay.place_path)).all()
    people = select(func.count(distinct(CheckIn.member_id)), func.count()).where(CheckIn.activity_id == day.id)
    both = select(func.count(distinct(Stay.member_id))).join(CheckIn, CheckIn.member_id == Stay.member_id)
    overlap = db.scalar(both.where(Stay.stream_id == stream.id, CheckIn.activity_id == day.id))
    return [joined, sorted(map(tuple, by_node)), *db.execute(people).one(), overlap, watch_seconds(stream.id, true())]


def traces(member: int, db: Session) -> list[str]:
    """The columns, of whatever table, that still have this member's number."""
    columns = [one for holding in holdings() for one in holding.members]
    return [str(one) for one in columns if db.scalar(select(func.count()).where(one == member)) or 0]


def numbers(day: Activity, db: Session) -> set[int]:
    return set(db.scalars(select(CheckIn.member_id).where(CheckIn.activity_id == day.id)))


def test_every_table_that_names_a_member_is_held_by_a_room(app: Any) -> None:
    known = {column for holding in holdings() for column in holding.members}
    for table in Base.metadata.tables.values():
        for column in table.columns:
            names = any(key.target_fullname == "members.id" for key in column.foreign_keys)
            if (names or "member" in column.name) and column.computed is None:
                assert column in known, column


def test_a_member_sees_all_that_is_held(client: Any, ana: Member, db: Session) -> None:
    answer = client.get("/api/v1/me/data", headers=bearer(member=ana))
    assert answer.status_code == 200
    held = answer.json["held"]
    assert {name: len(rows) for name, rows in held.items()} == {
        "attachments": 0, "check_in_refusals": 0, "check_ins": 3, "consents": 0, "denials": 0, "devices": 0,
        "exemptions": 0, "former_homes": 0, "guests": 0, "invitations": 1, "leaves": 0, "make_ups": 0,
        "member_standings": 0, "members": 1,
        "notice_deliveries": 0, "notice_preferences": 0, "offices": 0, "outbox": 3, "roster_entries": 0,
        "sealed_numbers": 0, "sessions": 1, "stays": 6, "wechat_credits": 0, "wechat_identities": 1,
    }  # fmt: skip
    assert held["members"][0]["name"] == "安娜"
    assert held["wechat_identities"][0]["openid"] == "o-ana"
    assert answer.json["label"] == "sensitive"
    assert not {"code_hash", "token_hash"} & {key for rows in held.values() for row in rows for key in row}
    assert list(db.scalars(select(Note.event))) == ["person.exported"]


def test_a_member_corrects_name_and_place(client: Any, ana: Member, db: Session) -> None:
    headers = bearer(member=ana)
    answer = client.patch("/api/v1/me", json={"name": "安娜二"}, headers=headers)
    assert answer.json == {"name": "安娜二", "place_code": "540102"}
    assert client.patch("/api/v1/me", json={"place_code": None}, headers=headers).json["place_code"] is None
    assert client.patch("/api/v1/me", json={"place_code": "99"}, headers=headers).status_code == 422
    notes = db.scalars(select(Note).order_by(Note.id)).all()
    assert [(note.event, note.details) for note in notes] == [
        ("person.corrected", {"fields": "name"}),
        ("person.corrected", {"fields": "place_code"}),
    ]


def test_an_erased_member_is_gone_and_the_counts_are_not(
    client: Any, ana: Member, db: Session, days: list[Activity]
) -> None:
    before, headers, number = [figures(day, db) for day in days], bearer(member=ana), ana.id
    assert client.post("/api/v1/me/erasure", json={"confirm": "yes"}, headers=headers).status_code == 422
    assert client.post("/api/v1/me/erasure", json={"confirm": "erase"}, headers=headers).status_code == 204
    assert client.get("/api/v1/me", headers=headers).json["code"] == "token_denied"
    assert [figures(day, db) for day in days] == before
    # What goes on, or ended just now, keeps its rows until its figures have settled.
    assert set(traces(number, db)) == {"members.id", "sessions.member_id", "denials.member_id", "stays.member_id",
                                       "check_ins.member_id"}  # fmt: skip
    assert all(number not in numbers(day, db) for day in days[:2])
    assert number in numbers(days[2], db)
    rights.carry_on(NOW + 4 * DAY)
    assert set(traces(number, db)) == {"members.id", "sessions.member_id", "denials.member_id"}
    assert [figures(day, db) for day in days] == before
    left = db.get(Member, number)
    assert left
    assert (left.name, left.place_code, left.status) == ("", None, "left")


def test_nothing_leads_from_one_activity_to_another(ana: Member, db: Session, days: list[Activity]) -> None:
    rights.erase(ana.id, actor=audit.OPERATOR, now=NOW)
    first, second = (numbers(day, db) - {ana.id} for day in days[:2])
    assert len([number for number in first if number < 0]) == 1
    assert {number for number in first if number < 0}.isdisjoint(second)
    assert not any(
        "phone" in reference for reference in db.scalars(select(CheckIn.reference).where(CheckIn.member_id < 0))
    )


def test_no_value_of_the_person_is_left_in_the_database(ana: Member, db: Session, days: list[Activity]) -> None:
    number = ana.id
    rights.erase(number, actor=audit.OPERATOR, now=NOW)
    rights.carry_on(NOW + 4 * DAY)
    for table in Base.metadata.tables.values():
        dump = "\n".join(map(str, db.execute(select(table)).all()))
        for value in ("安娜", "o-ana", "u-ana", f"phone-{number}-"):
            assert value not in dump, table.name


def test_erasing_twice_is_quiet_and_an_erased_person_has_no_data(ana: Member, db: Session) -> None:
    for _ in range(2):
        rights.erase(ana.id, actor=audit.OPERATOR, now=NOW)
    assert list(db.scalars(select(Note.event))) == ["person.erased"]
    for ask in (rights.export, rights.erase):
        with pytest.raises(ServiceError, match="not_found"):
            ask(10**12, actor=audit.OPERATOR, now=NOW)
    with pytest.raises(ServiceError, match="not_found"):
        rights.export(ana.id, actor=audit.OPERATOR, now=NOW)


def test_names_leave_old_activities_and_sums_stay(ana: Member, db: Session, days: list[Activity]) -> None:
    before = [figures(day, db) for day in days]
    assert rights.age(NOW, 60) == 0
    assert rights.age(NOW, 20) == 2 * 2 * 3  # of two activities two people's two stays and check-in
    assert rights.age(NOW, 20) == 0
    assert [figures(day, db) for day in days] == before
    assert all(number < 0 for day in days[:2] for number in numbers(day, db))
    assert ana.id in numbers(days[2], db)
    assert db.scalars(select(Note.details).where(Note.event == "rows.pseudonymised")).one() == {"rows": 12}


def test_what_is_still_counted_live_is_never_unnamed(ana: Member, db: Session, days: list[Activity]) -> None:
    """Whatever is asked for: a stream's figures may be made again from its stays until a day after it."""
    closes = db.scalar(select(func.max(Stream.closes_at)))
    assert closes
    rights.age(closes + timedelta(hours=47), 0)
    assert ana.id in numbers(days[2], db)


def test_a_stand_in_is_below_zero_and_the_same_within_an_activity(db: Session) -> None:
    from service.holdings import STAND_IN

    question = text(f"SELECT member_id, {STAND_IN} FROM generate_series(1, 20000) AS member_id")

    def stand_ins(salt: str) -> dict[int, int]:
        return {row[0]: row[1] for row in db.execute(question, {"salt": salt})}

    made = stand_ins("s")
    assert len(set(made.values())) == 20000
    assert all(-(2**60) <= stand_in < 0 for stand_in in made.values())
    assert made == stand_ins("s")
    assert made != stand_ins("t")
