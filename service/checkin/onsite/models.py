"""The table of gates: devices, or pages on a wall, that show an activity's codes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Integer, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.extensions import Base
from service.labels import holds
from service.scope import Scoped

MOMENT = DateTime(timezone=True)


@holds(
    purpose="access",
    keeps="ever",
    internal="id activity_id name generation pairing_expires_at paired_at revoked_at created_at",
    personal="created_by",
    sensitive="pairing_hash",
)
class Gate(Scoped, Base):
    """What may show codes of one activity. Its key is derived from its number and generation, and stored nowhere."""

    __tablename__ = "gates"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"), index=True)
    name: Mapped[str] = mapped_column(Text)
    # Grows with every pairing, so that a device that was paired before shows nothing valid any more.
    generation: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    pairing_hash: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    pairing_expires_at: Mapped[datetime | None] = mapped_column(MOMENT)
    paired_at: Mapped[datetime | None] = mapped_column(MOMENT)
    revoked_at: Mapped[datetime | None] = mapped_column(MOMENT)
    created_by: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(MOMENT, server_default=func.now())
