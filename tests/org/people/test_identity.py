"""Numbers under seal: found and opened with the keys, and by nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import psycopg
import pytest
from apiflask import APIFlask
from sqlalchemy import text
from sqlalchemy.orm import Session

from service.config import Config
from service.errors import ServiceError
from service.extensions import db as database
from service.org.people import identity
from service.org.people.models import SealedNumber
from service.sealing import SealBrokenError
from tests.concurrency import at_once, really_committed
from tests.factories import make_member
from tests.org.people.conftest import identity_of, phone_of, revealed

PHONE, IDENTITY = "13800000001", "11010519491231002X"
SUITES = {suite: f"k1:{suite}:{'A' * 43}=" for suite in ("aes256", "sm4")}


@pytest.fixture(params=["", *SUITES.values()], ids=["secret_key", *SUITES])
def keys(app: APIFlask, config: Config, request: pytest.FixtureRequest) -> Iterator[None]:
    kept = app.config["CHUNSHUI"]
    app.config["CHUNSHUI"] = replace(config, identity_keys=request.param)
    yield
    app.config["CHUNSHUI"] = kept


@pytest.mark.usefixtures("keys")
def test_a_number_is_found_and_opened(db: Session) -> None:
    member = make_member().id
    identity.identify(member, {"phone": "+86 138 0000 0001", "identity": IDENTITY.lower()})
    assert identity.holder(identity.keyring(), "phone", PHONE) == member
    assert identity.holder(identity.keyring(), "identity", IDENTITY) == member
    assert (revealed(member, "phone"), revealed(member, "identity")) == (PHONE, IDENTITY)
    assert identity.tails(member) == {"phone": "0001", "identity": "002X"}


def test_a_number_may_be_replaced_and_taken_away(db: Session) -> None:
    member = make_member().id
    identity.identify(member, {"phone": PHONE})
    identity.identify(member, {"phone": "13900000002"})
    assert identity.holder(identity.keyring(), "phone", PHONE) is None
    identity.identify(member, {"phone": None})
    assert revealed(member, "phone") is None
    assert identity.tails(member) == {"phone": None, "identity": None}


def test_another_members_number_is_refused_under_every_key(app: APIFlask, db: Session, config: Config) -> None:
    identity.identify(make_member().id, {"phone": PHONE})
    kept = app.config["CHUNSHUI"]
    app.config["CHUNSHUI"] = replace(config, secret_key="n" * 32, previous_secret_key=config.secret_key)
    try:
        with pytest.raises(ServiceError, match="number_taken"):
            identity.identify(make_member().id, {"phone": PHONE})
    finally:
        app.config["CHUNSHUI"] = kept


@pytest.mark.parametrize("numbers", [{"phone": "12345"}, {"identity": PHONE}, {"phone": PHONE, "identity": ""}])
def test_a_number_that_cannot_be_right_is_refused(db: Session, numbers: dict[str, str | None]) -> None:
    with pytest.raises(ServiceError, match="validation"):
        identity.identify(make_member().id, numbers)
    assert db.query(SealedNumber).count() == 0


def test_a_ciphertext_opens_in_its_own_row_and_column_only(db: Session) -> None:
    one, two = make_member().id, make_member().id
    identity.identify(one, {"phone": PHONE})
    identity.identify(two, {"phone": "13900000002"})
    copy = "UPDATE sealed_numbers SET ciphertext = (SELECT ciphertext FROM sealed_numbers WHERE member_id = :one)"
    db.execute(text(copy + " WHERE member_id = :two"), {"one": one, "two": two})
    with pytest.raises(SealBrokenError):
        revealed(two, "phone")
    db.execute(text("UPDATE sealed_numbers SET kind = 'identity' WHERE member_id = :one"), {"one": one})
    with pytest.raises(SealBrokenError):
        revealed(one, "identity")


def test_of_two_who_enter_one_number_at_once_one_gets_it(app: APIFlask) -> None:
    def enter(member: int) -> None:
        identity.identify(member, {"phone": PHONE})
        database.session.commit()

    with really_committed():
        members = [make_member().id for _ in range(6)]
        results = at_once(app, [partial(enter, member) for member in members])
        assert results.count(None) == 1
        assert {one.code for one in results if isinstance(one, ServiceError)} == {"number_taken"}
        assert len(results) == 6 == 1 + sum(isinstance(one, ServiceError) for one in results)


def test_a_dump_of_the_database_holds_no_number(app: APIFlask, config: Config) -> None:
    """Every table as COPY writes it, in text and with its bytes as hex, holds none of them."""
    numbers = [(phone_of(number), identity_of(number)) for number in range(40)]
    with really_committed():
        for phone, person in numbers:
            identity.identify(make_member().id, {"phone": phone, "identity": person})
        database.session.commit()
        dump = dumped(config.database_url)
    assert b"sealed_numbers" in dump
    assert len(numbers) == dump.count(b"\tphone\t")
    for number in [one for pair in numbers for one in pair]:
        for shape in (number, number[-8:], number.encode().hex(), number[::-1]):
            assert shape.encode() not in dump.lower().replace(b" ", b"") + dump, shape


def dumped(url: str) -> bytes:
    """What COPY says of every table."""
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        parts = []
        for (name,) in names:
            parts.append(f"\n-- {name}\n".encode())
            with connection.cursor().copy(f'COPY "{name}" TO STDOUT'.encode()) as copy:
                parts += [bytes(chunk) for chunk in copy]
    return b"".join(parts)
