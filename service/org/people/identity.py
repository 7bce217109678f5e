"""A member's phone and identity number: kept under seal, found by a keyed index, shown as a tail.

The seal is bound to member and kind, so that a ciphertext that is moved to another row or column does not open.
While keys are being changed a number may be indexed under any of them; looking up asks for all. Two processes with
different first keys cannot both be stopped from entering one number for two members at the same moment: rotation
finds such a pair and says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from flask import current_app
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from service import audit
from service.config import Config
from service.errors import ServiceError
from service.extensions import db
from service.org.people.models import KINDS, SealedNumber
from service.org.people.numbers import NORMAL, TAIL
from service.scope import scoped
from service.sealing import Key, Keyring


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is stored of a number."""

    key_id: str
    ciphertext: bytes
    blind_index: bytes
    tail: str


def keyring() -> Keyring:
    """The application's keys of personal numbers."""
    config: Config = current_app.config["CHUNSHUI"]
    return config.keyring


def context(member: int, kind: str) -> str:
    """What a seal is bound to: the row and the column."""
    return f"{kind} of member {member}"


def sealed(key: Key, member: int, kind: str, number: str) -> Sealed:
    """`number`, a normal one of `kind`, as it is stored for `member`."""
    plain = number.encode()
    return Sealed(key.id, key.seal(plain, context(member, kind)), key.index(plain, kind), number[-TAIL:])


def identify(member: int, numbers: Mapping[str, str | None]) -> None:
    """Store the numbers by kind, None takes one away; in the caller's transaction.

    ServiceError validation for one that cannot be right, number_taken for one that another member has.
    """
    ring = keyring()
    wrong = [kind for kind, text in numbers.items() if text is not None and NORMAL[kind](text) is None]
    if wrong:
        raise ServiceError("validation", errors={kind: ["Not a valid number."] for kind in wrong})
    for kind, text in numbers.items():
        if text is None:
            db.session.execute(
                scoped(delete(SealedNumber), SealedNumber.member_id == member, SealedNumber.kind == kind)
            )
        else:
            put(ring, member, kind, str(NORMAL[kind](text)))


def put(ring: Keyring, member: int, kind: str, number: str) -> None:
    """Store one normal number of `member`, in the caller's transaction; number_taken if another member has it."""
    if holder(ring, kind, number) not in (None, member):
        raise ServiceError("number_taken", kind=kind)
    row = sealed(ring.current, member, kind, number)
    values = {name: getattr(row, name) for name in ("key_id", "ciphertext", "blind_index", "tail")}
    upsert = insert(SealedNumber).values(member_id=member, kind=kind, **values)
    try:
        with db.session.begin_nested():
            db.session.execute(upsert.on_conflict_do_update(index_elements=["member_id", "kind"], set_=values))
    except IntegrityError:
        # Another transaction has entered the number since we looked.
        raise ServiceError("number_taken", kind=kind) from None


def holder(ring: Keyring, kind: str, number: str) -> int | None:
    """The member who has this normal number, under whichever key it was indexed."""
    indexes = ring.indexes(number.encode(), kind)
    question = scoped(select(SealedNumber.member_id), SealedNumber.kind == kind, SealedNumber.blind_index.in_(indexes))
    return db.session.scalar(question.limit(1))


def reveal(member: int, kind: str, *, to: audit.Party, now: datetime) -> str | None:
    """The number in the clear, None if there is none; that `to` asked is noted and committed before it is opened.

    SealBrokenError if it cannot be opened.
    """
    audit.note("plaintext.read", actor=to, subject=audit.Party("member", member), now=now, details={"what": kind})
    db.session.commit()
    question = scoped(select(SealedNumber.ciphertext), SealedNumber.member_id == member, SealedNumber.kind == kind)
    ciphertext = db.session.scalar(question)
    return None if ciphertext is None else keyring().unseal(ciphertext, context(member, kind)).decode()


def tails(member: int) -> dict[str, str | None]:
    """The last characters of each kind of number, None where there is none."""
    question = scoped(select(SealedNumber.kind, SealedNumber.tail), SealedNumber.member_id == member)
    found = dict(db.session.execute(question).all())
    return {kind: found.get(kind) for kind in KINDS}
