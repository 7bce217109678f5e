"""The private servers: started from nothing, stopped whole, refused twice."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from service import embedded


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an unprivileged account can reach."""
    made = Path(tempfile.mkdtemp(prefix="chunshui-test-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def test_postgres_keeps_what_was_committed(folder: Path) -> None:
    server = embedded.Postgres(folder)
    server.start()
    try:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept (n int)")
        with pytest.raises(embedded.EmbeddedError, match="already uses"):
            embedded.Postgres(folder).start()
    finally:
        server.stop()
    again = embedded.Postgres(folder)
    again.start()
    try:
        with psycopg.connect(again.url) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    finally:
        again.stop()


def test_valkey_starts_empty(folder: Path) -> None:
    server = embedded.Valkey(folder)
    for _ in range(2):
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.dbsize() == 0
            client.set("left", "over")
        server.stop()


def test_root_changes_no_mode_of_a_closed_folder(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    data = closed / "data"
    home = embedded.home(data)
    try:
        assert (home == data.resolve()) == (os.geteuid() != 0)
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        if home != data:
            shutil.rmtree(home)
