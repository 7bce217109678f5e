"""Tables of the activity room. An activity has sittings (time windows), a sitting has streams."""

from __future__ import annotations

from datetime import datetime

from flask import current_app
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
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from service.extensions import Base
from service.labels import holds
from service.org.models import Organisation
from service.scope import Scoped

KINDS = ("themed_day", "dialogue", "joint_class", "training", "seminar", "meeting")
ATTENDANCES = ("open", "rostered")
TIERS = ("lead", "undertaking", "assisting")
SOURCES = ("hls", "channels", "external_h5", "tv")


def planned_shards() -> int:
    """The setting of the day when a stream is planned."""
    shards: int = current_app.config["CHUNSHUI"].live_shards
    return shards


@holds(purpose="organising", keeps="ever", public="id name")
class Series(Base):
    """Numbered activities under one name."""

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)


@holds(
    purpose="organising",
    keeps="ever",
    public="id kind theme series_id edition timezone",
    internal="attendance rehearsal created_at",
)
class Activity(Scoped, Base):
    """What is held. `open`: any bound member may come and nobody is expected; `rostered`: the invited are."""

    __tablename__ = "activities"
    __table_args__ = (
        UniqueConstraint("series_id", "edition"),
        CheckConstraint(f"kind IN {KINDS}", name="kind"),
        CheckConstraint(f"attendance IN {ATTENDANCES}", name="attendance"),
        CheckConstraint("(series_id IS NULL) = (edition IS NULL)", name="edition"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    theme: Mapped[str] = mapped_column(Text)
    series_id: Mapped[int | None] = mapped_column(ForeignKey("series.id"))
    # Text: editions have gaps, and halves such as 33上.
    edition: Mapped[str | None] = mapped_column(Text)
    attendance: Mapped[str] = mapped_column(Text, server_default="open")
    rehearsal: Mapped[bool] = mapped_column(server_default=text("false"))
    timezone: Mapped[str] = mapped_column(Text, server_default="Asia/Shanghai")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    series: Mapped[Series | None] = relationship()
    organisers: Mapped[list[ActivityOrganiser]] = relationship(
        order_by="ActivityOrganiser.position", cascade="all, delete-orphan"
    )
    invitations: Mapped[list[ActivityInvitation]] = relationship(cascade="all, delete-orphan")
    sittings: Mapped[list[Sitting]] = relationship(order_by="Sitting.starts_at", cascade="all, delete-orphan")


@holds(purpose="organising", keeps="ever", public="activity_id organisation_id tier position")
class ActivityOrganiser(Base):
    """An organisation that holds the activity, and in which tier; `position` is the order of announcement."""

    __tablename__ = "activity_organisers"
    __table_args__ = (CheckConstraint(f"tier IN {TIERS}", name="tier"),)

    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"), primary_key=True)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), primary_key=True, index=True)
    tier: Mapped[str] = mapped_column(Text)
    position: Mapped[int] = mapped_column(Integer, server_default=text("0"))

    organisation: Mapped[Organisation] = relationship()


@holds(purpose="organising", keeps="ever", internal="activity_id organisation_id")
class ActivityInvitation(Base):
    """A subtree that is invited; an activity without any invites everybody."""

    __tablename__ = "activity_invitations"

    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"), primary_key=True)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), primary_key=True, index=True)

    organisation: Mapped[Organisation] = relationship()


@holds(
    purpose="organising",
    keeps="ever",
    public="id activity_id starts_at ends_at",
    internal="checkin_opens_at checkin_closes_at announced_at checkin_called_at",
)
class Sitting(Scoped, Base):
    """One time window of an activity, with its own check-in window."""

    __tablename__ = "sittings"
    __table_args__ = (
        CheckConstraint("starts_at < ends_at", name="times"),
        CheckConstraint("checkin_opens_at < checkin_closes_at", name="checkin_window"),
        Index(None, "announced_at", postgresql_where=text("announced_at IS NULL")),
        # What refers to a sitting may say of which activity.
        UniqueConstraint("id", "activity_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"), index=True)
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    checkin_opens_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    checkin_closes_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    # When `activity.opened` was published; set in the same transaction, so that it is published once.
    announced_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # When a host last said: please check in now.
    checkin_called_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    activity: Mapped[Activity] = relationship(back_populates="sittings")
    streams: Mapped[list[Stream]] = relationship(order_by="Stream.id", cascade="all, delete-orphan")


@holds(
    purpose="organising",
    keeps="ever",
    public="id sitting_id title opens_at closes_at",
    internal="grace_seconds shards peak peak_at",
)
class Stream(Scoped, Base):
    """A transmission of a sitting; the live room keeps its peak here."""

    __tablename__ = "streams"
    __table_args__ = (
        CheckConstraint("opens_at < closes_at", name="window"),
        CheckConstraint("grace_seconds BETWEEN 0 AND 600", name="grace"),
        CheckConstraint("shards BETWEEN 1 AND 64", name="shards"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    sitting_id: Mapped[int] = mapped_column(ForeignKey("sittings.id"), index=True)
    title: Mapped[str] = mapped_column(Text)
    grace_seconds: Mapped[int] = mapped_column(Integer, server_default=text("10"))
    opens_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    closes_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    # Over how many slots of Valkey its members are spread: fixed, because a member must be counted in one place only.
    shards: Mapped[int] = mapped_column(Integer, default=planned_shards, server_default=text("1"))
    peak: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    peak_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    sitting: Mapped[Sitting] = relationship(back_populates="streams")
    sources: Mapped[list[StreamSource]] = relationship(order_by="StreamSource.id", cascade="all, delete-orphan")


@holds(purpose="organising", keeps="ever", internal="id stream_id kind url")
class StreamSource(Base):
    """Where a stream can be watched; only `hls` plays in our own page and yields watch time."""

    __tablename__ = "stream_sources"
    __table_args__ = (CheckConstraint(f"kind IN {SOURCES}", name="kind"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"), index=True)
    kind: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
