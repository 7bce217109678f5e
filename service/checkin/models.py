"""The table of check-ins. Two constraints back the rule: once per sitting, and once per client reference."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.extensions import Base
from service.labels import holds
from service.org.models import PATH
from service.scope import Scoped

METHODS = ("self", "onsite_qr", "group", "proxy", "paper", "makeup")


@holds(
    purpose="attendance",
    keeps="named",
    internal="id method received_at",
    sensitive="activity_id sitting_id member_id named_member_id reference happened_at organisation_path place_path",
)
class CheckIn(Scoped, Base):
    """A member's attendance record, with home and place as they were on the day."""

    __tablename__ = "check_ins"
    __table_args__ = (
        UniqueConstraint("sitting_id", "member_id"),
        UniqueConstraint("member_id", "reference"),
        CheckConstraint(f"method IN {METHODS}", name="method"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"), index=True)
    sitting_id: Mapped[int] = mapped_column(ForeignKey("sittings.id"))
    # Once the person is forgotten a number below zero stands in here (`service.holdings`), and nothing there.
    member_id: Mapped[int] = mapped_column(BigInteger)
    named_member_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("members.id"), Computed("CASE WHEN member_id > 0 THEN member_id END", persisted=True)
    )
    method: Mapped[str] = mapped_column(Text, server_default="self")
    reference: Mapped[str] = mapped_column(Text)
    happened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    organisation_path: Mapped[str] = mapped_column(PATH)
    place_path: Mapped[str] = mapped_column(PATH)
