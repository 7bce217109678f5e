"""Each way to touch the log, done as the owner of its tables, and what `verify` says of it."""

import pytest
from sqlalchemy import Column, select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from service import audit
from service.audit import anchors, chain, keys
from service.audit.anchors import Signed
from service.audit.models import Anchor, Entry
from service.config import Config
from tests.audit.conftest import NOW, Tamper, found, noted

TABLES = ("audit_notes", "audit_entries", "audit_anchors")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET at = at", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_database_refuses_to_change_what_is_written(
    db: Session, log: list[Signed], table: str, statement: str
) -> None:
    audit.note("login", actor=audit.SYSTEM, now=NOW)
    with pytest.raises(ProgrammingError, match=r"only grows|kept|only into the chain"), db.begin_nested():
        db.execute(text(statement.format(table)))


def test_an_untouched_log_is_whole(log: list[Signed], config: Config) -> None:
    audit.note("login", actor=audit.SYSTEM, now=NOW)
    assert found(config, copies=log) == []


CHANGES = {
    "BIGINT": "{} + 1000",
    "TEXT": "concat({}, 'x')",
    "DATETIME": "{} + interval '1 microsecond'",
    "JSONB": "'{{}}'",
    "CHAR(32)": "gen_random_uuid()",
    "BLOB": "{} || ''",
}


@pytest.mark.parametrize("column", Entry.__table__.columns, ids=lambda column: column.name)
def test_a_change_of_any_column_of_an_entry(
    log: list[Signed], config: Config, tamper: Tamper, column: Column[object]
) -> None:
    change = CHANGES[str(column.type)].format(column.name).replace("''", "'\\x00'::bytea", 1)
    tamper(f"UPDATE audit_entries SET {column.name} = {change} WHERE position = 8")
    assert {where for _, where in found(config)} & {8, 9, 1008}


@pytest.mark.parametrize("column", Anchor.__table__.columns, ids=lambda column: column.name)
def test_a_change_of_any_column_of_an_anchor(
    log: list[Signed], config: Config, tamper: Tamper, column: Column[object]
) -> None:
    change = CHANGES[str(column.type)].format(column.name).replace("''", "'\\x00'::bytea", 1)
    tamper(f"UPDATE audit_anchors SET {column.name} = {change} WHERE number = 2")
    assert found(config) != []


@pytest.mark.parametrize("change", ["outcome = 'refused'", "actor = 'member:00'", "details = '{}'"])
def test_a_changed_entry(log: list[Signed], config: Config, tamper: Tamper, change: str) -> None:
    tamper(f"UPDATE audit_entries SET {change} WHERE position = 8")
    assert set(found(config)) == {("changed", 8), ("forged", 8)}


def test_a_removed_entry(log: list[Signed], config: Config, tamper: Tamper) -> None:
    tamper("DELETE FROM audit_entries WHERE position = 8")
    assert found(config) == [("removed", 9)]


def test_a_removed_entry_whose_gap_was_closed(log: list[Signed], config: Config, tamper: Tamper) -> None:
    tamper("DELETE FROM audit_entries WHERE position = 8")
    tamper("UPDATE audit_entries SET position = position - 1 WHERE position > 8")
    assert ("changed", 8) in found(config)


def test_two_entries_that_changed_places(log: list[Signed], config: Config, tamper: Tamper) -> None:
    tamper("UPDATE audit_entries SET position = 15 - position + 100 WHERE position IN (7, 8)")
    tamper("UPDATE audit_entries SET position = position - 100 WHERE position > 100")
    assert {("changed", 7), ("changed", 8)} <= set(found(config))


def test_a_tail_that_was_cut_off_below_an_anchor(log: list[Signed], config: Config, tamper: Tamper) -> None:
    tamper("DELETE FROM audit_entries WHERE position > 5")
    assert found(config) == [("tail_removed", 2)]


def test_a_tail_that_was_cut_off_with_its_anchor(log: list[Signed], config: Config, tamper: Tamper) -> None:
    """Only a copy of the anchor can tell: without it the log looks as it did a day ago."""
    tamper("DELETE FROM audit_entries WHERE position > 3")
    tamper("DELETE FROM audit_anchors WHERE number = 2")
    assert found(config) == []
    assert found(config, copies=log) == [("anchor_removed", 2), ("tail_removed", 2)]


def test_a_tail_that_was_cut_off_and_grew_again(log: list[Signed], config: Config, tamper: Tamper) -> None:
    tamper("DELETE FROM audit_entries WHERE position > 5")
    noted(3)
    assert found(config) == [("rewritten", 6)]


def test_an_entry_of_an_end_that_was_cut_off_put_back(log: list[Signed], config: Config, tamper: Tamper) -> None:
    """It was linked at this very position, but after others."""
    tamper("CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM audit_entries WHERE position = 8")
    tamper("DELETE FROM audit_entries WHERE position > 6")
    noted(4)
    assert found(config) == []
    tamper("DELETE FROM audit_entries WHERE position = 8")
    tamper("INSERT INTO audit_entries SELECT * FROM kept")
    assert found(config) == [("changed", 8), ("changed", 9)]


def test_a_log_that_was_emptied(log: list[Signed], config: Config, tamper: Tamper) -> None:
    tamper("TRUNCATE audit_entries")
    assert found(config) == [("tail_removed", 1), ("tail_removed", 2)]


def test_a_start_that_was_removed(log: list[Signed], config: Config, tamper: Tamper) -> None:
    """As if it had been pruned; but nothing in the chain says so."""
    tamper("DELETE FROM audit_entries WHERE position <= 3")
    assert found(config) == [("start_removed", 4)]
    tamper("DELETE FROM audit_entries WHERE position <= 4")
    assert found(config) == [("start_removed", 5)]


def test_an_entry_that_was_smuggled_in(log: list[Signed], config: Config, tamper: Tamper) -> None:
    tamper(
        "INSERT INTO audit_entries SELECT 11, sealed_at, link_key, link, gen_random_uuid(), at, event, actor, subject,"
        " outcome, details, key, mac FROM audit_entries WHERE position = 10"
    )
    assert set(found(config)) == {("changed", 11), ("forged", 11)}


def test_a_genuine_note_that_was_told_again(log: list[Signed], config: Config, tamper: Tamper) -> None:
    """Copied among the notes by somebody without the key, and sealed in good faith."""
    tamper("ALTER TABLE audit_entries DROP CONSTRAINT uq_audit_entries_reference")
    tamper(
        "INSERT INTO audit_notes (reference, at, event, actor, subject, outcome, details, key, mac)"
        " SELECT reference, at, event, actor, subject, outcome, details, key, mac FROM audit_entries WHERE position = 8"
    )
    chain.seal(NOW)
    assert found(config) == [("repeated", 11)]


def test_a_chain_made_anew_without_the_key(log: list[Signed], db: Session, config: Config, tamper: Tamper) -> None:
    """Knowing how links are made is not enough."""
    guess = keys.chain_keys(Config(**vars(config) | {"audit_key": "x" * 32}))
    name, key = next(iter(guess.items()))
    previous = db.scalars(select(Entry.link).where(Entry.position == 7)).one()
    tamper("DELETE FROM audit_entries WHERE position = 8")
    for entry in db.scalars(select(Entry).where(Entry.position > 8).order_by(Entry.position)).all():
        at = entry.position - 1
        previous = chain.link_of(key, previous, at, chain.told_by(entry), entry.mac, entry.sealed_at)
        tamper(
            f"UPDATE audit_entries SET position = {at}, link = '\\x{previous.hex()}', link_key = '\\x{name.hex()}'"
            f" WHERE position = {at + 1}"
        )
    assert set(found(config)) == {("changed", 8), ("changed", 9)}


def test_a_chain_made_anew_with_the_key(log: list[Signed], db: Session, config: Config, tamper: Tamper) -> None:
    """Who holds the chain's key too is stopped by the anchors, whose key he does not hold."""
    key = next(iter(keys.chain_keys(config).values()))
    previous = db.scalars(select(Entry.link).where(Entry.position == 4)).one()
    tamper("DELETE FROM audit_entries WHERE position = 5")
    for entry in db.scalars(select(Entry).where(Entry.position > 5).order_by(Entry.position)).all():
        at = entry.position - 1
        previous = chain.link_of(key, previous, at, chain.told_by(entry), entry.mac, entry.sealed_at)
        tamper(f"UPDATE audit_entries SET position = {at}, link = '\\x{previous.hex()}' WHERE position = {at + 1}")
    assert found(config) == [("rewritten", 6)]


def test_a_forged_anchor(log: list[Signed], config: Config, tamper: Tamper) -> None:
    tamper("UPDATE audit_anchors SET position = 5 WHERE number = 2")
    assert set(found(config)) == {("anchor_forged", 2)}
    assert ("anchor_changed", 2) in found(config, copies=log)


def test_an_anchor_signed_by_somebody_else(log: list[Signed], db: Session, config: Config, tamper: Tamper) -> None:
    other = keys.signing_key(Config(**vars(config) | {"audit_key": "x" * 32}))
    forged = anchors.sign(log[0], chain.Head(5, bytes(32)), other, log[1].at)
    tamper("DELETE FROM audit_anchors WHERE number = 2")
    values = ", ".join(f"'\\x{value.hex()}'" for value in forged[3:])
    tamper(f"INSERT INTO audit_anchors VALUES (2, '{forged.at}', 5, {values})")
    assert ("anchor_forged", 2) in found(config)


def test_a_note_that_was_changed_before_it_was_sealed(db: Session, config: Config, tamper: Tamper) -> None:
    audit.note("login", actor=audit.Party("member", 1), now=NOW)
    tamper("UPDATE audit_notes SET actor = 'member:00'")
    [(kind, _)] = found(config)
    assert kind == "forged"
    chain.seal(NOW)
    assert found(config) == [("forged", 1)]


def test_a_note_that_is_kept_from_the_chain(db: Session, config: Config) -> None:
    audit.note("login", actor=audit.SYSTEM, now=NOW)
    assert found(config) == []
    [(kind, _)] = found(config, now=NOW.replace(hour=10))
    assert kind == "late"
