"""Tables of notices: what is told, to whom and with what fate, and what members said of how they want to be told."""

import uuid
from datetime import datetime, time
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from service.extensions import Base
from service.labels import holds
from service.notify.queue import Attempted
from service.scope import Scoped

PATH = Text(collation="C")
STATES = ("planned", "told", "cancelled", "expired")
FATES = ("pending", "delivered", "dead", "cancelled")
# The channel that is always there: a row that the member's app reads.
INBOX = "inbox"
DEVICE_CHANNELS = ("apns", "fcm", "jpush")
# The Official Account, by the openid that its pages logged a member in with.
ACCOUNT = "wechat_template"


@holds(
    purpose="reminders",
    keeps="told",
    internal="id key kind organisation_path activity_id texts facts audience state due_at expires_at created_at"
    " tried_at told_at",
    personal="created_by",
)
class Notice(Scoped, Base):
    """Something to tell an audience at `due_at`, and not after `expires_at`.

    `key` names what it is about: a newer one of that key takes its place.
    """

    __tablename__ = "notices"
    __table_args__ = (
        CheckConstraint(f"state IN {STATES}", name="state"),
        CheckConstraint("due_at < expires_at", name="life"),
        Index("uq_notices_planned", "key", unique=True, postgresql_where=text("state = 'planned'")),
        Index("ix_notices_due", "due_at", postgresql_where=text("state = 'planned'")),
        Index("ix_notices_key", "key"),
        Index("ix_notices_activity_id", "activity_id"),
        Index("ix_notices_expires_at", "expires_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    key: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    # The organisation that tells it, and the activity it is about, as given: this room may not ask theirs.
    organisation_path: Mapped[str] = mapped_column(PATH)
    activity_id: Mapped[int | None] = mapped_column(BigInteger)
    # An own text by language: {"zh": {"title": …, "text": …}}; empty for kinds that have texts of their own.
    texts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    audience: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(Text, server_default="planned")
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    created_by: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    # When telling it failed, by a defect.
    tried_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    told_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@holds(
    purpose="reminders",
    keeps="told",
    internal="id notice_id lane template language key state attempts repeats due_at give_up_at lease_until last_error"
    " receipt delivered_at",
    personal="member_id address",
    sensitive="organisation_path read_at",
)
class NoticeDelivery(Attempted, Scoped, Base):
    """One notice on its way to one member by one channel, `lane`; what lies in the inbox has arrived."""

    __tablename__ = "notice_deliveries"
    __table_args__ = (
        CheckConstraint(f"state IN {FATES}", name="state"),
        UniqueConstraint("notice_id", "member_id", "lane"),
        Index("ix_notice_deliveries_due", "lane", "due_at", "id", postgresql_where=text("state = 'pending'")),
        Index("ix_notice_deliveries_address", "address", postgresql_where=text("state = 'pending'")),
        Index("ix_notice_deliveries_member_id", "member_id", "id"),
        Index("ix_notice_deliveries_receipt", "receipt", postgresql_where=text("receipt IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    notice_id: Mapped[int] = mapped_column(ForeignKey("notices.id", ondelete="CASCADE"))
    member_id: Mapped[int] = mapped_column(BigInteger)
    # The member's branch when it was told.
    organisation_path: Mapped[str] = mapped_column(PATH)
    lane: Mapped[str] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(Text)
    template: Mapped[str | None] = mapped_column(Text)
    language: Mapped[str] = mapped_column(Text)
    # The same in every attempt, for providers that know repeats by it.
    key: Mapped[uuid.UUID] = mapped_column(Uuid, server_default=text("gen_random_uuid()"))
    receipt: Mapped[str | None] = mapped_column(Text)
    read_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    notice: Mapped[Notice] = relationship()


@holds(
    purpose="reminders",
    keeps="erased",
    personal="member_id language timezone quiet_from quiet_until channels",
)
class Preference(Scoped, Base):
    """How a member wants to be told: language, hours of quiet in a zone of its own, and channels, the best first."""

    __tablename__ = "notice_preferences"
    __table_args__ = (CheckConstraint("(quiet_from IS NULL) = (quiet_until IS NULL)", name="quiet"),)

    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    language: Mapped[str | None] = mapped_column(Text)
    timezone: Mapped[str] = mapped_column(Text, server_default="Asia/Shanghai")
    quiet_from: Mapped[time | None] = mapped_column(Time)
    quiet_until: Mapped[time | None] = mapped_column(Time)
    # None: every channel, in the installation's order. One that is not named is not wanted.
    channels: Mapped[list[str] | None] = mapped_column(ARRAY(Text))


@holds(purpose="reminders", keeps="erased", internal="channel registered_at", personal="member_id address")
class Device(Scoped, Base):
    """Where a member can be reached without having to agree each time: the token of an app, or the Official Account."""

    __tablename__ = "devices"
    __table_args__ = (CheckConstraint(f"channel IN {(*DEVICE_CHANNELS, ACCOUNT)}", name="channel"),)

    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    address: Mapped[str] = mapped_column(Text, primary_key=True)
    member_id: Mapped[int] = mapped_column(BigInteger, index=True)
    registered_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@holds(
    purpose="reminders",
    keeps="erased",
    internal="template balance reference changed_at",
    personal="openid member_id",
)
class Credit(Scoped, Base):
    """How many messages of a template a WeChat user may still be sent: one for each accept."""

    __tablename__ = "wechat_credits"
    __table_args__ = (CheckConstraint("balance >= 0", name="balance"),)

    openid: Mapped[str] = mapped_column(Text, primary_key=True)
    template: Mapped[str] = mapped_column(Text, primary_key=True)
    member_id: Mapped[int] = mapped_column(BigInteger, index=True)
    balance: Mapped[int] = mapped_column(Integer)
    # Of the client's last report, so that a repeat of it counts once.
    reference: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
