"""Who checked in, as other rooms may ask for it: a SELECT, never the rows."""

from sqlalchemy import Select, select

from service.activity.models import Stream
from service.checkin.models import CheckIn


def checked_in(stream: int) -> Select[int]:
    """The members who checked in to the sitting of `stream`."""
    return select(CheckIn.member_id).join(Stream, Stream.sitting_id == CheckIn.sitting_id).where(Stream.id == stream)
