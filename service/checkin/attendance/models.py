"""Tables of attendance. The roster is frozen at the start; what comes later is put beside it and never into it."""

from __future__ import annotations

from datetime import date, datetime

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
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.checkin.models import DENOMINATORS
from service.extensions import Base
from service.labels import holds
from service.org.models import PATH
from service.scope import Scoped

MOMENT = DateTime(timezone=True)
STANDINGS = ("expected", "exempt")
LEAVE_STATES = ("asked", "approved", "declined", "withdrawn")
MAKE_UP_KINDS = ("replay", "elsewhere")


@holds(
    purpose="organising",
    keeps="ever",
    internal="activity_id frozen_at as_of unit denominator expected exempt live_minutes replay",
)
class Roster(Base):
    """That an activity's roster was frozen, as of which day, how its rate is reckoned and what completes it."""

    __tablename__ = "rosters"
    __table_args__ = (
        CheckConstraint("unit IN ('member')", name="unit"),
        CheckConstraint(f"denominator IN {DENOMINATORS}", name="denominator"),
    )

    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"), primary_key=True, autoincrement=False)
    frozen_at: Mapped[datetime] = mapped_column(MOMENT)
    as_of: Mapped[date]
    unit: Mapped[str] = mapped_column(Text, server_default="member")
    denominator: Mapped[str] = mapped_column(Text)
    expected: Mapped[int] = mapped_column(Integer)
    exempt: Mapped[int] = mapped_column(Integer)
    live_minutes: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    replay: Mapped[bool] = mapped_column(server_default=text("false"))


@holds(
    purpose="attendance",
    keeps="named",
    sensitive="activity_id member_id home_path receiving_path standing",
)
class RosterEntry(Scoped, Base):
    """A member who was expected or exempt, at home and with a receiving branch as of the day."""

    __tablename__ = "roster_entries"
    __table_args__ = (
        CheckConstraint(f"standing IN {STANDINGS}", name="standing"),
        Index("ix_roster_entries_home", "activity_id", "home_path", "member_id"),
        Index(
            "ix_roster_entries_receiving",
            "activity_id",
            "receiving_path",
            postgresql_where=text("receiving_path IS NOT NULL"),
        ),
    )

    # Without foreign keys: 150,000 are written by one statement that reads them from those very tables.
    activity_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    home_path: Mapped[str] = mapped_column(PATH)
    receiving_path: Mapped[str | None] = mapped_column(PATH)
    standing: Mapped[str] = mapped_column(Text)


@holds(
    purpose="attendance",
    keeps="named",
    internal="id",
    personal="asked_by decided_by",
    sensitive="activity_id member_id reason state asked_at decided_at",
)
class Leave(Scoped, Base):
    """A member's request to stay away from an activity, and what his branch decided."""

    __tablename__ = "leaves"
    __table_args__ = (
        CheckConstraint(f"state IN {LEAVE_STATES}", name="state"),
        CheckConstraint("(state IN ('approved', 'declined')) = (decided_by IS NOT NULL)", name="decided"),
        Index(
            "uq_leaves_open",
            "activity_id",
            "member_id",
            unique=True,
            postgresql_where=text("state IN ('asked', 'approved')"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"), index=True)
    member_id: Mapped[int] = mapped_column(BigInteger, index=True)
    reason: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="asked")
    asked_at: Mapped[datetime] = mapped_column(MOMENT)
    # The organiser who asked for the member; none if he asked himself.
    asked_by: Mapped[int | None] = mapped_column(BigInteger)
    decided_at: Mapped[datetime | None] = mapped_column(MOMENT)
    decided_by: Mapped[int | None] = mapped_column(BigInteger)


@holds(
    purpose="attendance",
    keeps="erased",
    internal="id entered_at",
    personal="entered_by",
    sensitive="member_id reason starts_on ends_on",
)
class Exemption(Scoped, Base):
    """That nobody expects a member from one day until before another: the old, the infirm."""

    __tablename__ = "exemptions"
    __table_args__ = (
        CheckConstraint("ends_on IS NULL OR ends_on > starts_on", name="dates"),
        UniqueConstraint("member_id", "starts_on"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    reason: Mapped[str] = mapped_column(Text)
    starts_on: Mapped[date]
    ends_on: Mapped[date | None]
    entered_by: Mapped[int] = mapped_column(BigInteger)
    entered_at: Mapped[datetime] = mapped_column(MOMENT)


@holds(
    purpose="attendance",
    keeps="named",
    internal="entered_at",
    personal="entered_by",
    sensitive="activity_id member_id",
)
class Guest(Scoped, Base):
    """A member who may come to a rostered activity though nobody expects him (列席); never in the ratio."""

    __tablename__ = "guests"

    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"), primary_key=True, autoincrement=False)
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, index=True)
    entered_by: Mapped[int] = mapped_column(BigInteger)
    entered_at: Mapped[datetime] = mapped_column(MOMENT)


@holds(
    purpose="attendance",
    keeps="named",
    internal="id kind received_at",
    personal="entered_by annulled_by",
    sensitive="activity_id member_id reference check_in_id happened_at reason annulled_at annul_reason",
)
class MakeUp(Scoped, Base):
    """What a member did later in place of an activity (补学): a record of its own, never an edit of the absence.

    By replay, or by a check-in elsewhere, which it names.
    """

    __tablename__ = "make_ups"
    __table_args__ = (
        CheckConstraint(f"kind IN {MAKE_UP_KINDS}", name="kind"),
        CheckConstraint("kind = 'elsewhere' OR check_in_id IS NULL", name="evidence"),
        CheckConstraint("(annulled_at IS NULL) = (annul_reason IS NULL)", name="annulled"),
        UniqueConstraint("member_id", "reference"),
        Index(
            "uq_make_ups_standing",
            "activity_id",
            "member_id",
            unique=True,
            postgresql_where=text("annulled_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"), index=True)
    member_id: Mapped[int] = mapped_column(BigInteger)
    reference: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    check_in_id: Mapped[int | None] = mapped_column(ForeignKey("check_ins.id"), index=True)
    reason: Mapped[str] = mapped_column(Text)
    happened_at: Mapped[datetime] = mapped_column(MOMENT)
    received_at: Mapped[datetime] = mapped_column(MOMENT)
    entered_by: Mapped[int] = mapped_column(BigInteger)
    annulled_at: Mapped[datetime | None] = mapped_column(MOMENT)
    annulled_by: Mapped[int | None] = mapped_column(BigInteger)
    annul_reason: Mapped[str | None] = mapped_column(Text)
