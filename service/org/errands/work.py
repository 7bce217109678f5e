"""The worker's part of errands: one at a time in the whole installation, the earliest first.

Who works holds a lock of PostgreSQL's on a connection of its own, which ends with the process: what a killed worker
had begun is begun anew at once. Comparing and making write nothing but their result; applying writes all and says so
in one transaction, so that nothing is ever done twice.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import aliased

from service.clock import now as read_clock
from service.errors import ServiceError
from service.extensions import db
from service.org.accounts.models import Grant
from service.org.errands import pieces, progress, rules, subjects
from service.org.errands.models import DUE, Errand
from service.org.errands.subjects import Found
from service.org.models import Organisation, covers
from service.scope import everything, scoped
from service.sealing import SealBrokenError

# Any number will do; it is ours alone.
LOCK = 2_026_002
MOST_ATTEMPTS = 3


def run(app: Flask) -> None:
    """Do what is due, until nothing is or the worker ends."""
    with alone() as first:
        while first and not app.extensions["stopping"].is_set() and work_once(read_clock()):
            pass


@contextmanager
def alone() -> Iterator[bool]:
    """Whether nobody else works, for as long as the block lasts."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        held = bool(connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}))
        try:
            yield held
        finally:
            if held:
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})


def work_once(now: datetime) -> bool:
    """Do the first of what is due; False if nothing is, or it has to wait for somebody at the command line."""
    due = everything("the worker does all of it", select(Errand).where(Errand.state.in_(DUE)))
    errand = db.session.scalars(due.order_by(Errand.id).limit(1).execution_options(populate_existing=True)).first()
    if errand is None:
        db.session.rollback()
        return False
    number, errand.attempts = errand.id, errand.attempts + 1
    given_up = errand.attempts > MOST_ATTEMPTS
    db.session.commit()
    try:
        if given_up:
            raise ServiceError("internal")
        do(errand, now)
    except ServiceError as refusal:
        db.session.rollback()
        return refused(number, refusal, now)
    except SealBrokenError:
        db.session.rollback()
        return refused(number, ServiceError("sheet_unreadable", reason="sealed"), now)
    return True


def do(errand: Errand, now: datetime) -> None:
    """Do it, if who wants it still may. Commits. ServiceError if it cannot be done."""
    if not still_granted(errand, now):
        raise ServiceError("forbidden")
    tell = progress.teller(errand.id)
    if errand.direction == "export":
        make(errand, *subjects.made(errand, tell), now)
        return
    with pieces.as_file(errand.id, "upload") as file:
        if errand.state == "waiting":
            show(errand.id, subjects.compared(errand, file, tell, now))
        else:
            subjects.applied(errand, file, tell, lambda found: enter(errand.id, found, now), now)


def show(number: int, found: Found) -> None:
    """Keep what would become of every row, for somebody to see. Commits."""
    errand = held(number, "waiting")
    keep(errand, found)
    errand.state, errand.outcome = "compared", found.digest
    db.session.commit()


def enter(number: int, found: Found, now: datetime) -> None:
    """Keep what became of every row, in the transaction that writes it."""
    errand = held(number, "accepted")
    keep(errand, found)
    errand.failure = None
    rules.end(errand, "applied", now)
    by = errand.accepted_by or errand.organiser_id
    rules.note("data.imported", errand, by, now, step="applied", **found.counts)


def keep(errand: Errand, found: Found) -> None:
    """The counts for all who look, the rows sealed."""
    errand.counts = found.counts
    pieces.keep(errand.id, "report", pieces.pieces_of(found.report()))
    pieces.keep(errand.id, "differences", [json.dumps(found.differences, ensure_ascii=False).encode()])


def make(errand: Errand, table: bytes, rows: int, now: datetime) -> None:
    """Keep a table that was asked for until it is fetched, and a day. Commits."""
    errand = held(errand.id, "waiting")
    pieces.keep(errand.id, "table", pieces.pieces_of(table))
    errand.counts = {"rows": rows}
    rules.end(errand, "made", now)
    errand.expires_at = now + rules.WAITS
    db.session.commit()


def held(number: int, state: str) -> Errand:
    """The errand, locked; ServiceError conflict if it was called off meanwhile."""
    question = scoped(select(Errand), Errand.id == number).with_for_update()
    errand = db.session.scalar(question.execution_options(populate_existing=True))
    if errand is None or errand.state != state:
        raise ServiceError("conflict", reason="called off")
    return errand


def refused(number: int, refusal: ServiceError, now: datetime) -> bool:
    """Keep why it could not be done. Commits. Whether there may be something else to do at once.

    What has changed since it was seen is compared again; what another has locked waits.
    """
    errand = db.session.scalar(scoped(select(Errand), Errand.id == number, Errand.state.in_(DUE)).with_for_update())
    if errand is None:
        db.session.rollback()
        return True
    errand.failure = {"code": refusal.code, **refusal.details}
    again = refusal.code == "conflict"
    if not again:
        rules.end(errand, "failed", now)
        audit_refusal(errand, refusal, now)
    else:
        errand.attempts = 0
        errand.state, errand.outcome = "waiting", None
    db.session.commit()
    return not again


def audit_refusal(errand: Errand, refusal: ServiceError, now: datetime) -> None:
    """Note an import that was not to be."""
    if errand.direction == "import" and errand.accepted_by:
        rules.note("data.imported", errand, errand.accepted_by, now, refused=refusal.code)


def still_granted(errand: Errand, now: datetime) -> bool:
    """Whether who sent it, and who applies it, may still act where it reaches."""
    granted = aliased(Organisation)
    question = select(Grant.organiser_id, granted.path).join(granted, granted.id == Grant.organisation_id)
    accounts = {errand.accepted_by or errand.organiser_id}
    mine = scoped(question, Grant.organiser_id.in_(accounts), Grant.purpose == "roster", Grant.holds(now))
    return any(covers(row.path, errand.organisation.path) for row in db.session.execute(mine))
