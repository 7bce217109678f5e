"""Real servers once per run; a savepoint per test in PostgreSQL, an empty Valkey per test."""

import logging
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
import redis
import sqlalchemy
import structlog
from apiflask import APIFlask
from argon2 import PasswordHasher
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker

from service import embedded, logs
from service.app import create_app, create_core
from service.config import Config
from service.extensions import db as database
from service.org.accounts import passwords
from service.org.models import Member
from service.scope import demand
from tests.logs import Overheard, plant, planted, tells

# What the stages and fixtures beside the tests assert is explained too when it fails.
pytest.register_assert_rewrite("tests.live", "tests.notify", "tests.web", "tests.scraping")

OURS = re.compile(re.escape(str(Path(__file__).parent.parent)) + r"/(service|tests)/")
SECRET = "a secret that only the tests know, 32+"
# The longest files, which `make test` begins with: several processes share the files, and one would end long after all
# others if it got such a one last.
LONGEST = (
    "tests/test_openapi_fuzz.py",
    "tests/test_demo.py",
    "tests/web/test_pages.py",
    "tests/live/test_cluster.py",
    "tests/test_faults.py",
    "tests/live/test_installation_faults.py",
    "tests/bench/test_joins.py",
    "tests/live/test_feed_process.py",
    "tests/live/test_gateway_process.py",
    "tests/live/test_js_client.py",
    "tests/test_cli.py",
    "tests/live/test_rehearsal_run.py",
    "tests/live/test_peer_faults.py",
    "tests/live/test_presence_laws.py",
)
# Speed over safety: nothing of a test run outlives it.
VOLATILE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, otherwise in the order of collection."""
    ranks = {file: rank for rank, file in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.location[0], len(ranks)))


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="chunshui-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(server_folder: Path) -> Iterator[str]:
    """A private PostgreSQL whose schema was made by the real migrations."""
    server = embedded.Postgres(server_folder, VOLATILE)
    server.start()
    config = Config(database_url=server.url, redis_url="redis://127.0.0.1:1", secret_key=SECRET)
    with create_core(config).app_context():
        upgrade(directory=str(Path(embedded.__file__).parent / "migrations"))
        database.engine.dispose()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def valkey_url(server_folder: Path) -> Iterator[str]:
    """A private Valkey."""
    server = embedded.Valkey(server_folder)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[redis.Redis]:
    """A client of the empty Valkey."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def config(postgres_url: str, valkey_url: str) -> Config:
    """The settings of a test's application."""
    return Config(
        database_url=postgres_url,
        redis_url=valkey_url,
        secret_key=SECRET,
        wechat_appid="wx0123456789abcdef",
        wechat_secret="secret of the stand-in",
        wechat_api_url="http://127.0.0.1:1",
        webhook_private_addresses=True,
        second_factor_required=False,
    )


@pytest.fixture(scope="session")
def shared_app(postgres_url: str, valkey_url: str) -> Iterator[APIFlask]:
    """One application for all tests that go through HTTP without a server."""
    app = create_app(config.__wrapped__(postgres_url, valkey_url))  # type: ignore[attr-defined]
    app.testing = True
    yield app
    with app.app_context():
        database.engine.dispose()
    app.extensions["valkey"].close()


@pytest.fixture
def app(shared_app: APIFlask, valkey: redis.Redis) -> Iterator[APIFlask]:
    """The application within a context, over an empty Valkey."""
    with shared_app.app_context():
        yield shared_app


def demand_of_service(state: ORMExecuteState) -> None:
    """Demand a scope as the service's own session does; what a test asks by itself needs none."""
    frame = sys._getframe(1)
    while frame.f_back is not None and not OURS.match(frame.f_code.co_filename):
        frame = frame.f_back
    if (OURS.match(frame.f_code.co_filename) or [None, ""])[1] == "service":
        demand(state)


sqlalchemy.event.remove(database.session, "do_orm_execute", demand)
sqlalchemy.event.listen(database.session, "do_orm_execute", demand_of_service)


@pytest.fixture
def db(app: APIFlask) -> Iterator[Session]:
    """The session; whatever the test commits is undone after it, by an outer transaction."""
    connection = database.engine.connect()
    outer = connection.begin()
    previous = database.session
    bound = sessionmaker(bind=connection, join_transaction_mode="create_savepoint")
    sqlalchemy.event.listen(bound, "do_orm_execute", demand_of_service)
    database.session = sqlalchemy.orm.scoped_session(bound)  # type: ignore[arg-type]
    yield database.session()
    database.session.remove()
    database.session = previous
    outer.rollback()
    connection.close()


@pytest.fixture
def client(app: APIFlask, db: Session) -> FlaskClient:
    """An HTTP client whose requests share the test's transaction."""
    return app.test_client()


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> None:
    """What makes guessing dear would make the tests slow."""
    passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """Tests say every setting themselves."""
    kept = {name: os.environ.pop(name) for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY") if name in os.environ}
    yield
    os.environ.update(kept)


class Ear(logging.Handler):
    """Hears everything that is logged in the tests' process, and keeps what no log may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.hear(self.format(record))

    def event(self, _logger: object, _method: str, event: Any) -> Any:
        """A processor of structlog."""
        self.hear(str(event))
        return event

    def hear(self, said: str) -> None:
        """Keep `said` if it tells too much."""
        if tells(said):
            self.heard.append(said)


@pytest.fixture(scope="session")
def ear() -> Iterator[Ear]:
    """Listens for the whole run, at the level at which the product logs."""
    ear, root = Ear(), logging.getLogger()
    root.addHandler(ear)
    root.setLevel(logging.INFO)
    for name in logs.QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(processors=[ear.event, *structlog.get_config()["processors"]])
    yield ear
    root.removeHandler(ear)


@pytest.fixture(scope="session", autouse=True)
def secrets_are_known() -> None:
    """Remember every secret that this process draws, and the name of every member that it makes."""
    drawn = {secrets: "token_urlsafe", pyotp: "random_base32"}
    for module, name in drawn.items():
        setattr(module, name, remembering(getattr(module, name)))
    sqlalchemy.event.listen(Member, "init", lambda _target, _args, given: plant(given.get("name") or ""))


def remembering(draw: Callable[..., str]) -> Callable[..., str]:
    """`draw`, with what it gives remembered."""

    def drawn(*args: Any, **kwargs: Any) -> str:
        secret = draw(*args, **kwargs)
        planted.add(secret)
        return secret

    return drawn


@pytest.fixture(scope="session", autouse=True)
def no_process_tells_of_people(ear: Ear) -> Iterator[None]:
    """At the end of the run, in each of its processes: no log of any process that it started holds a secret.

    The servers' logs too: PostgreSQL quotes what it refuses unless it is told not to.
    """
    overheard, begin = Overheard(), subprocess.Popen.__init__

    def heard(self: Any, *args: Any, **options: Any) -> None:
        for stream in ("stdout", "stderr"):
            overheard.keep(options.get(stream))
        begin(self, *args, **options)

    subprocess.Popen.__init__ = heard  # type: ignore[method-assign]
    yield
    subprocess.Popen.__init__ = begin  # type: ignore[method-assign]
    assert list(overheard.lines()) == []


@pytest.fixture(autouse=True)
def no_log_tells_of_people(ear: Ear) -> Iterator[None]:
    """Whatever a test makes the product log, it holds no secret and nobody's name or number."""
    yield
    heard, ear.heard[:] = list(ear.heard), []
    assert heard == []
