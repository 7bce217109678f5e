"""The ledger of a stream's check-ins, from which the live figures are made again."""

from sqlalchemy import Select, select

from service.activity.models import Stream
from service.checkin.models import CheckIn, stands
from service.scope import scoped


def taken_back(stream: int) -> Select[int]:
    """The members that had checked in to the stream's sitting and have not any more."""
    sitting = select(Stream.sitting_id).where(Stream.id == stream).scalar_subquery()
    annulled = scoped(select(CheckIn.member_id), CheckIn.sitting_id == sitting, CheckIn.annulled_at.is_not(None))
    return annulled.where(CheckIn.member_id.not_in(checked_in(stream)))


def checked_in(stream: int) -> Select[int]:
    """The members that have checked in to the stream's sitting, each once."""
    sitting = select(Stream.sitting_id).where(Stream.id == stream).scalar_subquery()
    return scoped(select(CheckIn.member_id), CheckIn.sitting_id == sitting, stands())
