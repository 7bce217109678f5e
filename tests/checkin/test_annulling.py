"""Taking back: by oneself for a quarter of an hour, by an organiser for a reason; the row stays."""

from datetime import timedelta

import pytest
import redis
from sqlalchemy import false, true
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.checkin import annulling
from service.checkin.ledger import checked_in, taken_back
from service.checkin.models import CheckIn
from service.errors import ServiceError
from service.live.figures import read_snapshot
from service.live.scripts import Timing, slots_of
from service.notify.models import Outbox
from tests.checkin.people import NOW, City, come, make_day

MINUTE = timedelta(minutes=1)


@pytest.fixture
def day(city: City) -> Activity:
    day = make_day(city)
    assert come(day, city.ana) == ["accepted"]
    return day


def undo(day: Activity, city: City, minutes: int) -> None:
    annulling.undo(day.id, city.ana.id, f"phone-of-{city.ana.id}", NOW + minutes * MINUTE)


def live(valkey: redis.Redis, day: Activity) -> int:
    [stream] = day.sittings[0].streams
    return read_snapshot(valkey, slots_of(stream.id, 1), timing=Timing(5000, 1500)).checked_in


def test_an_undone_check_in_stays_and_another_may_follow(
    db: Session, city: City, day: Activity, valkey: redis.Redis
) -> None:
    assert live(valkey, day) == 1
    undo(day, city, 14)
    undo(day, city, 60)
    assert live(valkey, day) == 0
    assert come(day, city.ana) == ["checkin_annulled"]
    assert come(day, city.ana, reference="once-more") == ["accepted"]
    assert live(valkey, day) == 1
    first, second = db.query(CheckIn).order_by(CheckIn.id)
    assert (first.annulled_at, first.annulled_by, first.annul_reason) == (NOW + 14 * MINUTE, None, "undone")
    assert second.annulled_at is None
    topics = [row.topic for row in db.query(Outbox).order_by(Outbox.id)]
    assert topics == ["checkin.created", "checkin.annulled", "checkin.created"]


def test_after_a_quarter_of_an_hour_it_is_the_branchs_to_take_back(db: Session, city: City, day: Activity) -> None:
    with pytest.raises(ServiceError, match="undo_closed"):
        undo(day, city, 15)
    assert db.query(CheckIn).one().annulled_at is None


def test_nobody_undoes_what_is_not_his_own(db: Session, city: City, day: Activity) -> None:
    come(day, city.ben, method="group", entered_by=7)
    for member, reference in ((city.ben, f"phone-of-{city.ana.id}"), (city.ben, f"phone-of-{city.ben.id}")):
        with pytest.raises(ServiceError, match="not_found"):
            annulling.undo(day.id, member.id, reference, NOW)


def test_whom_an_organiser_took_out_only_an_organiser_puts_back(db: Session, city: City, day: Activity) -> None:
    row = db.query(CheckIn).one()
    for reason in ("不在现场", "另一原因"):
        annulling.annul(day.id, row.id, visible=true(), by=7, reason=reason, now=NOW)
    db.expire_all()
    assert (row.annulled_by, row.annul_reason) == (7, "不在现场")
    assert come(day, city.ana, reference="once-more") == ["checkin_annulled"]
    assert come(day, city.ana, reference="by-organiser", method="group", entered_by=7) == ["accepted"]
    assert come(day, city.ana, reference="and-again") == ["already_checked_in"]


def test_what_one_may_not_see_one_cannot_take_back_or_confirm(db: Session, city: City, day: Activity) -> None:
    row = db.query(CheckIn).one()
    with pytest.raises(ServiceError, match="not_found"):
        annulling.annul(day.id, row.id, visible=false(), by=7, reason="x", now=NOW)
    with pytest.raises(ServiceError, match="not_found"):
        annulling.confirm(day.id, row.id, visible=true(), by=7, now=NOW)


def test_the_ledger_says_who_stands_and_who_does_not_any_more(db: Session, city: City, day: Activity) -> None:
    come(day, city.ben)
    undo(day, city, 1)
    [stream] = day.sittings[0].streams
    assert db.scalars(checked_in(stream.id)).all() == [city.ben.id]
    assert db.scalars(taken_back(stream.id)).all() == [city.ana.id]
    come(day, city.ana, reference="once-more")
    assert db.scalars(taken_back(stream.id)).all() == []
