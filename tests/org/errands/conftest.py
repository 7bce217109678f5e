"""A city with a branch, and who organises there."""

import pytest
from sqlalchemy.orm import Session

from service.org.models import Organisation
from service.org.organisers import Organiser
from tests.factories import make_organisation, make_organiser


@pytest.fixture
def city(db: Session) -> Organisation:
    return make_organisation(level="city", parent=make_organisation(level="province"))


@pytest.fixture
def branch(city: Organisation) -> Organisation:
    return make_organisation(name="甲支部", parent=city)


@pytest.fixture
def organiser(city: Organisation) -> Organiser:
    return make_organiser(organisation=city)[0]
