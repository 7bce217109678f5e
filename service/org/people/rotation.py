"""Changing the keys of personal numbers: every row that another key made is sealed and indexed anew.

Batches are committed one by one and a row says itself which key made it, so that a run which ended anywhere is
continued by the next. Readers never wait: they open a row under either key.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select, text, tuple_
from sqlalchemy.exc import IntegrityError

from service import audit
from service.extensions import db
from service.org.people.identity import context, sealed
from service.org.people.models import SealedNumber
from service.scope import everything, scoped
from service.sealing import Keyring, SealBrokenError

BATCH = 2_000
# Two arrays a column: one statement a batch, whatever its size.
STORE = text(
    """
    -- scope: the rows of a batch
    UPDATE sealed_numbers SET key_id = :key_id, ciphertext = fresh.ciphertext, blind_index = fresh.blind_index
    FROM unnest(CAST(:members AS bigint[]), CAST(:kinds AS text[]), CAST(:ciphertexts AS bytea[]),
        CAST(:indexes AS bytea[])) AS fresh (member_id, kind, ciphertext, blind_index)
    WHERE sealed_numbers.member_id = fresh.member_id AND sealed_numbers.kind = fresh.kind
    """
)

Place = tuple[int, str]
# Before every row.
FIRST: Place = (0, "")


@dataclass
class Rotated:
    """What a rotation did; `broken` rows cannot be opened, `doubled` ones are another member's number too."""

    done: int = 0
    broken: list[Place] = field(default_factory=list)
    doubled: list[Place] = field(default_factory=list)


def rotate(
    ring: Keyring, *, batch: int = BATCH, progress: Callable[[int], None] = lambda _: None, now: datetime
) -> Rotated:
    """Bring every number under the current key. Commits after each batch and tells how many rows it had.

    The audit log is told with the first batch, so that a run which is killed has left its note too, and at the end.
    """
    rotated, last = Rotated(), FIRST
    while rows := _stale(ring, last, batch):
        if last == FIRST:
            _note(ring, now, step="begun")
        _renew(ring, rows, rotated)
        last = (rows[-1].member_id, rows[-1].kind)
        db.session.commit()
        db.session.expunge_all()
        progress(len(rows))
    db.session.rollback()
    if last != FIRST:
        counts = {"rows": rotated.done, "broken": len(rotated.broken), "doubled": len(rotated.doubled)}
        _note(ring, now, step="ended", **counts)
        db.session.commit()
    return rotated


def by_key() -> dict[str, int]:
    """How many numbers each key has sealed."""
    question = select(SealedNumber.key_id, func.count()).group_by(SealedNumber.key_id)
    return dict(db.session.execute(everything("sums of every number", question)).all())


def _note(ring: Keyring, now: datetime, **details: int | str) -> None:
    told: dict[str, int | str | bool | None] = {"what": "numbers", "key": ring.current.id, **details}
    audit.note("key.rotated", actor=audit.OPERATOR, now=now, details=told)


def _stale(ring: Keyring, after: Place, batch: int) -> list[SealedNumber]:
    """The next rows under another key, locked: a member who is entering a number anew waits for its batch."""
    place = tuple_(SealedNumber.member_id, SealedNumber.kind)
    question = scoped(select(SealedNumber), place > after, SealedNumber.key_id != ring.current.id)
    return list(
        db.session.scalars(question.order_by(SealedNumber.member_id, SealedNumber.kind).limit(batch).with_for_update())
    )


def _renew(ring: Keyring, rows: list[SealedNumber], rotated: Rotated) -> None:
    """Store the rows under the current key; a batch that holds a number twice is halved until it stands alone."""
    try:
        with db.session.begin_nested():
            rotated.done += _store(ring, rows, rotated)
    except IntegrityError:
        if len(rows) == 1:
            rotated.doubled.append((rows[0].member_id, rows[0].kind))
            return
        middle = len(rows) // 2
        _renew(ring, rows[:middle], rotated)
        _renew(ring, rows[middle:], rotated)


def _store(ring: Keyring, rows: list[SealedNumber], rotated: Rotated) -> int:
    fresh = []
    for row in rows:
        try:
            number = ring.unseal(row.ciphertext, context(row.member_id, row.kind)).decode()
        except SealBrokenError:
            place = (row.member_id, row.kind)
            rotated.broken += [place] if place not in rotated.broken else []
            continue
        fresh.append((row.member_id, row.kind, sealed(ring.current, row.member_id, row.kind, number)))
    values = {
        "key_id": ring.current.id,
        "members": [member for member, _, _ in fresh],
        "kinds": [kind for _, kind, _ in fresh],
        "ciphertexts": [one.ciphertext for _, _, one in fresh],
        "indexes": [one.blind_index for _, _, one in fresh],
    }
    db.session.execute(STORE, values)
    return len(fresh)
