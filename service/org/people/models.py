"""Tables of people. A phone or identity number is nowhere in the clear; a masked tail is for people to compare."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from service.extensions import Base
from service.labels import holds
from service.org.models import Member, Organisation
from service.scope import Scoped

KINDS = ("phone", "identity")
STANDINGS = ("status", "category")


@holds(
    purpose="membership",
    keeps="erased",
    internal="kind key_id",
    personal="member_id tail",
    sensitive="ciphertext blind_index",
)
class SealedNumber(Scoped, Base):
    """A member's number of one kind: to open with the key `key_id`, to find by its keyed index, never in the clear."""

    __tablename__ = "sealed_numbers"
    __table_args__ = (
        CheckConstraint(f"kind IN {KINDS}", name="kind"),
        UniqueConstraint("kind", "blind_index"),
    )

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    key_id: Mapped[str] = mapped_column(Text)
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    blind_index: Mapped[bytes] = mapped_column(LargeBinary)
    tail: Mapped[str] = mapped_column(Text)


@holds(
    purpose="membership",
    keeps="erased",
    internal="id",
    personal="member_id",
    sensitive="organisation_id reason starts_on ends_on proposed_at home_confirmed_at receiving_confirmed_at closed_on",
)
class Attachment(Scoped, Base):
    """A dated stay of a member with a receiving branch; it counts once both branches have confirmed it."""

    __tablename__ = "attachments"
    __table_args__ = (
        CheckConstraint("ends_on IS NULL OR ends_on > starts_on", name="dates"),
        # One at a time with each branch; what was declined or has been ended leaves room for another.
        Index(
            "uq_attachments_open",
            "member_id",
            "organisation_id",
            unique=True,
            postgresql_where=text("closed_on IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), index=True)
    reason: Mapped[str] = mapped_column(Text)
    starts_on: Mapped[date]
    # The first day on which it no longer holds.
    ends_on: Mapped[date | None]
    proposed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    home_confirmed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    receiving_confirmed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    closed_on: Mapped[date | None]

    member: Mapped[Member] = relationship()
    organisation: Mapped[Organisation] = relationship()


@holds(
    purpose="membership",
    keeps="roster",
    internal="id",
    personal="member_id",
    sensitive="organisation_id status until",
)
class FormerHome(Scoped, Base):
    """Where a member was at home, and whether active, until a moment. A trigger of the database keeps it, whoever moves
    the member, so that a roster that is frozen a little late is still as of its start; it goes soon afterwards.
    """

    __tablename__ = "former_homes"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"))
    status: Mapped[str] = mapped_column(Text)
    until: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


@holds(
    purpose="membership",
    keeps="erased",
    internal="id",
    personal="member_id",
    sensitive="organisation_id title starts_on ends_on",
)
class Office(Scoped, Base):
    """An office that a member holds in an organisation from one day until before another."""

    __tablename__ = "offices"
    __table_args__ = (
        CheckConstraint("ends_on IS NULL OR ends_on > starts_on", name="dates"),
        UniqueConstraint("member_id", "organisation_id", "title", "starts_on"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), index=True)
    title: Mapped[str] = mapped_column(Text)
    starts_on: Mapped[date]
    ends_on: Mapped[date | None]

    organisation: Mapped[Organisation] = relationship()


@holds(
    purpose="membership",
    keeps="erased",
    internal="kind",
    personal="member_id",
    sensitive="since value former entered_at",
)
class Standing(Scoped, Base):
    """A change of a member's status or category from a day on; `former` is what was before."""

    __tablename__ = "member_standings"
    __table_args__ = (CheckConstraint(f"kind IN {STANDINGS}", name="kind"),)

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    since: Mapped[date] = mapped_column(primary_key=True)
    value: Mapped[str | None] = mapped_column(Text)
    former: Mapped[str | None] = mapped_column(Text)
    entered_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
