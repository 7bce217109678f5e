"""What errands carry, sealed in pieces of a mebibyte: whoever has the database alone has nothing."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import delete, insert, select

from service.extensions import db
from service.org.errands.models import ErrandPiece
from service.org.people.identity import keyring

PIECE_BYTES = 1 << 20


def pieces_of(data: bytes) -> Iterator[bytes]:
    """`data` in pieces."""
    return (data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES))


def keep(errand: int, part: str, pieces: Iterable[bytes]) -> None:
    """Let a part of an errand be these pieces, in the caller's transaction."""
    forget(errand, part)
    ring = keyring()
    for place, piece in enumerate(pieces):
        sealed = ring.seal(piece, context(errand, part, place))
        db.session.execute(insert(ErrandPiece).values(errand_id=errand, part=part, place=place, ciphertext=sealed))


def forget(errand: int, *parts: str) -> None:
    """Throw parts away, all of them if none is named, in the caller's transaction."""
    gone = delete(ErrandPiece).where(ErrandPiece.errand_id == errand)
    db.session.execute(gone.where(ErrandPiece.part.in_(parts)) if parts else gone)


def has(errand: int, part: str) -> bool:
    """Whether there is such a part."""
    question = select(ErrandPiece.place).where(ErrandPiece.errand_id == errand, ErrandPiece.part == part)
    return db.session.scalar(question.limit(1)) is not None


def opened(errand: int, part: str) -> Iterator[bytes]:
    """The pieces of a part, each as it is asked for; SealBrokenError if no key opens it."""
    ring, place = keyring(), 0
    question = select(ErrandPiece.ciphertext).where(ErrandPiece.errand_id == errand, ErrandPiece.part == part)
    while (sealed := db.session.scalar(question.where(ErrandPiece.place == place))) is not None:
        yield ring.unseal(sealed, context(errand, part, place))
        place += 1


@contextmanager
def as_file(errand: int, part: str) -> Iterator[Path]:
    """A part as a file that has no name on any disk, and is gone with this process however that ends."""
    with nameless() as file:
        for piece in opened(errand, part):
            file.write(piece)
        file.flush()
        yield Path(f"/dev/fd/{file.fileno()}")


def nameless() -> BinaryIO:
    """A file in memory where the system can (Linux), else one without a name."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("table"), "w+b")
    return tempfile.TemporaryFile()


def context(errand: int, part: str, place: int) -> str:
    """What a seal is bound to."""
    return f"{part} {place} of errand {errand}"
