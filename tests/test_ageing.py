"""After NAMED_DAYS nobody is found in any table: this walks the labels, so that no new table or column is forgotten.

`SEEDS` has an old row for every table whose rows are named for a time or kept until they have ended; a table that is
not here fails. What a label calls personal or sensitive is empty afterwards, or no number of a person, or a fact that
figures are made of.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Table, func, select, true
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.audit.models import Note
from service.checkin.attendance.models import Exemption, Guest, Leave, MakeUp, RosterEntry
from service.checkin.flags.models import Flag, Flagged
from service.checkin.models import CheckIn, Refusal
from service.extensions import Base
from service.labels import label_of
from service.live.models import Stay
from service.notify.notices.models import Credit, Device, Preference
from service.org.models import Invitation, Member, WechatIdentity
from service.org.people import standings
from service.org.people.identity import identify
from service.org.people.models import Attachment, Office, SealedNumber, Standing
from service.org.person import rights
from tests.factories import make_activity, make_member, make_organisation, make_organiser, make_place

NOW = datetime(2026, 9, 1, 4, tzinfo=UTC)
DAYS = 1096
LONG_AGO = NOW - timedelta(days=DAYS + 30)
OLD_DAY = LONG_AGO.date()
TEXT = "高龄体弱"
# What figures are made of, and what a row cannot be without; no person is found by it.
FACTS = {
    "activity_id", "sitting_id", "stream_id", "organisation_path", "place_path", "home_path", "receiving_path",
    "standing", "state", "joined_at", "left_at", "happened_at", "confirmed_at", "annulled_at", "asked_at", "decided_at",
    "fence",
}  # fmt: skip
# Tables about persons that have a rule of their own, and what ends their rows.
OTHERWISE = {
    "account": "with the account",
    "session": "with the session",
    "day": "after a day",
    "delivered": "after a week",
    "errand": "after a week",
    "audit": "pseudonyms, after AUDIT_RETENTION_DAYS",
    "told": "90 days after a notice expired",
    "roster": "after three days",
    "seconds": "at once",
    "week": "after a week",
    "ever": "who registered a programme or gate; consents, of numbers that lead nowhere",
}


class Scene:
    """A member's old activity and somebody who organised it; a member who left before, and one who is still there."""

    def __init__(self, db: Session) -> None:
        self.db = db
        self.activity = make_activity(now=LONG_AGO)
        self.other = make_activity(now=LONG_AGO)
        self.organiser = make_organiser(now=NOW)[0].id
        self.left, self.here = (make_member(name=name, place=make_place()) for name in ("离安娜", "在本本"))
        standings.enter(self.left, "status", "left", since=OLD_DAY, now=LONG_AGO)
        db.commit()

    def add(self, *rows: Any) -> None:
        self.db.add_all(rows)
        self.db.flush()

    def of(self, activity: Activity, member: Member) -> dict[str, Any]:
        return {"activity_id": activity.id, "member_id": member.id}

    def check_in(self, activity: Activity, member: Member, **more: Any) -> CheckIn:
        where = {"sitting_id": activity.sittings[0].id, "organisation_path": "1", "place_path": "54"}
        row = CheckIn(
            **self.of(activity, member),
            **where,
            reference=f"phone-{member.id}-{activity.id}",
            happened_at=LONG_AGO,
            **more,
        )
        self.add(row)
        return row

    def entered(self, *names: str) -> dict[str, Any]:
        return dict.fromkeys(names, self.organiser)


def old_check_in(scene: Scene) -> None:
    agreed = {"confirmed_by": scene.organiser + 1, "confirmed_at": LONG_AGO}
    told = {"reason": TEXT, "annul_reason": TEXT, "annulled_at": LONG_AGO, **scene.entered("entered_by", "annulled_by")}
    scene.check_in(scene.activity, scene.here, method="proxy", **agreed, **told)


def old_refusal(scene: Scene) -> None:
    told = {"settlement": TEXT, "settled_at": LONG_AGO, **scene.entered("entered_by", "settled_by")}
    row = {"reference": "phone-1", "method": "self", "code": "conflict", "received_at": LONG_AGO}
    scene.add(Refusal(**scene.of(scene.activity, scene.here), **row, **told))


def old_roster_entry(scene: Scene) -> None:
    scene.add(RosterEntry(**scene.of(scene.activity, scene.here), home_path="1", standing="expected"))


def old_guest(scene: Scene) -> None:
    scene.add(Guest(**scene.of(scene.activity, scene.here), entered_at=LONG_AGO, **scene.entered("entered_by")))


def old_leave(scene: Scene) -> None:
    told = {"reason": TEXT, "state": "approved", "asked_at": LONG_AGO, "decided_at": LONG_AGO}
    scene.add(Leave(**scene.of(scene.activity, scene.here), **told, **scene.entered("asked_by", "decided_by")))


def old_make_up(scene: Scene) -> None:
    evidence = scene.check_in(scene.other, scene.here).id
    row = {"reference": "phone-2", "kind": "elsewhere", "check_in_id": evidence, "reason": TEXT}
    times = {"happened_at": LONG_AGO, "received_at": LONG_AGO, "annulled_at": LONG_AGO, "annul_reason": TEXT}
    by = scene.entered("entered_by", "annulled_by")
    scene.add(MakeUp(**scene.of(scene.activity, scene.here), **row, **times, **by))


def old_flags(scene: Scene) -> None:
    """Of one who was at two places, in two activities."""
    rows = [scene.check_in(activity, scene.left, reason=TEXT) for activity in (scene.activity, scene.other)]
    told = {"resolved_at": LONG_AGO, "note": TEXT, **scene.entered("resolved_by")}
    flag = Flag(activity_id=scene.activity.id, kind="place", subject="1:2", raised_at=LONG_AGO, **told)
    scene.add(flag)
    scene.add(*(Flagged(flag_id=flag.id, check_in_id=row.id) for row in rows))


def old_stay(scene: Scene) -> None:
    ids = {
        "connection": uuid4(),
        "sequence": 1,
        "gateway_id": uuid4(),
        "channel": "h5",
        "source": "hls",
        "closed_by": "owner",
    }
    where = {"organisation_path": "1", "place_path": "54", "joined_at": LONG_AGO, "left_at": LONG_AGO}
    stream = scene.activity.sittings[0].streams[0].id
    scene.add(Stay(**ids, **where, stream_id=stream, member_id=scene.here.id))


def old_wishes(scene: Scene) -> None:
    quiet = {"language": "zh", "timezone": "Asia/Shanghai", "channels": []}
    scene.add(Preference(member_id=scene.left.id, **quiet))


def old_device(scene: Scene) -> None:
    scene.add(Device(channel="apns", address="x", member_id=scene.left.id, registered_at=LONG_AGO))


def old_credit(scene: Scene) -> None:
    scene.add(Credit(openid="o", template="t", member_id=scene.left.id, balance=1, reference="r", changed_at=LONG_AGO))


def nothing(_: Scene) -> None:
    """The scene has one."""


def old_numbers(scene: Scene) -> None:
    identify(scene.left.id, {"phone": "13800000001"})


def old_identity(scene: Scene) -> None:
    scene.add(WechatIdentity(appid="wx", openid="o", unionid="u", member_id=scene.left.id))


def old_invitation(scene: Scene) -> None:
    scene.add(Invitation(code_hash=b"x", member_id=scene.here.id, expires_at=LONG_AGO))


def old_attachments(scene: Scene) -> None:
    branch, other = (make_organisation().id for _ in range(2))
    row = {"member_id": scene.here.id, "reason": TEXT, "starts_on": OLD_DAY - timedelta(9), "proposed_at": LONG_AGO}
    scene.add(Attachment(**row, organisation_id=branch, ends_on=OLD_DAY))
    scene.add(Attachment(**row, organisation_id=other, closed_on=OLD_DAY))


def old_office(scene: Scene) -> None:
    days = {"starts_on": OLD_DAY - timedelta(9), "ends_on": OLD_DAY}
    scene.add(Office(member_id=scene.here.id, organisation_id=scene.here.organisation_id, title=TEXT, **days))


def old_standing(scene: Scene) -> None:
    """Two that were replaced; the one that stands since then is there still."""
    for days, value in ((-9, "probationary"), (-5, None)):
        since = OLD_DAY + timedelta(days)
        standings.enter(scene.here, "category", value, since=since, now=LONG_AGO)


def old_exemption(scene: Scene) -> None:
    days = {"starts_on": OLD_DAY - timedelta(9), "ends_on": OLD_DAY, "entered_at": LONG_AGO}
    scene.add(Exemption(member_id=scene.here.id, reason=TEXT, **days, **scene.entered("entered_by")))


SEEDS: dict[str, Callable[[Scene], None]] = {
    "check_ins": old_check_in,
    "check_in_refusals": old_refusal,
    "roster_entries": old_roster_entry,
    "guests": old_guest,
    "leaves": old_leave,
    "make_ups": old_make_up,
    "stays": old_stay,
    "members": nothing,
    "sealed_numbers": old_numbers,
    "wechat_identities": old_identity,
    "invitations": old_invitation,
    "attachments": old_attachments,
    "offices": old_office,
    "member_standings": old_standing,
    "exemptions": old_exemption,
    "flags": old_flags,
    "flagged_check_ins": nothing,
    "notice_preferences": old_wishes,
    "devices": old_device,
    "wechat_credits": old_credit,
}


def confidential(table: Table) -> list[str]:
    return [column.name for column in table.columns if label_of(column) in ("personal", "sensitive")]


def about_persons() -> dict[str, Table]:
    return {table.name: table for table in Base.metadata.tables.values() if confidential(table)}


@pytest.fixture
def scene(db: Session) -> Scene:
    scene = Scene(db)
    for seed in SEEDS.values():
        seed(scene)
    db.commit()
    return scene


def test_every_table_about_persons_ends_in_some_way(app: Any) -> None:
    for name, table in about_persons().items():
        assert (name in SEEDS) != (table.info["keeps"] in OTHERWISE), name


@pytest.mark.parametrize("name", [name for name in SEEDS if name not in ("members", "flagged_check_ins")])
def test_rows_that_are_counted_lose_their_people_and_others_go(scene: Scene, name: str) -> None:
    table = about_persons()[name]
    mine = table.c.member_id.in_([scene.here.id, scene.left.id]) if "member_id" in table.c else true()
    count = select(func.count()).select_from(table)
    before = scene.db.scalar(count.where(mine)) or 0
    total = scene.db.scalar(count)
    assert before
    rights.age(NOW, DAYS)
    if table.info["keeps"] == "named":
        assert scene.db.scalar(count) == total
        for row in scene.db.execute(select(table)).mappings():
            left = {name: row[name] for name in confidential(table) if name not in FACTS}
            assert all(tells_nothing(value) for value in left.values()), left
    else:
        assert scene.db.scalar(count.where(mine)) == (1 if name == "member_standings" else 0)


def tells_nothing(value: Any) -> bool:
    return value in (None, "", 0) or (isinstance(value, int) and value < 0) or str(value).startswith("unnamed-")


def test_who_left_long_ago_is_erased_and_who_is_there_is_not(scene: Scene) -> None:
    rights.age(NOW, DAYS)
    scene.db.expire_all()
    gone, here = scene.db.get_one(Member, scene.left.id), scene.db.get_one(Member, scene.here.id)
    assert (gone.name, gone.place_code) == ("", None)
    assert gone.erased_at is not None
    assert (here.name, here.erased_at) == ("在本本", None)
    assert "person.erased" in list(scene.db.scalars(select(Note.event)))


def test_who_came_back_is_not_erased(scene: Scene) -> None:
    standings.enter(scene.left, "status", "active", since=NOW.date(), now=NOW)
    scene.db.commit()
    rights.age(NOW, DAYS)
    assert scene.left.name == "离安娜"


def test_what_ended_lately_stays(scene: Scene) -> None:
    """And who left lately."""
    counted = [SealedNumber, WechatIdentity, Invitation, Attachment, Office, Exemption, Standing]
    before = [scene.db.scalar(select(func.count()).select_from(model)) for model in counted]
    rights.age(NOW, DAYS + 60)
    assert [scene.db.scalar(select(func.count()).select_from(model)) for model in counted] == before
    assert scene.left.name == "离安娜"


def test_no_flag_leads_from_one_activity_to_another(scene: Scene) -> None:
    assert scene.db.scalar(select(func.count()).select_from(Flagged)) == 2
    rights.age(NOW, DAYS)
    assert scene.db.scalar(select(func.count()).select_from(Flagged)) == 0
    assert scene.db.scalars(select(Flag.subject)).all() == [None]


def test_nothing_leads_from_a_make_up_to_a_row_that_lost_its_person(scene: Scene) -> None:
    """Whichever of the two activities is over first."""
    lately = make_activity(now=NOW)
    evidence = scene.check_in(scene.other, make_member()).id
    row = {"reference": "phone-9", "kind": "elsewhere", "check_in_id": evidence, "reason": "", "happened_at": NOW}
    late = MakeUp(**scene.of(lately, scene.here), **row, received_at=NOW, **scene.entered("entered_by"))
    scene.add(late)
    scene.db.commit()
    rights.age(NOW, DAYS)
    scene.db.refresh(late)
    assert (late.member_id, late.check_in_id) == (scene.here.id, None)
