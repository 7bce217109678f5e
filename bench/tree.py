"""The tree of organisations at full size: 150,000 branches of a province, after a year of changes.

Every figure is the time of one call of the function that the doors use, the fetching of all rows included.
"""

import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import cycle
from statistics import median

from sqlalchemy import select, text

from bench.figures import Figure, Goal, alone
from bench.stage import SECRET, Stage
from service.app import create_core
from service.config import Config
from service.extensions import db
from service.org.entries import Entry
from service.org.models import Organisation
from service.org.organisations import subtree
from service.org.tree import asof, changes
from service.org.tree.paths import adopt_all

BRANCHES = 150_000
# As many cities, counties and townships as Sichuan has.
LEVELS = (("province", 1), ("city", 21), ("county", 183), ("township", 3_182), ("branch", BRANCHES))
MOVES = 40
REPEATS = 30
DAY = date(2025, 6, 15)
FIRST, TODAY = date(2025, 1, 6), date(2025, 12, 31)
GROW = text(
    """
    WITH above AS (
        SELECT id, path, row_number() OVER (ORDER BY id) - 1 AS place FROM organisations WHERE level = :above
    ), fresh AS (SELECT nextval('organisations_id_seq') AS id, place FROM generate_series(0, :most - 1) AS place)
    INSERT INTO organisations (id, parent_id, path, name, level, code)
    SELECT f.id, a.id, concat_ws('.', a.path, f.id), :level || f.place, :level, :level || f.place
    FROM fresh f LEFT JOIN above a ON a.place = f.place % (SELECT count(*) FROM above)
    """
)
NOTE = f"""\
The tree: {", ".join(f"{number:,} × {level}" for level, number in LEVELS)}; {MOVES} townships have moved to another
county with all their branches, one a week. Each figure is one call with all its rows fetched, and a median."""


def measure(stage: Stage, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """The rows of the table and the notes below it."""
    config = Config(database_url=stage.postgres.url, redis_url="unix:///nowhere", secret_key=SECRET)
    with create_core(config).app_context():
        try:
            return _measured(say)
        finally:
            db.session.remove()
            db.engine.dispose()


def _measured(say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    planted = timed(plant)
    counties, townships = numbers("county"), numbers("township")
    pairs = list(zip(townships[:MOVES], reversed(counties), strict=False))
    moves = [timed(partial(move, township, county, week)) for week, (township, county) in enumerate(pairs)]
    analyse()
    root, county, path = numbers("province")[0], cycle(counties), cycle(paths("county"))
    found = [
        figure("tree_subtree_county", lambda: db.session.scalars(subtree(next(path))).all(), goal_ms=50),
        figure("tree_as_of_county", lambda: list(asof.subtree(next(county), DAY)), goal_ms=50),
        figure("tree_as_of_page", lambda: list(asof.subtree(root, DAY, most=200)), goal_ms=50),
        figure("tree_as_of_whole", lambda: list(asof.subtree(root, DAY)), goal_ms=5_000, repeats=3),
        figure("tree_as_of_children", lambda: list(asof.children(next(county), DAY)), goal_ms=50),
        row("tree_move_township", median(moves), goal_ms=2_000),
    ]
    for one in found:
        say(f"{one.key}: {one.ours} {one.unit}")
    return found, [NOTE, "", f"- planting it, dated paths included: {planted / 1000:.1f} s"]


def plant(levels: Sequence[tuple[str, int]] = LEVELS) -> None:
    """The tree, since ever."""
    db.session.execute(text("SET LOCAL statement_timeout = 0"))
    above = ""
    for level, most in levels:
        db.session.execute(GROW, {"above": above, "level": level, "most": most})
        above = level
    adopt_all()
    db.session.commit()


def move(township: int, county: int, week: int) -> None:
    """One township to another county."""
    changes.move(township, to=county, on=FIRST + timedelta(weeks=week), entry=Entry(TODAY))


def analyse() -> None:
    """What autovacuum does within a minute."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE organisations, organisation_paths, affiliations, organisation_changes"))


def numbers(level: str) -> Sequence[int]:
    """The organisations of a level."""
    return db.session.scalars(
        select(Organisation.id).where(Organisation.level == level).order_by(Organisation.id)
    ).all()


def paths(level: str) -> Sequence[str]:
    """Their paths."""
    return db.session.scalars(
        select(Organisation.path).where(Organisation.level == level).order_by(Organisation.id)
    ).all()


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of one call; the next one starts afresh."""
    begin = time.perf_counter()
    work()
    spent = 1000 * (time.perf_counter() - begin)
    db.session.rollback()
    db.session.expunge_all()
    return spent


def figure(key: str, work: Callable[[], object], *, goal_ms: int, repeats: int = REPEATS) -> Figure:
    """The median of some calls."""
    return row(key, median(timed(work) for _ in range(repeats)), goal_ms=goal_ms)


def row(key: str, milliseconds: float, *, goal_ms: int) -> Figure:
    """One row of the table."""
    goal = Goal(f"≤ {goal_ms:,} ms", ours_at_most=goal_ms)
    return alone(key, ours=milliseconds, unit="ms", goal=goal, digits=1)
