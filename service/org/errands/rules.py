"""Sending an errand, seeing it, letting it be applied, calling it off, and forgetting it in time.

Whoever has the roster of the errand's part of the tree may see it and apply it; of others' there is none.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from service import audit
from service.clock import day_of
from service.errors import ServiceError
from service.extensions import db
from service.org.errands import pieces
from service.org.errands.models import OPEN, Errand
from service.org.errands.subjects import label_of
from service.org.models import Organisation
from service.org.organisers import Organiser
from service.org.people.identity import keyring
from service.org.people.scope import branch_of
from service.scope import scoped
from service.sealing import SealBrokenError

# 150,000 people are some 12 MB as CSV, and less as XLSX.
MOST_BYTES = 32 << 20
MOST_OPEN = 20
LISTED = 100
# For how long what was sent waits for a word, and for how long what came of it is there to be fetched.
WAITS, KEPT = timedelta(hours=24), timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be done: with the roster or the organisations, from one on down, for organisations as of a day."""

    subject: str
    organisation_id: int
    language: str
    format: str = "csv"
    day: date | None = None


def send_in(wish: Wish, organiser: Organiser, chunks: Iterable[bytes], now: datetime) -> Errand:
    """An errand that compares the table in `chunks`; noted. Commits. The same table again, while open, is the same.

    ServiceError not_found beyond the organiser's part of the tree, validation, body_too_large, errand_limit.
    """
    branch_of(organiser, wish.organisation_id)
    # Whoever sends slowly holds no connection.
    db.session.commit()
    digest, received = hashlib.sha256(), []
    for chunk in bounded(chunks):
        digest.update(chunk)
        received.append(chunk)
    if not received:
        raise ServiceError("validation", errors={"body": ["Empty."]})
    index = keyring().current.index(digest.digest(), "upload")
    errand, fresh = entered("import", wish, organiser, index, now)
    if fresh:
        pieces.keep(errand.id, "upload", received)
        note("data.imported", errand, organiser.id, now, step="received")
    db.session.commit()
    return errand


def ask_for(wish: Wish, organiser: Organiser, now: datetime) -> Errand:
    """An errand that makes a table; noted. Commits. Asked for again before it is made, it is the same.

    ServiceError not_found beyond the organiser's part of the tree, validation, errand_limit.
    """
    branch_of(organiser, wish.organisation_id)
    errand, fresh = entered("export", wish, organiser, b"", now)
    if fresh:
        note("data.exported", errand, organiser.id, now)
    db.session.commit()
    return errand


def entered(direction: str, wish: Wish, organiser: Organiser, index: bytes, now: datetime) -> tuple[Errand, bool]:
    """The open errand of this kind, and whether it is a new one, in the caller's transaction."""
    today = day_of(now)
    if wish.day is not None and direction == "import" and wish.day > today:
        raise ServiceError("validation", errors={"day": ["Must not be in the future."]})
    same = {
        "direction": direction,
        "subject": wish.subject,
        "organisation_id": wish.organisation_id,
        "format": wish.format,
        "day": wish.day or today,
        "organiser_id": organiser.id,
        "upload_index": index,
    }
    row = {**same, "language": wish.language, "created_at": now, "expires_at": now + WAITS}
    made = db.session.scalar(insert(Errand).values(row).on_conflict_do_nothing().returning(Errand.id))
    mine = scoped(select(func.count()).select_from(Errand), Errand.organiser_id == organiser.id)
    if made and (db.session.scalar(mine.where(Errand.state.in_(OPEN))) or 0) > MOST_OPEN:
        db.session.rollback()
        raise ServiceError("errand_limit", limit=MOST_OPEN)
    found = scoped(select(Errand).filter_by(**same), Errand.organiser_id == organiser.id, Errand.state.in_(OPEN))
    errand = db.session.scalars(found).one_or_none()
    if errand is None:
        # The one that was open has just ended.
        raise ServiceError("conflict")
    return errand, made is not None


def bounded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of one size, until it is too much."""
    waiting, size = b"", 0
    for chunk in chunks:
        size += len(chunk)
        if size > MOST_BYTES:
            raise ServiceError("body_too_large", most_bytes=MOST_BYTES)
        waiting += chunk
        while len(waiting) >= pieces.PIECE_BYTES:
            yield waiting[: pieces.PIECE_BYTES]
            waiting = waiting[pieces.PIECE_BYTES :]
    if waiting:
        yield waiting


def visible(organiser: Organiser) -> Sequence[Errand]:
    """The latest of the organiser's part of the tree."""
    return db.session.scalars(of(organiser).order_by(Errand.id.desc()).limit(LISTED)).all()


def find(number: int, organiser: Organiser, *, lock: bool = False) -> Errand:
    """One of them; ServiceError not_found."""
    question = of(organiser).where(Errand.id == number)
    found = db.session.scalar(question.with_for_update(of=Errand) if lock else question)
    if found is None:
        raise ServiceError("not_found")
    return found


def accept(number: int, organiser: Organiser, outcome: str, now: datetime) -> Errand:
    """Let the worker apply what was compared, if it is the `outcome` that was seen. Commits. Quiet if repeated.

    ServiceError conflict for another outcome, or where there is nothing to apply.
    """
    errand = find(number, organiser, lock=True)
    if errand.direction != "import" or errand.outcome != outcome or errand.state not in (*OPEN, "applied"):
        raise ServiceError("conflict", reason=errand.state)
    if errand.state == "compared":
        errand.state, errand.accepted_by, errand.attempts = "accepted", organiser.id, 0
        errand.expires_at = now + WAITS
    db.session.commit()
    return errand


def call_off(number: int, organiser: Organiser, now: datetime) -> Errand:
    """Withdraw what is open, throw away what is done: all that it holds of people is gone. Commits.

    Quiet if repeated. What is being applied is called off if it comes first.
    """
    errand = find(number, organiser, lock=True)
    pieces.forget(errand.id)
    if errand.state in OPEN:
        end(errand, "withdrawn", now)
    db.session.commit()
    return errand


def differences(number: int, organiser: Organiser) -> list[dict[str, Any]]:
    """The first rows that would change or were refused, in words; ServiceError not_found if they are gone."""
    errand = find(number, organiser)
    if not pieces.has(errand.id, "differences"):
        raise ServiceError("not_found")
    found: list[dict[str, Any]] = json.loads(b"".join(legible(errand.id, "differences")))
    return found


def fetched(number: int, organiser: Organiser, now: datetime) -> tuple[Errand, list[bytes]]:
    """The report of an import, or the table of an export; noted, committed. ServiceError not_found if it is gone."""
    errand = find(number, organiser)
    part = "report" if errand.direction == "import" else "table"
    if not pieces.has(errand.id, part):
        raise ServiceError("not_found")
    note("data.exported", errand, organiser.id, now, what=part)
    db.session.commit()
    return errand, legible(errand.id, part)


def legible(errand: int, part: str) -> list[bytes]:
    """The pieces of a part; ServiceError not_found if its key was taken away meanwhile."""
    try:
        return list(pieces.opened(errand, part))
    except SealBrokenError:
        raise ServiceError("not_found") from None


def end(errand: Errand, state: str, now: datetime) -> None:
    """The last word on an errand, in the caller's transaction: what was sent in is needed no more."""
    errand.state, errand.ended_at, errand.expires_at = state, now, now + KEPT
    pieces.forget(errand.id, "upload")


def sweep(now: datetime) -> int:
    """End what nobody gave a word on, and forget what is old; how many. Commits."""
    over = scoped(select(Errand), Errand.state.in_(OPEN), Errand.expires_at <= now)
    waiting = db.session.scalars(over.with_for_update(skip_locked=True)).all()
    for errand in waiting:
        pieces.forget(errand.id)
        end(errand, "expired", now)
    gone = scoped(delete(Errand), Errand.state.not_in(OPEN), Errand.expires_at <= now).returning(Errand.id)
    count = len(waiting) + len(db.session.scalars(gone).all())
    db.session.commit()
    return count


def of(organiser: Organiser) -> Select[Errand]:
    """The question for the errands of the organiser's part of the tree."""
    question = select(Errand).join(Organisation, Organisation.id == Errand.organisation_id)
    return scoped(question, organiser.reaches("roster", Organisation.path))


def note(event: str, errand: Errand, by: int, now: datetime, **more: int | str | bool | None) -> None:
    """Note what is taken along or brought in, in the caller's transaction."""
    told = {"what": errand.subject, "below": errand.organisation.path, "label": label_of(errand.subject)}
    audit.note(event, actor=audit.Party("organiser", by), now=now, details={**told, "errand": errand.id, **more})
