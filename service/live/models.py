"""Tables of the live room: gateways that are alive, members' stays, and the recorded curve."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.extensions import Base
from service.labels import holds
from service.scope import Scoped


@holds(purpose="operating", keeps="ever", internal="id started_at heard_at")
class Gateway(Base):
    """One gateway worker from its start; `heard_at` is written every second while it lives."""

    __tablename__ = "gateways"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    heard_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@holds(
    purpose="attendance",
    keeps="named",
    internal="connection sequence gateway_id channel source closed_by",
    sensitive="stream_id member_id organisation_path place_path joined_at left_at",
)
class Stay(Scoped, Base):
    """One continuous presence of one connection in a stream.

    Leaving and joining again on one connection gives the next `sequence`. Paths, channel and source are as they were
    at the join. The owner (its gateway) may correct what a reaper closed, never the other way round. No foreign key to
    members: history outlives them, and a batch of stays must never fail for one row.
    """

    __tablename__ = "stays"
    __table_args__ = (
        CheckConstraint("closed_by IN ('owner', 'reaper')", name="closed_by"),
        CheckConstraint("(left_at IS NULL) = (closed_by IS NULL)", name="closed"),
        CheckConstraint("left_at >= joined_at", name="order"),
        Index("ix_stays_stream_id_member_id", "stream_id", "member_id"),
        Index("ix_stays_open", "gateway_id", postgresql_where="left_at IS NULL"),
    )

    connection: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True)
    stream_id: Mapped[int] = mapped_column(BigInteger)
    member_id: Mapped[int] = mapped_column(BigInteger)
    gateway_id: Mapped[UUID]
    organisation_path: Mapped[str] = mapped_column(Text(collation="C"))
    place_path: Mapped[str] = mapped_column(Text(collation="C"))
    channel: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    joined_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    left_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    closed_by: Mapped[str | None] = mapped_column(Text)


@holds(purpose="organising", keeps="ever", internal="stream_id at online connections joined checked_in")
class CurvePoint(Base):
    """The exact figures of one stream at one moment."""

    __tablename__ = "curve_points"

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    online: Mapped[int] = mapped_column(Integer)
    connections: Mapped[int] = mapped_column(Integer)
    joined: Mapped[int] = mapped_column(Integer)
    checked_in: Mapped[int] = mapped_column(Integer)


@holds(purpose="organising", keeps="ever", internal="stream_id at organisations places")
class CurveMinute(Base):
    """The members online at every node down to the county, once a minute: node -> members, nobody where none is named.

    One row holds all nodes: it is written or not written as a whole, whoever writes it, and 3,000 counties are some
    thirty kilobytes of it.
    """

    __tablename__ = "curve_minutes"

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    organisations: Mapped[dict[str, int]] = mapped_column(JSONB)
    places: Mapped[dict[str, int]] = mapped_column(JSONB)


@holds(purpose="organising", keeps="ever", internal="stream_id began_at ended_at reason")
class CurveOutage(Base):
    """A time without exact figures, from the last point before it to the first one after it.

    `reason` is what began it: lease, behind, rebuilding, valkey, database, worker, or unknown.
    """

    __tablename__ = "curve_outages"
    __table_args__ = (CheckConstraint("began_at <= ended_at", name="order"),)

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True)
    began_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    ended_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    reason: Mapped[str] = mapped_column(Text)
