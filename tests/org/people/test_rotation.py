"""Keys are changed under way: beside readers, and after a run that was killed."""

import base64
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from apiflask import APIFlask
from sqlalchemy import select, text

from service.audit.models import Note
from service.config import Config
from service.extensions import db
from service.org.people import identity, rotation
from service.supervisor import HERE
from tests.concurrency import really_committed
from tests.factories import make_member, make_organisation
from tests.org.people.conftest import NOW, identity_of, phone_of, revealed
from tests.waiting import eventually

MATERIAL = [base64.b64encode(bytes([byte]) * 32).decode() for byte in (1, 2)]
OLD = f"2025:aes256:{MATERIAL[0]}"
BOTH = f"2026:sm4:{MATERIAL[1]},{OLD}"
PEOPLE = 120
ROW = "WHERE member_id = 3 AND kind = 'phone'"


@pytest.fixture
def old(app: APIFlask, config: Config) -> Iterator[Config]:
    """The settings after a new key was put first, over numbers that the old one sealed."""
    kept = app.config["CHUNSHUI"]
    with really_committed():
        app.config["CHUNSHUI"] = replace(config, identity_keys=OLD)
        branch = make_organisation()
        for number in range(PEOPLE):
            numbers: dict[str, str | None] = {"phone": phone_of(number), "identity": identity_of(number)}
            identity.identify(make_member(organisation=branch).id, numbers)
        db.session.commit()
        app.config["CHUNSHUI"] = replace(config, identity_keys=BOTH)
        yield app.config["CHUNSHUI"]
        app.config["CHUNSHUI"] = kept


def everybody_is_found() -> bool:
    """Whether every number leads to the member whose it is."""
    ring = identity.keyring()
    for number in range(PEOPLE):
        member = identity.holder(ring, "phone", phone_of(number))
        if member is None or revealed(member, "identity") != identity_of(number):
            return False
    return True


def test_every_number_gets_the_current_key(old: Config) -> None:
    told: list[int] = []
    rotated = rotation.rotate(old.keyring, batch=50, progress=told.append, now=NOW)
    assert (rotated.done, sum(told), max(told)) == (2 * PEOPLE, 2 * PEOPLE, 50)
    assert rotation.by_key() == {"2026": 2 * PEOPLE}
    assert everybody_is_found()
    assert rotation.rotate(old.keyring, now=NOW).done == 0


def test_a_reader_finds_and_opens_everybody_all_the_while(app: APIFlask, old: Config) -> None:
    ended, wrong = threading.Event(), []

    def read() -> None:
        with app.app_context():
            while not ended.is_set():
                if not everybody_is_found():
                    wrong.append(rotation.by_key())
                db.session.rollback()

    reader = threading.Thread(target=read)
    reader.start()
    rotation.rotate(old.keyring, batch=3, now=NOW)
    ended.set()
    reader.join()
    assert wrong == []


def test_a_row_that_cannot_be_opened_stays_and_is_told(old: Config) -> None:
    db.session.execute(text(f"UPDATE sealed_numbers SET ciphertext = ciphertext || 'x' {ROW}"))
    db.session.commit()
    rotated = rotation.rotate(old.keyring, batch=7, now=NOW)
    assert (rotated.done, rotated.broken) == (2 * PEOPLE - 1, [(3, "phone")])
    assert rotation.by_key() == {"2026": 2 * PEOPLE - 1, "2025": 1}


def test_a_number_that_two_entered_under_two_keys_is_told(old: Config) -> None:
    doubled = identity.sealed(old.keyring.current, 3, "phone", phone_of(8))
    db.session.execute(
        text(f"UPDATE sealed_numbers SET key_id = '2026', ciphertext = :c, blind_index = :b {ROW}"),
        {"c": doubled.ciphertext, "b": doubled.blind_index},
    )
    db.session.commit()
    rotated = rotation.rotate(old.keyring, batch=64, now=NOW)
    assert (rotated.done, rotated.doubled) == (2 * PEOPLE - 2, [(9, "phone")])


def test_a_killed_run_is_continued(old: Config) -> None:
    with start(old) as first:
        eventually(moved, every=0.001)
        first.send_signal(signal.SIGKILL)
    before = moved()
    assert 0 < before < 2 * PEOPLE
    assert everybody_is_found()
    with start(old, "--batch", "1000") as second:
        said, _ = second.communicate()
    assert second.returncode == 0
    assert f"sealed {2 * PEOPLE - before} numbers" in said
    assert moved() == 2 * PEOPLE
    steps = [note.details["step"] for note in db.session.scalars(select(Note).where(Note.event == "key.rotated"))]
    assert sorted(steps) == ["begun", "begun", "ended"]
    assert everybody_is_found()


def moved() -> int:
    """How many rows have the new key."""
    db.session.rollback()
    return rotation.by_key().get("2026", 0)


def start(config: Config, *more: str) -> "subprocess.Popen[str]":
    """`chunshui keys rotate`, one row a batch unless told otherwise."""
    told = {
        "PATH": os.environ["PATH"],
        "LANG": "en_US.UTF-8",
        "DATABASE_URL": config.database_url,
        "REDIS_URL": config.redis_url,
        "SECRET_KEY": config.secret_key,
        "IDENTITY_KEYS": config.identity_keys,
    }
    command = [sys.executable, "-m", "service.cli", "keys", "rotate", *(more or ("--batch", "1"))]
    return subprocess.Popen(command, cwd=HERE, env=told, stdout=subprocess.PIPE, text=True)
