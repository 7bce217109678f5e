"""Anchors: once a day the worker signs how far the chain reaches, and each anchor includes the one before.

An anchor proves as much as its copies that lie elsewhere: each is written to the log of the worker as well, and
`chunshui audit anchors` prints them all, one JSON object a line, which `chunshui audit verify --anchors` reads.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from flask import current_app
from sqlalchemy import insert, select

from service.audit import chain, keys
from service.audit.models import Anchor
from service.audit.notes import exact
from service.extensions import db

log = structlog.get_logger(__name__)


class AnchorsError(ValueError):
    """A file of anchors that cannot be read; the message says which line."""


class Signed(NamedTuple):
    """An anchor, as it lies in the table or in a copy."""

    number: int
    at: datetime
    position: int
    head: bytes
    previous: bytes
    key: bytes
    signature: bytes = b""

    def statement(self) -> bytes:
        """What is signed."""
        return json.dumps(["chunshui audit anchor", *self._plain()[:-1]], separators=(",", ":")).encode()

    def digest(self) -> bytes:
        """What the next anchor includes."""
        return sha256(self.statement() + self.signature).digest()

    def signed_by(self, known: Mapping[bytes, Ed25519PublicKey]) -> bool:
        """Whether one of the `known` keys signed it."""
        try:
            known[self.key].verify(self.signature, self.statement())
        except (KeyError, InvalidSignature):
            return False
        return True

    def line(self) -> str:
        """The anchor as one line of JSON."""
        return json.dumps(dict(zip(self._fields, self._plain(), strict=True)))

    def _plain(self) -> list[Any]:
        return [self.number, exact(self.at), self.position, *(value.hex() for value in self[3:])]


def anchor(now: datetime) -> Signed | None:
    """Sign how far the chain reaches, once a day (UTC); None if this day has its anchor. Commits."""
    if not chain.held():
        db.session.rollback()
        return None
    before = newest()
    if before is not None and before.at.astimezone(UTC).date() >= now.astimezone(UTC).date():
        db.session.rollback()
        return None
    made = sign(before, chain.head(), keys.signing_key(current_app.config["CHUNSHUI"]), now)
    db.session.execute(insert(Anchor).values(made._asdict()))
    db.session.commit()
    log.info("audit anchor", anchor=made.line())
    return made


def sign(before: Signed | None, head: chain.Head, key: Ed25519PrivateKey, now: datetime) -> Signed:
    """The anchor after `before` for a chain that ends at `head`."""
    number, previous = (before.number + 1, before.digest()) if before else (1, chain.GENESIS)
    name = keys.key_id(key.public_key().public_bytes_raw())
    unsigned = Signed(number, now, head.position, head.link, previous, name)
    return unsigned._replace(signature=key.sign(unsigned.statement()))


def newest() -> Signed | None:
    """The last anchor."""
    row = db.session.execute(STORED.order_by(Anchor.number.desc()).limit(1)).first()
    return Signed(*row) if row else None


def stored() -> list[Signed]:
    """Every anchor, the oldest first."""
    return [Signed(*row) for row in db.session.execute(STORED.order_by(Anchor.number))]


def read(lines: Iterable[str]) -> Iterator[Signed]:
    """The anchors in copies, one JSON object a line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            hexes = [bytes.fromhex(told[name]) for name in Signed._fields[3:]]
            yield Signed(int(told["number"]), datetime.fromisoformat(told["at"]), int(told["position"]), *hexes)
        except (ValueError, KeyError, TypeError):
            raise AnchorsError(f"line {number}: not an anchor") from None


STORED = select(*(getattr(Anchor, name) for name in Signed._fields))
