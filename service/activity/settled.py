"""Which activities are over."""

from datetime import datetime

from sqlalchemy import Select, func, select

from service.activity.models import Sitting, Stream


def settled(before: datetime) -> Select[int]:
    """The numbers of activities whose sittings, check-ins and streams had all ended before a moment."""
    ends = func.greatest(func.max(Sitting.ends_at), func.max(Sitting.checkin_closes_at), func.max(Stream.closes_at))
    return (
        select(Sitting.activity_id)
        .outerjoin(Stream, Stream.sitting_id == Sitting.id)
        .group_by(Sitting.activity_id)
        .having(ends < before)
    )
