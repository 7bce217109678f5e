"""The tree of organisations at full size: 150,000 branches of a province, after a year of moves.

Every figure is the time of one call of the rule that the doors use, the fetching of all rows included.
"""

import time
from collections.abc import Callable, Sequence
from datetime import date
from statistics import median, quantiles

from sqlalchemy import text

from bench.figures import Figure, Goal, alone
from bench.stage import SECRET, Stage
from service.app import create_core
from service.config import Config
from service.extensions import db
from service.org.organisations import subtree
from service.org.tree import asof, changes
from service.org.tree.changes import Entry
from service.org.tree.paths import adopt_all

BRANCHES = 150_000
# One province with as many cities, counties and townships as Sichuan has.
LEVELS = (("province", 1), ("city", 21), ("county", 183), ("township", 3_182), ("branch", BRANCHES))
MOVES = 40
REPEATS = 30
BEFORE, DURING, TODAY = date(2025, 1, 15), date(2025, 6, 15), date(2025, 12, 31)
GROW = text(
    """
    WITH parents AS (SELECT id, path, row_number() OVER (ORDER BY id) - 1 AS place FROM organisations WHERE level = :above),
    numbers AS (SELECT nextval('organisations_id_seq') AS id, place FROM generate_series(0, :most - 1) AS place)
    INSERT INTO organisations (id, parent_id, path, name, level, code)
    SELECT n.id, p.id, concat_ws('.', p.path, n.id), :level || n.place, :level, :level || n.place
    FROM numbers n LEFT JOIN parents p ON p.place = n.place % (SELECT count(*) FROM parents)
    """
)
NOTE = f"""\
The tree: {" → ".join(f"{number:,} of {level}" for level, number in LEVELS)}; {MOVES} townships with all their branches have
moved to another county, one a week. One call each, all rows fetched; median and 90th percentile of {REPEATS}."""


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
    counties, townships = plant()
    moves = [timed(lambda one=one, to=to, week=week: move(one, to, week)) for week, (one, to) in enumerate(moved(counties, townships))]
    db.session.execute(text("VACUUM ANALYZE organisations"))
    return [], []


def plant() -> tuple[list[int], list[int]]:
    """The tree; the numbers of its counties and townships."""
    above = ""
    for level, most in LEVELS:
        db.session.execute(GROW, {"above": above, "level": level, "most": most})
        above = level
    db.session.execute(text("SET LOCAL statement_timeout = 0"))
    adopt_all()
    db.session.commit()
    return [], []
