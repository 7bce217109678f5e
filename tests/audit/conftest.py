"""A log to look at, and hands that can do to it what only the owner of its tables can."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from service import audit
from service.audit import anchors, chain, keys, verifying
from service.clock import now as read_clock
from service.config import Config

# Today: what the database refuses depends on its own clock.
NOW = read_clock().replace(hour=9, minute=0, second=0)

Tamper = Callable[[str], None]


def noted(count: int, *, now: datetime = NOW) -> None:
    """`count` notes, sealed."""
    for number in range(count):
        audit.note("login", actor=audit.Party("member", number), now=now, details={"app": "mini_program"})
    chain.seal(now)


def found(config: Config, *, now: datetime = NOW, **options: Any) -> list[tuple[str, int]]:
    """What `verify` finds, shortly."""
    report = verifying.verify(keys.chain_keys(config), keys.public_keys(config), now=now, **options)
    return [(finding.kind, finding.where) for finding in report.findings]


@pytest.fixture
def log(db: Session) -> list[anchors.Signed]:
    """Ten entries, of which six lie below the second of two anchors; the anchors."""
    noted(3)
    first = anchors.anchor(NOW)
    noted(3)
    second = anchors.anchor(NOW + timedelta(days=1))
    noted(4)
    assert first
    assert second
    return [first, second]


@pytest.fixture
def tamper(db: Session) -> Tamper:
    """Run a statement on tables whose triggers are away, as their owner can."""

    def run(statement: str) -> None:
        tables = ("audit_notes", "audit_entries", "audit_anchors")
        for table in tables:
            db.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        db.execute(text(statement))
        for table in tables:
            db.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
        db.commit()

    return run
