"""A city with branches and members, an activity that all of it is invited to, and its secretary's desk."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.org.access import COOKIE
from tests.checkin.people import City, make_city
from tests.factories import make_activity, make_organiser


@pytest.fixture
def city(db: Session) -> City:
    return make_city()


@pytest.fixture
def day(city: City) -> Activity:
    return make_activity(lead=city.city, invited=[city.city])


@pytest.fixture
def desk(client: Any, city: City) -> Any:
    """The secretary of the east has logged in."""
    client.set_cookie(COOKIE, make_organiser(organisation=city.east, role="branch_secretary")[1])
    return client
