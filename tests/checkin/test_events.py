"""The quick ways of the socket's door give what the schemas give."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.checkin.events import dumped, is_plain, loaded
from service.checkin.models import METHODS
from service.checkin.records import Record
from service.checkin.schemas import CheckInOut
from service.errors import ServiceError

NOTHING = dict.fromkeys(("sitting", "happened_at", "code", "device", "fence"))
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
IDS = st.integers(1, 2**63 - 1)
ODD: list[Any] = [2**63 - 1, 2**63, True, None, 1.0, "1", "reference-1", "short", "NUL-\0-in-it"]
VALUES = st.one_of(st.integers(-1, 3), st.sampled_from(ODD))
BODIES = st.fixed_dictionaries(
    {"activity": VALUES, "reference": VALUES},
    optional={"sitting": VALUES, "code": VALUES, "happened_at": VALUES, "member": VALUES},
)


@given(BODIES)
def test_what_is_taken_as_it_is_reads_the_same_by_the_schema(body: dict[str, Any]) -> None:
    if is_plain(body):
        assert loaded(body) == NOTHING | body


@given(st.fixed_dictionaries({"activity": IDS, "reference": st.from_regex(r"[A-Za-z0-9._:-]{8,64}", fullmatch=True)}))
def test_what_every_phone_sends_is_taken_as_it_is(body: dict[str, Any]) -> None:
    assert is_plain(body)
    assert is_plain(body | {"sitting": 7})
    assert not is_plain(body | {"sitting": None})


@given(st.one_of(st.none(), st.integers(), st.text(), st.lists(VALUES), st.dictionaries(st.text(), VALUES)))
def test_whatever_else_is_sent_is_refused_with_a_code(body: object) -> None:
    assert not is_plain(body)
    with pytest.raises(ServiceError) as seen:
        loaded(body)
    assert seen.value.code in ("validation", "reference_missing")


@given(
    st.builds(
        Record,
        id=IDS,
        activity_id=IDS,
        sitting_id=IDS,
        member_id=IDS,
        reference=st.text(),
        method=st.sampled_from(METHODS),
        happened_at=MOMENTS,
        received_at=MOMENTS,
        late=st.booleans(),
        fingerprint=st.none(),
        annulled_at=st.none() | MOMENTS,
        confirmed_at=st.none() | MOMENTS,
    )
)
def test_a_record_is_shown_as_the_schema_shows_it(record: Record) -> None:
    assert dumped(record) == CheckInOut().dump(record)
