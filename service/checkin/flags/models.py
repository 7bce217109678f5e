"""Tables of flags, and of the short-lived marks by which one device is known again within one activity."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Identity, Index, LargeBinary, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from service.extensions import Base
from service.labels import holds
from service.scope import Scoped

MOMENT = DateTime(timezone=True)
KINDS = ("device", "code", "place")


@holds(
    purpose="attendance",
    keeps="week",
    internal="check_in_id noted_at",
    sensitive="activity_id mark",
)
class DeviceMark(Scoped, Base):
    """From which device a check-in came: a keyed hash of what the phone calls itself, another one in each activity."""

    __tablename__ = "device_marks"
    __table_args__ = (Index("ix_device_marks_mark", "activity_id", "mark"),)

    check_in_id: Mapped[int] = mapped_column(ForeignKey("check_ins.id"), primary_key=True, autoincrement=False)
    activity_id: Mapped[int] = mapped_column(BigInteger)
    mark: Mapped[bytes] = mapped_column(LargeBinary)
    noted_at: Mapped[datetime] = mapped_column(MOMENT, index=True)


@holds(
    purpose="attendance",
    keeps="named",
    internal="id kind raised_at resolved_at",
    personal="resolved_by",
    sensitive="activity_id subject note",
)
class Flag(Scoped, Base):
    """Something odd about check-ins of an activity, until somebody has looked at it and said what it was."""

    __tablename__ = "flags"
    __table_args__ = (
        CheckConstraint(f"kind IN {KINDS}", name="kind"),
        CheckConstraint("(resolved_at IS NULL) = (note IS NULL)", name="resolved"),
        Index(
            "uq_flags_open",
            "activity_id",
            "kind",
            "subject",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"), index=True)
    kind: Mapped[str] = mapped_column(Text)
    # What is odd, to know it again: a mark, a code, two check-ins. Goes with the marks.
    subject: Mapped[str | None] = mapped_column(Text)
    raised_at: Mapped[datetime] = mapped_column(MOMENT)
    resolved_at: Mapped[datetime | None] = mapped_column(MOMENT)
    resolved_by: Mapped[int | None] = mapped_column(BigInteger)
    note: Mapped[str | None] = mapped_column(Text)


@holds(purpose="attendance", keeps="named", sensitive="flag_id check_in_id")
class Flagged(Scoped, Base):
    """A check-in that a flag is about."""

    __tablename__ = "flagged_check_ins"

    flag_id: Mapped[int] = mapped_column(ForeignKey("flags.id"), primary_key=True, autoincrement=False)
    check_in_id: Mapped[int] = mapped_column(
        ForeignKey("check_ins.id"), primary_key=True, autoincrement=False, index=True
    )
