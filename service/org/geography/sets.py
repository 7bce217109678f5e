"""Dated sets of divisions. One is shipped: the counties of Sichuan along its border, 55 in 14 prefectures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Row, select, text

from service.errors import ServiceError
from service.extensions import db
from service.org.geography.lookup import Place, by_codes
from service.org.geography.models import GeographySet, GeographySetDivision

BORDER = "sichuan-border"
DECLARE = text("INSERT INTO geography_sets (key, name) VALUES (:key, '四川省际边界毗邻县') ON CONFLICT DO NOTHING")
FILL = text(
    """
    INSERT INTO geography_set_divisions (set_key, code, during)
    SELECT DISTINCT :key, county_code, daterange(NULL, NULL) FROM county_borders ON CONFLICT DO NOTHING
    """
)
TAKE_OVER = text(
    """
    INSERT INTO geography_set_divisions (set_key, code, during)
    SELECT set_key, :successor, daterange(:on, upper(during)) FROM geography_set_divisions
    WHERE code = :code AND during @> CAST(:on AS date) ON CONFLICT DO NOTHING
    """
)
CUT = text(
    """
    UPDATE geography_set_divisions SET during = daterange(lower(during), :on)
    WHERE code = :code AND during @> CAST(:on AS date) AND (lower_inf(during) OR lower(during) < :on)
    """
)


@dataclass(frozen=True, slots=True)
class GeographySetOfDay:
    """A set as it was on a day: its divisions, and the prefectures that they lay in."""

    key: str
    name: str
    divisions: list[Place]
    prefectures: list[Place]


def load_border() -> None:
    """Let every county of the border pairs be in the set, since ever, unless it has been there before."""
    db.session.execute(DECLARE, {"key": BORDER})
    db.session.execute(FILL, {"key": BORDER})


def of_day(key: str, day: date) -> GeographySetOfDay:
    """The set as it was on `day`; ServiceError not_found without such a set."""
    found = db.session.get(GeographySet, key)
    if found is None:
        raise ServiceError("not_found")
    members = select(GeographySetDivision.code).where(GeographySetDivision.set_key == key)
    codes = db.session.scalars(members.where(GeographySetDivision.during.contains(day))).all()
    divisions = by_codes(codes, day)
    above = by_codes(sorted({one.parent_code for one in divisions if one.parent_code}), day)
    return GeographySetOfDay(key, found.name, divisions, [one for one in above if one.level == "prefecture"])


def all_sets() -> Sequence[Row[str, str]]:
    """Key and name of every set."""
    return db.session.execute(select(GeographySet.key, GeographySet.name).order_by(GeographySet.key)).all()


def hand_over(code: str, successor: str | None, on: date) -> None:
    """Take an abolished division out of its sets from `on`, and its successor in; in the caller's transaction."""
    if successor is not None:
        db.session.execute(TAKE_OVER, {"code": code, "successor": successor, "on": on})
    db.session.execute(CUT, {"code": code, "on": on})
