"""What a person agreed to, and on which basis data are processed: dated, and never changed but to be ended."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Identity, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from service.extensions import Base
from service.labels import holds
from service.scope import Scoped


@holds(
    purpose="rights",
    keeps="ever",
    internal="id purpose version",
    personal="member_id given_at withdrawn_at",
)
class Consent(Scoped, Base):
    """A member's consent to a purpose, as the notice of `version` explained it, until it is withdrawn."""

    __tablename__ = "consents"
    __table_args__ = (
        CheckConstraint("given_at <= withdrawn_at", name="order"),
        Index("uq_consents_open", "member_id", "purpose", unique=True, postgresql_where=text("withdrawn_at IS NULL")),
        Index("ix_consents_member_id", "member_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    purpose: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    given_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    withdrawn_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@holds(purpose="rights", keeps="ever", internal="id purpose basis reference since until")
class LegalBasis(Base):
    """The basis that an installation processes data of a purpose on; `reference` says who decided so, and where."""

    __tablename__ = "legal_bases"
    __table_args__ = (
        CheckConstraint("since <= until", name="order"),
        Index("uq_legal_bases_open", "purpose", unique=True, postgresql_where=text("until IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    purpose: Mapped[str] = mapped_column(Text)
    basis: Mapped[str] = mapped_column(Text)
    reference: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
