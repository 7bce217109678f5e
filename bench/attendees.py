"""A rostered activity of 150,000 members in a province, on a stage of its own, for the rows of check-ins."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from flask import Flask
from sqlalchemy import select, text

from bench import tree
from bench.stage import SECRET, Stage, open_stage
from service.activity.models import Activity, ActivityInvitation, Sitting
from service.app import create_core
from service.config import Config
from service.extensions import db
from service.scope import everything

MEMBERS = 150_000
BRANCHES = 3_000
LEVELS = (*tree.LEVELS[:3], ("township", 600), ("branch", BRANCHES))
ENROL = text(
    """
    INSERT INTO members (name, organisation_id) SELECT '党员' || g, b.id FROM generate_series(1, :members) AS g
    JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM organisations WHERE level = 'branch') AS b
        ON b.place = g % (SELECT count(*) FROM organisations WHERE level = 'branch')
    ORDER BY g
    """
)
PEERS_TABLE = """
    CREATE TABLE peer_check_ins (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, activity_id bigint NOT NULL REFERENCES activities,
        member_id bigint NOT NULL REFERENCES members, reference text NOT NULL, organisation_path text NOT NULL,
        happened_at timestamptz NOT NULL, UNIQUE (member_id, reference), UNIQUE (activity_id, member_id))
"""


@dataclass(frozen=True)
class Attendees:
    """Everybody, numbered from 1 on, and the activity that expects them."""

    stage: Stage
    app: Flask
    activity: int
    members: int

    def analyse(self) -> None:
        """What autovacuum does within a minute."""
        self._run("VACUUM ANALYZE")

    def forget(self) -> None:
        """Nobody has checked in yet."""
        self._run("TRUNCATE check_ins, outbox, check_in_refusals, peer_check_ins CASCADE")

    def written(self) -> int:
        """How many of our check-ins, and of the peers', are in the ledger."""
        counts = "(SELECT count(*) FROM check_ins) + (SELECT count(*) FROM peer_check_ins)"
        with psycopg.connect(self.stage.postgres.url) as connection:
            [count] = connection.execute(f"SELECT {counts}").fetchone() or (0,)
        return int(count)

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.stage.postgres.url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def gathered(members: int = MEMBERS) -> Iterator[Attendees]:
    """The stage with everybody on it; the roster is not frozen yet."""
    with open_stage() as stage:
        config = Config(database_url=stage.postgres.url, redis_url=stage.valkey_url, secret_key=SECRET)
        app = create_core(config)
        with app.app_context():
            try:
                yield _gather(stage, app, members)
            finally:
                db.session.remove()
                db.engine.dispose()


def _gather(stage: Stage, app: Flask, members: int) -> Attendees:
    tree.plant(LEVELS)
    db.session.execute(text("SET LOCAL statement_timeout = 0"))
    db.session.execute(ENROL, {"members": members})
    activity = db.session.scalars(everything("the only one", select(Activity))).one()
    activity.attendance = "rostered"
    activity.invitations = [ActivityInvitation(organisation_id=tree.numbers("province")[0])]
    [sitting] = db.session.scalars(everything("the only one", select(Sitting)))
    sitting.starts_at = datetime.now(UTC)
    found = Attendees(stage, app, activity.id, members)
    db.session.commit()
    found._run(PEERS_TABLE)
    found.analyse()
    return found
