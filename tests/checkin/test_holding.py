"""A person leaves attendance, and every figure stays: names are taken out, sums are not."""

from datetime import timedelta

from sqlalchemy import func, select, true
from sqlalchemy.orm import Session

from service import audit
from service.checkin import annulling
from service.checkin.attendance import figures, leaves, lists, make_ups, roster
from service.checkin.attendance.make_ups import Effort
from service.checkin.flags.models import DeviceMark
from service.checkin.holding import DATED
from service.checkin.models import CheckIn
from service.extensions import Base
from service.org.person import rights
from tests.checkin.people import DAY, NOW, come, make_city, make_day
from tests.factories import make_flag

LATER = NOW + timedelta(days=40)


def test_names_leave_every_table_of_attendance_and_every_figure_stays(db: Session) -> None:
    city = make_city()
    lists.exempt(city.ana.id, reason="高龄体弱", starts_on=DAY, ends_on=None, by=7, now=NOW)
    day = make_day(city)
    lists.add_guest(day.id, city.dan.id, by=7, now=NOW)
    come(day, city.ana, city.dan, now=NOW - timedelta(hours=2))
    roster.freeze(day.id, NOW)
    come(day, city.ana, city.dan, reference="phone-of-ana", device="phone-of-both")
    [row] = db.query(CheckIn).filter_by(member_id=city.ana.id)
    make_flag(day, row.id, now=NOW, note="高龄体弱")
    annulling.annul(day.id, row.id, visible=true(), by=7, reason="高龄体弱", now=NOW)
    for member in (city.ana, city.ben):
        leave = leaves.ask(day.id, member.id, reason="高龄体弱", by=None, now=NOW)
        leaves.decide(day.id, leave.id, approved=True, visible=true(), by=7, now=NOW)
    effort = Effort(reference="make-up-1", kind="replay", reason="高龄体弱", happened_at=NOW)
    make_ups.make_up(day.id, city.cleo.id, effort, by=7, now=NOW)
    before = figures.rostered(day.id, city.city.path)
    assert db.query(DeviceMark).count() == 2
    rights.erase(city.ana.id, actor=audit.OPERATOR, now=LATER)
    assert db.query(DeviceMark).count() == 1
    assert figures.rostered(day.id, city.city.path) == before
    rights.age(LATER, 20)
    assert figures.rostered(day.id, city.city.path) == before
    for model in DATED:
        named = select(func.count()).select_from(model).where(model.activity_id == day.id, model.member_id > 0)
        assert db.scalar(named) == 0, model
        assert db.scalar(select(func.count()).select_from(model).where(model.activity_id == day.id)), model
    dump = "\n".join(str(db.execute(select(table)).all()) for table in Base.metadata.tables.values())
    assert "高龄体弱" not in dump
    assert "phone-of-" not in dump
