"""The notify room alone: the core, its doors, and organisers who are who they say they are."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import redis
from apiflask import APIFlask
from flask import request
from sqlalchemy import text

from service import errors
from service.app import configure
from service.config import Config
from service.errors import ServiceError
from service.extensions import db as database
from service.notify.callbacks.views import bp as callbacks
from service.notify.courier import Courier
from service.notify.views import bp
from tests.notify.receiver import Receiver, receiving


@dataclass(frozen=True)
class Organiser:
    """What the org room would find behind a cookie."""

    id: int
    organisation_id: int
    organisation_path: str

    def paths(self, purpose: str) -> tuple[str, ...]:
        return (self.organisation_path,)

    def may(self, purpose: str, path: str) -> bool:
        return path == self.organisation_path

    def check(self, *purposes: str) -> None:
        """All are granted everything, for their own part of the tree."""


# Ana leads the province, Ben a city in it, Cleo another province whose number begins alike.
CAST = {"ana": Organiser(1, 12, "1.12"), "ben": Organiser(2, 345, "1.12.345"), "cleo": Organiser(3, 123, "1.123")}


def organiser() -> Organiser:
    try:
        return CAST[request.headers["X-Test-Organiser"]]
    except KeyError:
        raise ServiceError("token_missing") from None


@pytest.fixture(scope="session")
def room(postgres_url: str, valkey_url: str) -> Iterator[APIFlask]:
    app = APIFlask("service")
    settings = Config(
        database_url=postgres_url,
        redis_url=valkey_url,
        secret_key="a secret of the notify room's tests only",
        webhook_private_addresses=True,
        webhook_timeout_seconds=5.0,
        webhook_retry_seconds=0.02,
    )
    configure(app, settings)
    errors.init_app(app)
    for doors in (bp, callbacks):
        app.register_blueprint(doors, url_prefix="/api/v1")
    app.extensions["organiser"] = organiser
    app.testing = True
    yield app
    with app.app_context():
        database.engine.dispose()
    app.extensions["valkey"].close()


@pytest.fixture
def app(room: APIFlask, valkey: redis.Redis) -> Iterator[APIFlask]:
    """The room within a context; what a test commits is wiped after it."""
    kept = room.config["CHUNSHUI"]
    with room.app_context():
        yield room
        database.session.rollback()
        database.session.execute(text("TRUNCATE outbox, endpoints CASCADE"))
        database.session.commit()
    room.config["CHUNSHUI"] = kept
    room.extensions.pop("stopping", None)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def other_receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def courier() -> Iterator[Courier]:
    made = Courier()
    yield made
    made.close()


def configured(app: APIFlask, **changes: object) -> None:
    """Change settings of the room until the end of the test."""
    app.config["CHUNSHUI"] = replace(app.config["CHUNSHUI"], **changes)
