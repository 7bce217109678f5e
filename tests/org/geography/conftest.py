"""A few real divisions: 渝北区, whose 茨竹镇 went to 北碚区, and another 茨竹乡."""

import pytest
from sqlalchemy.orm import Session

from service.org.models import Division
from tests.factories import make_division


@pytest.fixture
def chongqing(db: Session) -> Division:
    city = make_division("50", name="重庆市")
    yubei = make_division("500112", name="渝北区", level="county", parent=city)
    make_division("500109", name="北碚区", level="county", parent=city)
    make_division("500109127", name="茨竹镇", level="township", parent=db.get_one(Division, "500109"))
    make_division("500112140", name="茨竹镇", level="township", parent=yubei)
    wanzhou = make_division("500101", name="万州区", level="county", parent=city)
    make_division("500101220", name="茨竹乡", level="township", parent=wanzhou)
    return city
