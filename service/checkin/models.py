"""Tables of check-ins. Constraints back the rule: one that stands per member and sitting, and one per reference.

A member's number stands in these tables without a foreign key where a row may outlive the person: once the person is
forgotten a number below zero stands in (`service.holdings`). Organisers' numbers are kept as given.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ColumnElement,
    Computed,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    false,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.extensions import Base
from service.labels import holds
from service.org.models import PATH
from service.scope import Scoped

METHODS = ("self", "onsite_qr", "group", "proxy", "paper", "makeup")
# What somebody else enters for a member; `makeup` is in a table of its own.
ASSISTED = ("group", "proxy", "paper")
# How a phone says it stands to the venue; it tells nobody where it is.
FENCES = ("inside", "near", "far")
DENOMINATORS = ("expected", "expected_less_leave")
MOMENT = DateTime(timezone=True)
# Whether a check-in counts: it was not taken back, and a proxy was confirmed by a second person. Every statement and
# the index that lets one stand per sitting say it by this; `Record.counts` is the same of a record.
STANDS = "check_ins.annulled_at IS NULL AND (check_ins.method <> 'proxy' OR check_ins.confirmed_at IS NOT NULL)"


@holds(
    purpose="attendance",
    keeps="named",
    internal="id method received_at late fingerprint gate_id code_slot group_session_id",
    personal="entered_by confirmed_by annulled_by",
    sensitive="activity_id sitting_id member_id named_member_id reference happened_at organisation_path place_path "
    "reason confirmed_at annulled_at annul_reason fence",
)
class CheckIn(Scoped, Base):
    """A member's attendance record, with home and place as they were on the day. None is ever deleted."""

    __tablename__ = "check_ins"
    __table_args__ = (
        UniqueConstraint("member_id", "reference"),
        # One key says both, that the sitting exists and that it is of the activity: each is looked up for every row.
        ForeignKeyConstraint(["sitting_id", "activity_id"], ["sittings.id", "sittings.activity_id"]),
        CheckConstraint(f"method IN {METHODS}", name="method"),
        CheckConstraint("method <> 'proxy' OR (entered_by IS NOT NULL AND reason IS NOT NULL)", name="proxy"),
        CheckConstraint("confirmed_by <> entered_by", name="second_person"),
        CheckConstraint("(annulled_at IS NULL) = (annul_reason IS NULL)", name="annulled"),
        CheckConstraint("(gate_id IS NULL) = (code_slot IS NULL)", name="code"),
        CheckConstraint(f"fence IN {FENCES}", name="fence"),
        CheckConstraint("group_session_id IS NULL OR method = 'group'", name="group_session"),
        Index("ix_check_ins_group_session", "group_session_id", postgresql_where=text("group_session_id IS NOT NULL")),
        # A code serves a member once, whatever became of that check-in.
        Index(
            "uq_check_ins_code",
            "member_id",
            "gate_id",
            "code_slot",
            unique=True,
            postgresql_where=text("gate_id IS NOT NULL"),
        ),
        Index("ix_check_ins_activity_id", "activity_id", "member_id"),
        Index(
            "uq_check_ins_standing",
            "sitting_id",
            "member_id",
            unique=True,
            postgresql_where=text(STANDS),
        ),
        # One proxy at a time; while it waits it keeps nobody from checking in himself.
        Index(
            "uq_check_ins_proxy",
            "sitting_id",
            "member_id",
            unique=True,
            postgresql_where=text("annulled_at IS NULL AND method = 'proxy'"),
        ),
        Index("ix_check_ins_annulled", "sitting_id", "member_id", postgresql_where=text("annulled_at IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    activity_id: Mapped[int] = mapped_column(BigInteger)
    sitting_id: Mapped[int] = mapped_column(BigInteger)
    # Once the person is forgotten a number below zero stands in here (`service.holdings`), and nothing there.
    member_id: Mapped[int] = mapped_column(BigInteger)
    named_member_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("members.id"), Computed("CASE WHEN member_id > 0 THEN member_id END", persisted=True)
    )
    method: Mapped[str] = mapped_column(Text, server_default="self")
    reference: Mapped[str] = mapped_column(Text)
    # Of what came under the reference, so that another body under it is noticed; none from before there was one.
    fingerprint: Mapped[int | None] = mapped_column(BigInteger)
    happened_at: Mapped[datetime] = mapped_column(MOMENT)
    received_at: Mapped[datetime] = mapped_column(MOMENT, server_default=func.now())
    # Whether it happened after the window, within the margin.
    late: Mapped[bool] = mapped_column(Boolean, server_default=false())
    organisation_path: Mapped[str] = mapped_column(PATH)
    place_path: Mapped[str] = mapped_column(PATH)
    # The gate whose code was read, and the slot of that code.
    gate_id: Mapped[int | None] = mapped_column(BigInteger)
    code_slot: Mapped[int | None] = mapped_column(BigInteger)
    # The screen before which he was ticked; what a batch ticks without one has none.
    group_session_id: Mapped[int | None] = mapped_column(BigInteger)
    # How the phone said it stood to the venue: a hint, and no proof.
    fence: Mapped[str | None] = mapped_column(Text)
    # The organiser who entered it for the member, and why; a proxy stands once another one has confirmed it.
    entered_by: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str | None] = mapped_column(Text)
    confirmed_by: Mapped[int | None] = mapped_column(BigInteger)
    confirmed_at: Mapped[datetime | None] = mapped_column(MOMENT)
    # Taken back: by the organiser, or by the member himself if there is none.
    annulled_at: Mapped[datetime | None] = mapped_column(MOMENT)
    annulled_by: Mapped[int | None] = mapped_column(BigInteger)
    annul_reason: Mapped[str | None] = mapped_column(Text)


def stands() -> ColumnElement[bool]:
    """`STANDS` as a condition on check-ins."""
    return literal_column(f"({STANDS})", Boolean)


@holds(
    purpose="attendance",
    keeps="named",
    internal="id method code received_at settled_at",
    personal="entered_by settled_by",
    sensitive="activity_id sitting_id member_id reference happened_at settlement",
)
class Refusal(Scoped, Base):
    """An attempt that was refused, kept for its sender to see and settle; the first of each code per reference."""

    __tablename__ = "check_in_refusals"
    __table_args__ = (UniqueConstraint("activity_id", "member_id", "reference", "code"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"))
    # As it was sent: it need not exist.
    sitting_id: Mapped[int | None] = mapped_column(BigInteger)
    member_id: Mapped[int] = mapped_column(BigInteger, index=True)
    reference: Mapped[str] = mapped_column(Text)
    method: Mapped[str] = mapped_column(Text)
    code: Mapped[str] = mapped_column(Text)
    happened_at: Mapped[datetime | None] = mapped_column(MOMENT)
    received_at: Mapped[datetime] = mapped_column(MOMENT)
    entered_by: Mapped[int | None] = mapped_column(BigInteger)
    settled_at: Mapped[datetime | None] = mapped_column(MOMENT)
    settled_by: Mapped[int | None] = mapped_column(BigInteger)
    settlement: Mapped[str | None] = mapped_column(Text)


@holds(
    purpose="organising",
    keeps="ever",
    internal="activity_id denominator late_minutes offline_minutes assisted_hours proxy_cap makeup_days live_minutes "
    "replay fence",
)
class Terms(Base):
    """How an activity takes check-ins; one without a row takes them as the defaults here say."""

    __tablename__ = "attendance_terms"
    __table_args__ = (CheckConstraint(f"denominator IN {DENOMINATORS}", name="denominator"),)

    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"), primary_key=True, autoincrement=False)
    denominator: Mapped[str] = mapped_column(Text, server_default="expected")
    late_minutes: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    # For how long after the window what happened within it may still arrive from a phone, and from an organiser.
    offline_minutes: Mapped[int] = mapped_column(Integer, server_default=text("120"))
    assisted_hours: Mapped[int] = mapped_column(Integer, server_default=text("72"))
    # The most proxies that one person may enter for the activity.
    proxy_cap: Mapped[int] = mapped_column(Integer, server_default=text("5"))
    makeup_days: Mapped[int] = mapped_column(Integer, server_default=text("30"))
    # What completes the activity beside a check-in from afar (`attendance/completion.py`); nothing by default.
    live_minutes: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    replay: Mapped[bool] = mapped_column(Boolean, server_default=false())
    # Where the venue is, and how far around it is inside: for phones to compare with where they are, by themselves.
    fence: Mapped[dict[str, float] | None] = mapped_column(JSONB(none_as_null=True))


@holds(purpose="organising", keeps="ever", internal="sitting_id method opens_at closes_at")
class MethodWindow(Base):
    """When a sitting takes check-ins of one method, where that is not the sitting's own window."""

    __tablename__ = "checkin_windows"
    __table_args__ = (
        CheckConstraint(f"method IN {METHODS}", name="method"),
        CheckConstraint("opens_at < closes_at", name="times"),
    )

    sitting_id: Mapped[int] = mapped_column(ForeignKey("sittings.id"), primary_key=True, autoincrement=False)
    method: Mapped[str] = mapped_column(Text, primary_key=True)
    opens_at: Mapped[datetime] = mapped_column(MOMENT)
    closes_at: Mapped[datetime] = mapped_column(MOMENT)
