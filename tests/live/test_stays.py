"""What waits to be written: every stay once open and once closed, whatever the database does meanwhile."""

from dataclasses import dataclass, field

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from service.live.stays import Row, Stays, writing
from tests.live.stage import Stage


@dataclass
class Person:
    """A connection as the book of stays sees it."""

    number: int
    sequence: int = 0
    joined: float | None = None
    stay_written: bool = True

    def stay(self) -> Row | None:
        return None if self.joined is None else self.row(None)

    def row(self, gone: float | None) -> Row:
        joined = self.joined or 0.0
        return Row(self.number, self.sequence, 1, self.number, "1", "54", "h5", "hls", joined, gone)


@dataclass
class Table:
    """What PostgreSQL does with the rows: the upsert's rule in three lines."""

    rows: dict[tuple[int, int], Row] = field(default_factory=dict)

    def write(self, rows: list[Row]) -> None:
        keys = [(row.number, row.sequence) for row in rows]
        assert len(set(keys)) == len(keys), "one statement may not touch a row twice"
        for key, row in zip(keys, rows, strict=True):
            if key not in self.rows or row.gone is not None:
                self.rows[key] = row


class Ledger(RuleBasedStateMachine):
    """Any order of joins, leaves, written and lost batches ends in exactly what happened."""

    people = Bundle("people")

    @initialize()
    def begin(self) -> None:
        self.stays, self.table, self.clock = Stays(10_000), Table(), 0.0
        self.everybody: list[Person] = []
        self.happened: dict[tuple[int, int], Row] = {}

    @rule(target=people)
    def appear(self) -> Person:
        person = Person(len(self.everybody))
        self.everybody.append(person)
        return person

    @rule(person=people)
    def join_or_leave(self, person: Person) -> None:
        self.clock += 1
        if person.joined is None:
            person.joined = self.clock
            person.sequence += 1
            self.stays.open(person)
            self.happened[person.number, person.sequence] = person.row(None)
        else:
            self.happened[person.number, person.sequence] = person.row(self.clock)
            self.stays.close(person.row(self.clock))
            person.joined = None

    @rule(limit=st.integers(1, 4), acknowledged=st.booleans(), arrived=st.booleans())
    def write(self, limit: int, acknowledged: bool, arrived: bool) -> None:
        """A batch is written; or lost on the way, or its acknowledgement is."""
        rows = self.stays.take(limit)
        if acknowledged or arrived:
            self.table.write(rows)
        if acknowledged:
            self.stays.written()

    @invariant()
    def nothing_is_invented(self) -> None:
        assert self.table.rows.keys() <= self.happened.keys()

    def teardown(self) -> None:
        for _ in range(1000):
            if not len(self.stays):
                break
            self.table.write(self.stays.take(3))
            self.stays.written()
        assert self.table.rows == self.happened
        assert self.stays.lost == 0


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=30)


def test_beyond_the_bound_closed_stays_are_lost_and_counted() -> None:
    stays = Stays(2)
    for number in range(5):
        stays.close(Person(number, 1, 1.0).row(2.0))
    assert (len(stays), stays.lost) == (2, 3)


def test_an_open_stay_that_ended_is_written_once_as_closed() -> None:
    stays, ana = Stays(10), Person(1, 1, 5.0)
    stays.open(ana)
    stays.close(ana.row(6.0))
    ana.joined = None
    assert stays.take() == [Person(1, 1, 5.0).row(6.0)]


def write(stage: Stage, rows: list[Row]) -> int:

    with psycopg.connect(stage.postgres.url, autocommit=True) as connection:
        job = writing(rows, prefix="0123456789ab8cde8f01", gateway="00000000-0000-4000-8000-000000000001", offset=1e9)
        return job(connection)


@pytest.fixture
def stream(stage: Stage) -> int:
    return stage.stream()


def of(stream: int, number: int, gone: float | None) -> Row:
    return Row(number, 1, stream, number, "1", "54", "h5", "hls", 10.0, gone)


def test_writing_twice_changes_nothing(stage: Stage, stream: int) -> None:
    for _ in range(2):
        assert write(stage, [of(stream, 1, None), of(stream, 2, 12.5)]) == 0
    assert sorted(stage.stays(stream)) == [(1, 1, None, None), (2, 1, 2.5, "owner")]


def test_a_late_open_never_opens_a_closed_stay(stage: Stage, stream: int) -> None:
    write(stage, [of(stream, 3, 12.5)])
    write(stage, [of(stream, 3, None)])
    assert stage.stays(stream) == [(3, 1, 2.5, "owner")]


def test_the_owner_overrides_the_reaper_and_nobody_the_owner(stage: Stage, stream: int) -> None:
    write(stage, [of(stream, 4, None)])
    stage.sql("UPDATE stays SET left_at = joined_at, closed_by = 'reaper' WHERE stream_id = %s", stream)
    write(stage, [of(stream, 4, None)])
    assert stage.stays(stream) == [(4, 1, 0.0, "reaper")]
    write(stage, [of(stream, 4, 12.0)])
    write(stage, [of(stream, 4, 13.0)])
    assert stage.stays(stream) == [(4, 1, 2.0, "owner")]


def test_one_bad_row_does_not_hold_up_the_others(stage: Stage, stream: int) -> None:
    bad = of(stream, 6, None)._replace(organisation="nul\0")
    assert write(stage, [of(stream, 5, None), bad, of(stream, 7, 11.0)]) == 1
    assert [row[0] for row in sorted(stage.stays(stream))] == [5, 7]


def test_a_text_that_postgresql_cannot_hold_moves_no_other_row(stage: Stage, stream: int) -> None:
    nul = of(stream, 7, 12.5)._replace(organisation="1\0" + "2", place="3\0" + "4", channel="\0", source="\0")
    assert write(stage, [of(stream, 6, 12.5), nul, of(stream, 8, 12.5)]) == 1
    assert sorted(stage.stays(stream)) == [(6, 1, 2.5, "owner"), (8, 1, 2.5, "owner")]
