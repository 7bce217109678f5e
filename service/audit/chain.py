"""The chain: notes are taken into it in the order in which they are found, by one worker at a time.

A link is an HMAC over the one before, its own position and everything that the note says, so that without the key
nothing behind can be changed, removed or moved and the rest be made to fit again.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import structlog
from flask import current_app
from sqlalchemy import delete, insert, select, text

from service.audit import keys
from service.audit.models import Anchor, Entry, Note, NoteColumns
from service.audit.notes import Told, exact, mac_of
from service.config import Config
from service.extensions import db

log = structlog.get_logger(__name__)

GENESIS = bytes(32)
BATCH = 2000
# Any number, the same everywhere: two workers must not add to the chain at once. Nobody who notes takes it.
LOCK = 0x61756469


class Head(NamedTuple):
    """The end of the chain."""

    position: int
    link: bytes


def seal_all(now: datetime) -> None:
    """Take the notes that are there into the chain."""
    while seal(now) == BATCH:
        pass


def seal(now: datetime) -> int:
    """Take up to BATCH notes into the chain; how many there were. Commits; does nothing while another worker does."""
    if not held():
        db.session.rollback()
        return 0
    notes = db.session.scalars(select(Note).order_by(Note.id).limit(BATCH)).all()
    if notes:
        db.session.execute(insert(Entry), list(links(notes, head(), now)))
        db.session.execute(delete(Note).where(Note.id.in_([note.id for note in notes])))
        db.session.expunge_all()
    db.session.commit()
    return len(notes)


def held() -> bool:
    """Take the right to add to the chain until the transaction ends; whether it was free."""
    return bool(db.session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": LOCK}))


def head() -> Head:
    """The last link; that of the newest anchor if everything up to there has been pruned."""
    last = select(Entry.position, Entry.link).order_by(Entry.position.desc()).limit(1)
    anchored = select(Anchor.position, Anchor.head).order_by(Anchor.number.desc()).limit(1)
    row = db.session.execute(last).first() or db.session.execute(anchored).first()
    return Head(*row) if row else Head(0, GENESIS)


def links(notes: Iterable[Note], end: Head, now: datetime) -> Iterable[dict[str, object]]:
    """Rows of entries for `notes`, chained to `end`."""
    config: Config = current_app.config["CHUNSHUI"]
    known = keys.chain_keys(config)
    link_key, key = next(iter(known.items()))
    position, previous = end
    for note in notes:
        told, position = told_by(note), position + 1
        if note.key not in known or mac_of(known[note.key], told) != note.mac:
            # Sealed all the same: what somebody smuggled in is evidence, and `audit verify` will name it.
            log.error("a note of the audit log was not made by this installation", position=position)
        previous = link_of(key, previous, position, told, note.mac, now)
        yield told._asdict() | {
            "key": note.key,
            "mac": note.mac,
            "position": position,
            "sealed_at": now,
            "link_key": link_key,
            "link": previous,
        }


def link_of(key: bytes, previous: bytes, position: int, told: Told, mac: bytes, sealed_at: datetime) -> bytes:
    """The link of what was told at `position`, after `previous`."""
    return keys.mac(key, b"link", previous, position.to_bytes(8), told.canonical(), mac, exact(sealed_at).encode())


def told_by(row: NoteColumns) -> Told:
    """What a note or an entry says."""
    return Told(row.reference, row.at, row.event, row.actor, row.subject, row.outcome, row.details)
