"""Rows of the live room's history, as a gateway would have written them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from service.extensions import db
from service.live.models import Gateway, Stay

JOINED = datetime(2026, 9, 20, 1, tzinfo=UTC)


def make_gateway(*, heard_at: datetime) -> UUID:
    """A gateway last heard at `heard_at`."""
    gateway = Gateway(id=uuid4(), started_at=heard_at, heard_at=heard_at)
    db.session.add(gateway)
    db.session.commit()
    return gateway.id


def make_stay(stream: int, member: int, *, gateway: UUID | None = None, **fields: Any) -> Stay:
    """A stay of `member`, open unless it is given an end."""
    values = {"sequence": 1, "joined_at": JOINED, "channel": "h5", "source": "hls"} | fields
    stay = Stay(
        connection=uuid4(),
        stream_id=stream,
        member_id=member,
        gateway_id=gateway or uuid4(),
        organisation_path="1.2.3",
        place_path="54.5401",
        **values,
    )
    db.session.add(stay)
    db.session.commit()
    return stay
