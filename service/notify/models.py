"""Tables of the room: who listens, what happened, and what has been delivered to whom."""

import uuid
from datetime import datetime
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
    LargeBinary,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from service.extensions import Base
from service.labels import holds
from service.notify.queue import Attempted
from service.scope import Scoped

STATES = ("pending", "delivered", "dead")


@holds(
    purpose="notices",
    keeps="account",
    internal="id organisation_id organisation_path url topics enabled disabled_reason failing_since created_at",
    personal="created_by",
    sensitive="secret_ciphertext subject_key_ciphertext",
)
class Endpoint(Scoped, Base):
    """A receiver of webhooks, registered for an organisation and everything below it."""

    __tablename__ = "endpoints"
    __table_args__ = (Index(None, "organisation_path"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    # The organisation's number and path are kept as given: this room may not ask the org room.
    organisation_id: Mapped[int] = mapped_column(BigInteger)
    organisation_path: Mapped[str] = mapped_column(Text(collation="C"))
    url: Mapped[str] = mapped_column(Text)
    secret_ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    subject_key_ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    topics: Mapped[list[str]] = mapped_column(ARRAY(Text))
    enabled: Mapped[bool] = mapped_column(server_default=true())
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    # The first failure after which nothing but failures came.
    failing_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_by: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


@holds(
    purpose="notices",
    keeps="delivered",
    internal="id topic organisation_paths payload created_at fanned_out_at position",
    sensitive="subject_member",
)
class Outbox(Base):
    """Something that happened, waiting to be fanned out to the endpoints that listen."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_waiting", "id", postgresql_where=text("fanned_out_at IS NULL")),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    topic: Mapped[str] = mapped_column(Text)
    organisation_paths: Mapped[list[str]] = mapped_column(ARRAY(Text))
    subject_member: Mapped[int | None] = mapped_column(BigInteger)
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    fanned_out_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # Given when it is fanned out, and rising in the order in which that is committed: who pulls goes on after one.
    position: Mapped[int | None] = mapped_column(BigInteger, unique=True)


@holds(
    purpose="notices",
    keeps="delivered",
    internal="id outbox_id endpoint_id message_id state attempts repeats due_at give_up_at lease_until last_status"
    " last_error delivered_at",
)
class Delivery(Attempted, Scoped, Base):
    """One event on its way to one endpoint."""

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'delivered', 'dead')", name="state"),
        UniqueConstraint("outbox_id", "endpoint_id"),
        Index("ix_deliveries_due", "endpoint_id", "due_at", "id", postgresql_where=text("state = 'pending'")),
        Index("ix_deliveries_history", "endpoint_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    outbox_id: Mapped[int] = mapped_column(ForeignKey("outbox.id", ondelete="CASCADE"))
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("endpoints.id", ondelete="CASCADE"))
    # The `webhook-id`. One per delivery, not per event: receivers that compare notes must not be able to
    # match their opaque subjects by it.
    message_id: Mapped[uuid.UUID] = mapped_column(Uuid, server_default=text("gen_random_uuid()"))
    last_status: Mapped[int | None] = mapped_column(Integer)

    event: Mapped[Outbox] = relationship()

    @property
    def webhook_id(self) -> str:
        """The id under which every attempt is sent."""
        return f"msg_{self.message_id.hex}"
