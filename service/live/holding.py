"""What the live room holds of a person: when he watched."""

from datetime import datetime

from sqlalchemy import exists, select, text

from service.activity.models import Sitting, Stream
from service.activity.settled import settled
from service.extensions import db
from service.holdings import STAND_IN, Holding, Salts
from service.live.models import Stay
from service.scope import scoped

UNNAME = text(
    f"""
    -- scope: a stream, and one person or everybody
    UPDATE stays SET member_id = {STAND_IN}
    WHERE stream_id = :stream AND member_id > 0 AND (CAST(:member AS bigint) IS NULL OR member_id = :member)
    """  # noqa: S608 - an expression of our own
)


def unname(member: int | None, before: datetime, salts: Salts) -> int:
    """Take a member, or everybody, out of the stays of activities that ended before a moment; how many rows."""
    # Asked stream by stream: the index of stays begins with the stream.
    named = exists().where(
        Stay.stream_id == Stream.id, Stay.member_id > 0 if member is None else Stay.member_id == member
    )
    over = Sitting.activity_id.in_(settled(before))
    streams = select(Stream.id, Sitting.activity_id).join(Sitting, Sitting.id == Stream.sitting_id)
    streams = scoped(streams, over, named)
    done = 0
    for stream, activity in db.session.execute(streams).all():
        values = {"stream": stream, "member": member, "salt": salts[activity]}
        done += db.session.execute(UNNAME, values).rowcount  # type: ignore[attr-defined]
    return done


HOLDING = Holding(room="live", columns=[Stay.member_id], unname=unname)
