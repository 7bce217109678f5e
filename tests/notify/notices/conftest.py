"""The notify room with an audience of its own, and couriers over scripted channels."""

from collections.abc import Callable, Iterator

import pytest
import redis
from apiflask import APIFlask
from sqlalchemy import text

from service.extensions import db as database
from service.notify.channels.sends import Channel
from service.notify.courier import Courier
from service.notify.notices.posting import Notices
from tests.notify.notices.stage import audience

Carry = Callable[..., Courier]


@pytest.fixture
def app(room: APIFlask, valkey: redis.Redis) -> Iterator[APIFlask]:
    """The room within a context; what a test commits is wiped after it."""
    room.extensions["audiences"] = {"given": audience}
    with room.app_context():
        yield room
        database.session.rollback()
        database.session.execute(text("TRUNCATE notices, notice_preferences, devices, wechat_credits CASCADE"))
        database.session.commit()
    room.extensions.pop("stopping", None)


@pytest.fixture
def carry(app: APIFlask) -> Iterator[Carry]:
    """One turn of a courier over the given channels."""
    couriers: dict[int, Courier] = {}

    def turn(*channels: Channel) -> Courier:
        key = id(channels[0])
        if key not in couriers:
            couriers[key] = Courier(notices=Notices(channels={one.name: one for one in channels}))
        couriers[key](app)
        return couriers[key]

    yield turn
    for courier in couriers.values():
        courier.close()
