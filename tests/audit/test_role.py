"""The application's role: it adds to the log, seals and prunes it, and can do nothing else to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from service import audit
from service.audit import anchors, keeping
from service.audit.role import RoleError, admit
from service.clock import now as read_clock
from service.config import Config
from tests.audit.conftest import NOW, found, noted
from tests.commands import chunshui
from tests.factories import make_member

ROLE = 'the "application"'
QUOTED = '"the ""application"""'


@pytest.fixture
def role(db: Session) -> None:
    """A role that was admitted; it is gone after the test."""
    db.execute(text(f"CREATE ROLE {QUOTED}"))
    admit(ROLE)


@contextmanager
def acting(db: Session) -> Iterator[None]:
    """Do everything as that role."""
    db.execute(text(f"SET ROLE {QUOTED}"))
    try:
        yield
    finally:
        db.execute(text("RESET ROLE"))


def refused(db: Session, statement: str) -> bool:
    try:
        with db.begin_nested():
            db.execute(text(statement))
    except ProgrammingError as error:
        return getattr(error.orig, "sqlstate", "") == "42501"
    return False


STATEMENTS = [
    *(f"UPDATE {table} SET at = at" for table in ("audit_notes", "audit_entries", "audit_anchors")),
    *(f"DELETE FROM {table}" for table in ("audit_notes", "audit_entries", "audit_anchors")),
    *(f"TRUNCATE {table}" for table in ("audit_notes", "audit_entries", "audit_anchors", "members CASCADE")),
    *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in ("audit_notes", "audit_entries", "audit_anchors")),
    "DROP TRIGGER audit_keeps ON audit_notes",
    "DROP FUNCTION audit_keep_note CASCADE",
    "CREATE OR REPLACE FUNCTION audit_keep_note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SET session_replication_role = replica",
    "DROP TABLE audit_entries",
    "UPDATE alembic_version SET version_num = version_num",
    "CREATE TABLE mine (id int)",
    "CREATE ROLE mine SUPERUSER",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_role_cannot_touch_what_is_written(db: Session, role: None, statement: str) -> None:
    noted(3)
    anchors.anchor(NOW)
    audit.note("login", actor=audit.SYSTEM, now=NOW)
    with acting(db):
        assert refused(db, statement)


def test_the_role_notes_seals_anchors_and_prunes(db: Session, role: None, config: Config) -> None:
    then = read_clock() - timedelta(days=400)
    with acting(db):
        make_member()
        noted(3, now=then)
        anchors.anchor(then)
        noted(2, now=read_clock())
        assert keeping.prune(read_clock(), 366) == 3
        assert found(config, now=read_clock()) == []


@pytest.mark.parametrize("name", ["nobody who is there", "chunshui"])
def test_neither_an_owner_nor_nobody_is_admitted(db: Session, name: str) -> None:
    with pytest.raises(RoleError):
        admit(name)


def test_the_command_refuses_in_words(db: Session, config: Config) -> None:
    answer = chunshui(config, "db", "grant", "chunshui")
    assert answer.exit_code == 1
    assert "owns the tables" in answer.output
