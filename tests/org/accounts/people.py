"""A fixed cast of administrators, and what an authenticator shows."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pyotp

from service.org.models import Organisation
from service.org.organisers import Organiser
from tests.factories import make_organisation, make_organiser

HALF_MINUTE = timedelta(seconds=30)


@dataclass
class Cast:
    """A province with two cities. Sys and Sec administer it, Aud audits, Li organises in a city."""

    province: Organisation
    city: Organisation
    sister: Organisation
    sys: Organiser
    sec: Organiser
    aud: Organiser
    li: Organiser


def cast(now: datetime) -> Cast:
    """The cast in a new tree."""
    province = make_organisation(level="province")
    city, sister = (make_organisation(level="city", parent=province) for _ in range(2))
    people = [
        make_organiser(organisation=at, role=role, now=now)[0]
        for at, role in (
            (province, "system_administrator"),
            (province, "security_administrator"),
            (province, "auditor"),
            (city, "organiser"),
        )
    ]
    return Cast(province, city, sister, *people)


def code_at(secret: str, now: datetime) -> str:
    """What the authenticator shows."""
    return pyotp.TOTP(secret).at(now)
