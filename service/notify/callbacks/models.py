"""Events that WeChat told, until they are handled; what they said of a person goes then, the rest a day later."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Identity, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from service.extensions import Base
from service.labels import holds


@holds(
    purpose="reminders",
    keeps="day",
    internal="id app attempts received_at handled_at",
    personal="key",
    sensitive="event",
)
class WechatEvent(Base):
    """One event, however often it came: `key` is what its copies have in common, as a digest."""

    __tablename__ = "wechat_events"
    __table_args__ = (
        UniqueConstraint("app", "key"),
        Index("ix_wechat_events_waiting", "id", postgresql_where=text("handled_at IS NULL")),
        Index("ix_wechat_events_received", "received_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    app: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    # JSON as text: it may hold what jsonb refuses.
    event: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    handled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
