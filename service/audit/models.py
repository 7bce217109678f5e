"""Tables of the audit room. Triggers of the database refuse what would touch a row that is written."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Identity, LargeBinary, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.extensions import Base
from service.labels import holds


class NoteColumns:
    """What is told of something that happened; actor and subject are pseudonyms, `mac` is made by who told it."""

    reference: Mapped[uuid.UUID] = mapped_column(Uuid, unique=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    event: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    key: Mapped[bytes] = mapped_column(LargeBinary)
    mac: Mapped[bytes] = mapped_column(LargeBinary)


@holds(
    purpose="audit",
    keeps="seconds",
    internal="id reference at event outcome details key mac",
    personal="actor subject",
)
class Note(NoteColumns, Base):
    """Something that happened, until it is taken into the chain; it can only leave by being there."""

    __tablename__ = "audit_notes"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)


@holds(
    purpose="audit",
    keeps="audit",
    internal="position reference at event outcome details key mac sealed_at link_key link",
    personal="actor subject",
)
class Entry(NoteColumns, Base):
    """A link of the chain; `link` depends on everything in the row and on the link before. Positions have no gaps."""

    __tablename__ = "audit_entries"

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sealed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    link_key: Mapped[bytes] = mapped_column(LargeBinary)
    link: Mapped[bytes] = mapped_column(LargeBinary)


@holds(purpose="audit", keeps="ever", public="number at position head previous key signature")
class Anchor(Base):
    """How far the chain reached at a moment, signed; kept for ever, and worth as much as its copies elsewhere."""

    __tablename__ = "audit_anchors"
    __table_args__ = (UniqueConstraint("previous"),)

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    position: Mapped[int] = mapped_column(BigInteger)
    head: Mapped[bytes] = mapped_column(LargeBinary)
    previous: Mapped[bytes] = mapped_column(LargeBinary)
    key: Mapped[bytes] = mapped_column(LargeBinary)
    signature: Mapped[bytes] = mapped_column(LargeBinary)
