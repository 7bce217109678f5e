"""Anchors once a day, and segments that are old enough go as a whole."""

from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.audit import anchors, chain, keeping, keys
from service.audit.anchors import Signed
from service.audit.models import Entry
from service.clock import now as read_clock
from service.config import Config
from tests.audit.conftest import NOW, Tamper, found, noted

YEAR = timedelta(days=366)


def first(db: Session) -> int | None:
    return db.scalar(select(func.min(Entry.position)))


def test_one_anchor_a_day(log: list[Signed]) -> None:
    assert anchors.anchor(NOW + timedelta(days=1, hours=3)) is None
    third = anchors.anchor(NOW + timedelta(days=2))
    assert third
    assert (third.number, third.position, third.previous) == (3, 10, log[1].digest())


def test_copies_are_lines_that_are_read_again(log: list[Signed]) -> None:
    assert list(anchors.read(anchor.line() for anchor in log)) == log == anchors.stored()


def test_a_key_in_a_file_signs(db: Session, config: Config, tmp_path: Path) -> None:
    key, file = Ed25519PrivateKey.generate(), tmp_path / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with_file = Config(**vars(config) | {"audit_signing_key_file": str(file)})
    kept, current_app.config["CHUNSHUI"] = current_app.config["CHUNSHUI"], with_file
    try:
        anchors.anchor(NOW)
    finally:
        current_app.config["CHUNSHUI"] = kept
    assert found(with_file) == []
    assert found(config) == [("anchor_forged", 1)]
    assert keys.key_id(key.public_key().public_bytes_raw()) in keys.public_keys(with_file)


def old_log(days: int) -> None:
    """Three entries below an anchor, `days` ago, and two of today."""
    then = read_clock() - timedelta(days=days)
    noted(3, now=then)
    anchors.anchor(then)
    noted(2, now=read_clock())


def test_a_segment_goes_when_all_of_it_is_old(db: Session, config: Config) -> None:
    old_log(days=400)
    assert keeping.prune(read_clock(), 366) == 3
    assert first(db) == 4
    assert found(config, now=read_clock()) == []
    chain.seal(read_clock())
    assert found(config, now=read_clock(), copies=anchors.stored()) == []
    assert keeping.prune(read_clock(), 366) == 0


def test_a_segment_stays_while_some_of_it_is_young(db: Session) -> None:
    old_log(days=300)
    assert keeping.prune(read_clock(), 366) == 0
    assert keeping.prune(read_clock(), 1) == 3  # half a year at least, whatever is asked for


def test_nothing_of_the_last_half_year_goes(db: Session) -> None:
    old_log(days=100)
    assert keeping.prune(read_clock(), 1) == 0


def test_a_whole_log_may_have_been_pruned(db: Session, config: Config) -> None:
    then = read_clock() - timedelta(days=400)
    noted(3, now=then)
    anchors.anchor(then)
    assert keeping.prune(read_clock(), 366) == 3
    assert found(config, now=read_clock()) == []
    chain.seal(read_clock())
    assert first(db) == 4
    assert found(config, now=read_clock()) == []


def test_half_a_segment_may_not_go(db: Session, config: Config, tamper: Tamper) -> None:
    old_log(days=400)
    keeping.prune(read_clock(), 366)
    chain.seal(read_clock())
    tamper("DELETE FROM audit_entries WHERE position = 4")
    assert found(config, now=read_clock()) == [("start_removed", 5)]


def test_a_changed_key_leaves_the_log_whole(log: list[Signed], config: Config) -> None:
    """What was noted, linked and signed before is checked with the key before; what comes is made with the new one."""
    renewed = Config(**vars(config) | {"audit_key": "k" * 32})
    kept, current_app.config["CHUNSHUI"] = current_app.config["CHUNSHUI"], renewed
    try:
        noted(2)
        anchors.anchor(NOW + timedelta(days=2))
    finally:
        current_app.config["CHUNSHUI"] = kept
    assert found(renewed) == []
    assert {kind for kind, _ in found(config)} == {"changed", "forged", "anchor_forged"}
