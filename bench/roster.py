"""A province's roster: 150,000 people from an XLSX file by the command, and the keys of their numbers changed after.

The command is timed as an operator would: from its start to its end, Python's own start included. It works in a
database of its own beside the stage's, and the file is written before.
"""

import base64
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from flask_migrate import upgrade

from bench.figures import Figure, Goal, alone
from bench.stage import SECRET, Stage
from service import embedded
from service.app import create_core
from service.config import Config
from service.extensions import db
from service.org.organisations import add_organisation
from service.org.people.entries import COLUMNS
from service.org.people.numbers import check_character
from service.sheets import write

PEOPLE = 150_000
BRANCHES = 1_500
DATABASE = "bench_roster"
ROTATION = "rotate keys, AES to SM4, from where it was killed"
SUITES = ("aes256", "sm4")
GOAL = Goal("at most 30 s", ours_at_most=30.0)
FIRST_BIRTHDAY = date(1950, 1, 1)
HEADINGS = [COLUMNS[name][0] for name in ("name", "organisation", "phone", "identity")]


def measure(stage: Stage, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """The row of the table and the notes below it."""
    folder = Path(tempfile.mkdtemp(prefix="chunshui-roster-"))
    try:
        with database(stage) as url:
            say(f"roster: writing {PEOPLE:,} rows")
            branches = prepared(url)
            files = {kind: written(folder / f"roster.{kind}", branches) for kind in ("xlsx", "csv")}
            taken, moved = timed(stage, url, files, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figure = alone("roster_import_150k", ours=taken["import xlsx"], unit="s", goal=GOAL, digits=1)
    lines = [f"- {name}: {seconds:.1f} s" for name, seconds in taken.items()]
    lines.append(
        f"- of {2 * PEOPLE:,} numbers {moved:,} had the new key when its rotation was killed, none the old one after"
    )
    note = f"Roster: `chunshui roster import --yes` of {PEOPLE:,} people with phone and identity number, start to end."
    return [figure], [note, "", *lines]


def timed(stage: Stage, url: str, files: dict[str, Path], say: Callable[[str], None]) -> tuple[dict[str, float], int]:
    """What each command took, and how many numbers had the new key when its rotation was killed half-way.

    The first import, the same again, a look at it from CSV, the rest of changing the key, and an import under it.
    """
    keys = [f"k{number}:{suite}:{base64.b64encode(os.urandom(32)).decode()}" for number, suite in enumerate(SUITES)]
    one, both = keys[0], f"{keys[1]},{keys[0]}"
    runs = {
        "import xlsx": (one, ["roster", "import", "--yes", str(files["xlsx"])]),
        "import xlsx again": (one, ["roster", "import", "--yes", str(files["xlsx"])]),
        "dry run csv": (one, ["roster", "import", "--dry-run", str(files["csv"])]),
        ROTATION: (both, ["keys", "rotate"]),
        "import xlsx again under SM4": (both, ["roster", "import", "--yes", str(files["xlsx"])]),
    }
    taken, moved = {}, 0
    for name, (identity_keys, arguments) in runs.items():
        told = stage.environment | {"DATABASE_URL": url, "IDENTITY_KEYS": identity_keys, "LANG": "en_US.UTF-8"}
        if name == ROTATION:
            moved = killed_half_way(arguments, told, url)
        begin = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "service.cli", *arguments],
            env=os.environ | told,
            capture_output=True,
            text=True,
            check=False,
        )
        taken[name] = time.monotonic() - begin
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stdout}{done.stderr}")
        say(f"roster: {name} {taken[name]:.1f} s: {done.stdout.strip()}")
    if under_new_key(url) != 2 * PEOPLE:
        raise RuntimeError("numbers are left under the old key")
    return taken, moved


def killed_half_way(arguments: list[str], told: dict[str, str], url: str) -> int:
    """Start changing the key, kill it once half of the numbers have the new one, and say how many have it."""
    command = [sys.executable, "-m", "service.cli", *arguments]
    with subprocess.Popen(command, env=os.environ | told, stdout=subprocess.DEVNULL) as running:
        while under_new_key(url) < PEOPLE and running.poll() is None:
            time.sleep(0.05)
        running.kill()
    moved = under_new_key(url)
    if not PEOPLE <= moved < 2 * PEOPLE:
        raise RuntimeError(f"the rotation was not killed half-way: {moved:,} numbers had the new key")
    return moved


def under_new_key(url: str) -> int:
    """How many numbers have the second key."""
    with psycopg.connect(url) as connection:
        [count] = connection.execute("SELECT count(*) FROM sealed_numbers WHERE key_id = 'k1'").fetchone() or (0,)
    return int(count)


@contextmanager
def database(stage: Stage) -> Iterator[str]:
    """An empty database on the stage's server, gone afterwards; its address."""
    parts = urlsplit(stage.postgres.url)
    with psycopg.connect(stage.postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
        try:
            yield urlunsplit(parts._replace(path=f"/{DATABASE}"))
        finally:
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def prepared(url: str) -> list[int]:
    """The real schema and a province of branches; their numbers."""
    config = Config(database_url=url, redis_url="unix:///nowhere", secret_key=SECRET)
    with create_core(config).app_context():
        upgrade(directory=str(Path(embedded.__file__).parent / "migrations"))
        province = add_organisation("四川省", level="province")
        branches = [
            add_organisation(f"流动党员第{number}党支部", level="branch", parent=province).id
            for number in range(BRANCHES)
        ]
        db.session.commit()
        db.session.remove()
        db.engine.dispose()
    return branches


def written(file: Path, branches: list[int]) -> Path:
    """A roster of people who do not exist."""
    with file.open("wb") as target:
        rows = ((f"党员{n}", str(branches[n % BRANCHES]), f"139{n:08d}", identity_of(n)) for n in range(PEOPLE))
        write(target, file.suffix.removeprefix("."), headings=HEADINGS, rows=rows)
    return file


def identity_of(number: int) -> str:
    """A different identity number, right in form, for each number."""
    born = FIRST_BIRTHDAY + timedelta(days=number // 1000)
    digits = f"510725{born:%Y%m%d}{number % 1000:03d}"
    return digits + check_character(digits)
