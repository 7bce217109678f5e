"""Tables of collective viewing. Who was there by name is a check-in; heads that were counted are never one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.extensions import Base
from service.labels import holds
from service.org.models import PATH
from service.scope import Scoped

MOMENT = DateTime(timezone=True)
SCREENS = ("tv", "projector", "computer", "phone")


@holds(
    purpose="attendance",
    keeps="ever",
    internal="id activity_id sitting_id organisation_id organisation_path reference place screen opened_at closed_at",
    personal="opened_by closed_by",
)
class GroupSession(Scoped, Base):
    """A branch that watches a sitting together before one screen, opened and closed by its secretary."""

    __tablename__ = "group_sessions"
    __table_args__ = (
        UniqueConstraint("opened_by", "reference"),
        CheckConstraint(f"screen IN {SCREENS}", name="screen"),
        CheckConstraint("(closed_at IS NULL) = (closed_by IS NULL)", name="closed"),
        Index("ix_group_sessions_activity_id", "activity_id", "organisation_path"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"))
    sitting_id: Mapped[int] = mapped_column(ForeignKey("sittings.id"))
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"))
    # As of the day of the sitting.
    organisation_path: Mapped[str] = mapped_column(PATH)
    # Made up by the secretary's phone; the same one again is the same session.
    reference: Mapped[str] = mapped_column(Text)
    place: Mapped[str] = mapped_column(Text)
    screen: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime] = mapped_column(MOMENT)
    opened_by: Mapped[int] = mapped_column(BigInteger)
    closed_at: Mapped[datetime | None] = mapped_column(MOMENT)
    closed_by: Mapped[int | None] = mapped_column(BigInteger)


@holds(purpose="attendance", keeps="ever", internal="id group_session_id people counted_at", personal="counted_by")
class Headcount(Scoped, Base):
    """How many heads were counted before a screen, named or not. The last one counts; those before stay."""

    __tablename__ = "headcounts"
    __table_args__ = (
        CheckConstraint("people BETWEEN 0 AND 100000", name="people"),
        Index("ix_headcounts_group_session_id", "group_session_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    group_session_id: Mapped[int] = mapped_column(ForeignKey("group_sessions.id"))
    people: Mapped[int] = mapped_column(Integer)
    counted_at: Mapped[datetime] = mapped_column(MOMENT)
    counted_by: Mapped[int] = mapped_column(BigInteger)
