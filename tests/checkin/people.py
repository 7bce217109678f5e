"""A city with two branches and who belongs to them, for the tests of attendance."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from service.activity.models import Activity
from service.checkin.records import Attempt
from service.checkin.rules import Answer, check_in
from service.extensions import db
from service.org.models import Member, Organisation
from service.org.people.models import Attachment, FormerHome
from tests.factories import make_activity, make_member, make_organisation

NOW = datetime(2026, 9, 20, 9, 0, tzinfo=UTC)
DAY = NOW.date()


@dataclass
class City:
    """A city below a province: `east` has Ana and Ben, `west` has Cleo; Dan's branch is in another province."""

    province: Organisation
    city: Organisation
    east: Organisation
    west: Organisation
    away: Organisation
    ana: Member
    ben: Member
    cleo: Member
    dan: Member

    @property
    def everybody(self) -> list[Member]:
        return [self.ana, self.ben, self.cleo, self.dan]


def make_city() -> City:
    province = make_organisation(level="province")
    city = make_organisation(level="city", parent=province)
    east, west = (make_organisation(parent=city) for _ in range(2))
    away = make_organisation(parent=make_organisation(level="province"))
    people = [make_member(organisation=branch) for branch in (east, east, west, away)]
    return City(province, city, east, west, away, *people)


def make_day(city: City, **fields: Any) -> Activity:
    """A rostered activity of the city, open from an hour before NOW to an hour after it."""
    return make_activity(lead=city.city, invited=[city.city], now=NOW, **fields)


def attach(member: Member, receiving: Organisation) -> None:
    """Let `member` stay with a receiving branch, both sides agreed."""
    agreed = {"proposed_at": NOW, "home_confirmed_at": NOW, "receiving_confirmed_at": NOW}
    db.session.add(
        Attachment(member_id=member.id, organisation_id=receiving.id, reason="务工", starts_on=DAY, **agreed)
    )
    db.session.commit()


def long_ago() -> None:
    """Whoever has moved or left so far did so before NOW, and before what starts an hour earlier."""
    db.session.execute(update(FormerHome).values(until=NOW - timedelta(hours=2)))
    db.session.commit()


def attempt(member: Member, reference: str = "", **fields: Any) -> Attempt:
    where = {"organisation": member.organisation.path, "place": "54.5401"}
    return Attempt(member=member.id, reference=reference or f"phone-of-{member.id}", **where | fields)


def come(activity: Activity, *members: Member, now: datetime = NOW, **fields: Any) -> list[str]:
    """What became of each member's check-in."""
    return [outcome(one) for one in check_in(activity.id, [attempt(member, **fields) for member in members], now)]


def outcome(answer: Answer) -> str:
    if answer.refusal:
        return answer.refusal.code
    return "repeat" if answer.repeat else "accepted"
