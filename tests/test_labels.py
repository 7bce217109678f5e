"""Every column has a label, every table a purpose; the register says the same; exports inherit the highest."""

from pathlib import Path

import pytest
from apiflask import APIFlask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Text

from service import register
from service.extensions import Base
from service.labels import LABELS, highest, holds, label_of

PAGE = Path(__file__).parent.parent / "docs" / "processing-register.md"


def test_every_column_has_a_label(app: APIFlask) -> None:
    tables = Base.metadata.tables.values()
    assert [str(column) for table in tables for column in table.columns if label_of(column) not in LABELS] == []


def test_every_table_says_why_and_for_how_long(app: APIFlask) -> None:
    assert [table.name for table in Base.metadata.tables.values() if "purpose" not in table.info] == []


def test_what_is_about_persons_has_a_basis(app: APIFlask) -> None:
    for table in Base.metadata.tables.values():
        about_persons = {label_of(column) for column in table.columns} & {"personal", "sensitive"}
        assert not about_persons or table.info["basis"] != "none", table.name


def test_the_register_says_what_the_models_say(app: APIFlask) -> None:
    assert PAGE.read_text() == register.page(), "chunshui register show > docs/processing-register.md"


def labelled(label: str | None) -> Column[object]:
    return Column("x", Text, info={"label": label} if label else {})


@given(st.lists(st.sampled_from([*LABELS, None]), min_size=1))
def test_an_export_is_as_confidential_as_its_most_confidential_column(found: list[str | None]) -> None:
    order = list(LABELS)
    label = highest(map(labelled, found))
    assert all(order.index(label) >= order.index(one or "sensitive") for one in found)
    assert label in [one or "sensitive" for one in found]


@pytest.mark.parametrize("wrong", [{"secret": "id"}, {"internal": "nonsense"}])
def test_a_label_or_column_that_does_not_exist_stops_the_start(wrong: dict[str, str]) -> None:
    from service.audit.models import Anchor

    with pytest.raises(KeyError):
        holds(purpose="audit", keeps="ever", **wrong)(Anchor)
