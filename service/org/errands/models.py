"""Tables of errands. Their contents rest sealed, in pieces, and never in the clear."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from service.extensions import Base
from service.labels import holds
from service.org.models import Organisation
from service.scope import Scoped

DIRECTIONS = ("import", "export")
SUBJECTS = ("roster", "organisations")
FORMATS = ("csv", "xlsx")
# The worker has something to do in the first two; `compared` waits for an organiser; the rest are ends.
DUE = ("waiting", "accepted")
OPEN = (*DUE, "compared")
STATES = (*OPEN, "applied", "made", "failed", "withdrawn", "expired")
# What was sent in; every row's fate; the first differences; what was asked for.
PARTS = ("upload", "report", "differences", "table")
MOMENT = DateTime(timezone=True)


@holds(
    purpose="membership",
    keeps="errand",
    internal="id direction subject organisation_id format language day state attempts counts outcome failure "
    "created_at expires_at ended_at",
    personal="organiser_id accepted_by",
    sensitive="upload_index",
)
class Errand(Scoped, Base):
    """An import or export of a part of the tree, and how far it is."""

    __tablename__ = "errands"
    __table_args__ = (
        CheckConstraint(f"direction IN {DIRECTIONS}", name="direction"),
        CheckConstraint(f"subject IN {SUBJECTS}", name="subject"),
        CheckConstraint(f"format IN {FORMATS}", name="format"),
        CheckConstraint(f"state IN {STATES}", name="state"),
        # What is sent or asked for again while it is open is the same errand.
        Index(
            "uq_errands_open",
            "organiser_id",
            "direction",
            "subject",
            "organisation_id",
            "format",
            "day",
            "upload_index",
            unique=True,
            postgresql_where=text(f"state IN {OPEN}"),
        ),
        Index("ix_errands_due", "id", postgresql_where=text(f"state IN {DUE}")),
        Index(None, "expires_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    direction: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    # The part of the tree that it reaches.
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), index=True)
    format: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(Text)
    # Organisations are told as of a day.
    day: Mapped[date]
    state: Mapped[str] = mapped_column(Text, server_default="waiting")
    # How often the worker began: what ends it every time is given up.
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    counts: Mapped[dict[str, int] | None] = mapped_column(JSONB)
    # The digest of what would become of every row; who applies names it.
    outcome: Mapped[str | None] = mapped_column(Text)
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    organiser_id: Mapped[int] = mapped_column(ForeignKey("organisers.id"))
    accepted_by: Mapped[int | None] = mapped_column(ForeignKey("organisers.id"))
    # By a key, so that the same table is known again and nothing else is.
    upload_index: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    expires_at: Mapped[datetime] = mapped_column(MOMENT)
    ended_at: Mapped[datetime | None] = mapped_column(MOMENT)

    organisation: Mapped[Organisation] = relationship()


@holds(purpose="membership", keeps="errand", internal="errand_id part place", sensitive="ciphertext")
class ErrandPiece(Base):
    """A piece of one of an errand's tables; the seal is bound to the errand, the part and the place."""

    __tablename__ = "errand_pieces"
    __table_args__ = (CheckConstraint(f"part IN {PARTS}", name="part"),)

    errand_id: Mapped[int] = mapped_column(
        ForeignKey("errands.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    part: Mapped[str] = mapped_column(Text, primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
