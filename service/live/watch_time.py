"""How long people watched a stream: the union of each member's stays, so that two devices at once count once.

The plain sum of the same stays is connection time, and is called so. Seconds, exact to the microsecond; a stay that
still lasts is left out of both.
"""

from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, func, select, true

from service.extensions import db
from service.live.models import Stay
from service.scope import everything, scoped

EVERYBODY = true()
# Who watched an activity's streams for at least so many seconds, two at once counted once, by the same closed stays.
WATCHERS = """
    SELECT member_id FROM (
        SELECT member_id, unnest(range_agg(tstzrange(joined_at, left_at))) AS span
        FROM stays /* scope: one activity */
        WHERE left_at IS NOT NULL AND {who} AND stream_id IN (
            SELECT t.id FROM streams t JOIN sittings s ON s.id = t.sitting_id WHERE s.activity_id = :activity)
        GROUP BY member_id
    ) spans GROUP BY member_id HAVING sum(extract(epoch FROM upper(span) - lower(span))) >= :seconds
"""


def watch_seconds(stream: int, whose: ColumnElement[bool] = EVERYBODY) -> Decimal:
    """The time that members watched `stream`, of the stays where `whose` holds."""
    own = func.range_agg(func.tstzrange(Stay.joined_at, Stay.left_at))
    spans = closed(select(func.unnest(own).label("span")), stream, whose).group_by(Stay.member_id).subquery()
    united = select(seconds(func.lower(spans.c.span), func.upper(spans.c.span)))
    return total(everything("a sum over one stream", united))


def connection_seconds(stream: int, whose: ColumnElement[bool] = EVERYBODY) -> Decimal:
    """The time that connections were in `stream`, of the stays where `whose` holds."""
    return total(closed(select(seconds(Stay.joined_at, Stay.left_at)), stream, whose))


def closed(question: Select[Any], stream: int, whose: ColumnElement[bool]) -> Select[Any]:
    """`question` of the closed stays of `stream` where `whose` holds."""
    return scoped(question, Stay.stream_id == stream, Stay.left_at.is_not(None), whose)


def seconds(begin: SQLColumnExpression[Any], end: SQLColumnExpression[Any]) -> ColumnElement[Decimal]:
    """The sum of the times from `begin` to `end`."""
    return func.coalesce(func.sum(func.extract("epoch", end - begin)), 0)


def total(question: Select[Any]) -> Decimal:
    """The one number that `question` asks for."""
    return Decimal(db.session.execute(question).scalar_one())
