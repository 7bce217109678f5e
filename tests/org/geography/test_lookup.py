"""Names with a context: never alone, every candidate told."""

from datetime import date

import pytest
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.org.geography import lookup
from service.org.models import DivisionAlias
from tests.factories import make_division

DAY = date(2026, 3, 1)
pytestmark = pytest.mark.usefixtures("chongqing")


def codes(name: str, **context: str) -> list[str]:
    return [one.code for one in lookup.find(name, day=DAY, **context)]


def test_a_name_alone_is_refused(db: Session) -> None:
    with pytest.raises(ServiceError, match="lookup_context"):
        codes("茨竹镇")


def test_all_candidates_are_told(db: Session) -> None:
    assert codes("茨竹镇", level="township") == ["500109127", "500112140"]
    assert codes("茨竹镇", parent="50") == ["500109127", "500112140"]
    assert codes("茨竹镇", parent="500109") == ["500109127"]
    assert codes("茨竹乡", parent="50", level="county") == []


def test_what_is_not_below_the_parent_is_not_found(db: Session) -> None:
    make_division("5001", name="旧名", level="prefecture", parent=make_division("51"))
    assert codes("茨竹镇", parent="5001") == []
    assert codes("重庆市", parent="50") == []
    assert codes("茨竹镇", parent="99") == []


def test_an_alias_counts(db: Session) -> None:
    db.add(DivisionAlias(code="500101220", alias="茨竹土家族乡"))
    db.commit()
    assert codes("茨竹土家族乡", parent="50") == ["500101220"]
