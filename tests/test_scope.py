"""No question about people, or what is held for them, without saying how far it reaches."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask
from sqlalchemy import delete, exists, func, insert, select, text, update
from sqlalchemy.orm import Session, aliased, joinedload, selectinload, sessionmaker
from sqlalchemy.sql.base import Executable

from service.activity.models import Activity, ActivityOrganiser, Sitting
from service.extensions import Base
from service.extensions import db as database
from service.org.models import Member, Organisation
from service.scope import SCOPED_TABLES, UnscopedError, demand, everything, scoped
from tests.conftest import demand_of_service
from tests.factories import make_activity, make_member

ROOT = Path(__file__).resolve().parent.parent
# Every other table: what anybody may know, and what is only ever found by the hash of a secret or through its owner.
OPEN = {
    "activity_invitations": "part of an activity",
    "activity_organisers": "part of an activity",
    "affiliations": "the tree",
    "api_client_secrets": "found by hash",
    "audit_anchors": "heads of the chain",
    "audit_entries": "pseudonyms, which the command line alone reads",
    "audit_notes": "pseudonyms, which the command line alone reads",
    "attendance_terms": "part of an activity",
    "checkin_windows": "part of a sitting",
    "county_borders": "public",
    "curve_minutes": "sums of a stream",
    "curve_outages": "sums of a stream",
    "curve_points": "sums of a stream",
    "denials": "numbers of sessions that are over",
    "division_aliases": "public",
    "division_changes": "public",
    "divisions": "public",
    "errand_pieces": "part of an errand",
    "gateways": "processes",
    "geography_set_divisions": "public",
    "geography_sets": "public",
    "legal_bases": "what the installation processes on",
    "login_attempts": "found by hash",
    "organisation_changes": "the tree",
    "organisation_paths": "the tree",
    "organisations": "the tree, which every account sees",
    "outbox": "what the courier delivers, and who pulls asks for by path",
    "recovery_codes": "found by hash",
    "refresh_tokens": "found by hash",
    "rosters": "sums of an activity",
    "second_factors": "found by account",
    "series": "names of series",
    "stream_sources": "part of a stream",
    "wechat_events": "the worker alone reads it, and what it says goes within a day",
}
ASKED = re.compile(r"\b(?:FROM|JOIN|UPDATE|USING)\s+(?:ONLY\s+)?(\w+)")
Other = aliased(Member)

UNSCOPED: list[Executable] = [
    select(Member),
    select(Member.id),
    select(Other.name),
    select(func.count()).select_from(Member),
    select(Organisation).join(Member),
    select(Organisation).where(exists().where(Member.organisation_id == Organisation.id)),
    select(Organisation.id).where(Organisation.id.in_(select(Member.organisation_id))),
    select(select(Member.id).subquery().c.id),
    select(select(Member.id).cte().c.id),
    select(Member.id).union(select(Organisation.id)),
    update(Member).values(name="x"),
    delete(Member),
    insert(Organisation).from_select(["name"], select(Member.name)),
    select(Member.__table__.c.name),
]


@pytest.fixture
def strict(app: APIFlask) -> Iterator[Session]:
    """A session that asks of the tests what the service's asks of the service."""
    with sessionmaker(bind=database.engine)() as session:
        from sqlalchemy import event

        event.listen(session, "do_orm_execute", demand)
        yield session
        session.rollback()


def test_every_model_is_scoped_or_said_to_be_open(app: APIFlask) -> None:
    assert {table.name for table in Base.metadata.sorted_tables} == SCOPED_TABLES | set(OPEN)
    assert not SCOPED_TABLES & set(OPEN)


@pytest.mark.parametrize("statement", UNSCOPED, ids=lambda one: " ".join(str(one).split())[:60])
def test_what_says_nothing_is_refused(strict: Session, statement: Executable) -> None:
    with pytest.raises(UnscopedError):
        strict.execute(statement)


def test_what_says_how_far_it_reaches_is_answered(strict: Session) -> None:
    assert strict.scalars(scoped(select(Member), Member.id == -1)).all() == []
    assert strict.scalars(everything("a test", select(Member).where(Member.id == -1))).all() == []
    assert strict.execute(scoped(update(Member), Member.id == -1).values(name="x")).rowcount == 0  # type: ignore[attr-defined]
    assert strict.scalars(select(Organisation).where(Organisation.id == -1)).all() == []
    assert strict.execute(text("SELECT 1")).scalar() == 1
    with pytest.raises(UnscopedError):
        scoped(select(Member))
    with pytest.raises(UnscopedError):
        strict.get(Member, 1)


def test_what_belongs_to_a_row_that_was_found_may_be_loaded(db: Session) -> None:
    activity, member = make_activity(), make_member()
    db.expire_all()
    database.session.commit()
    whole = select(Activity).options(
        selectinload(Activity.sittings).joinedload(Sitting.streams),
        joinedload(Activity.organisers).joinedload(ActivityOrganiser.organisation),
    )
    found = db.scalars(scoped(whole, Activity.id == activity.id)).unique().one()
    assert found.sittings[0].streams
    assert member.organisation.name


def test_the_services_own_session_demands_it() -> None:
    """The tests' session demands it of the service's code, wherever the test comes from."""
    source = (ROOT / "service" / "extensions.py").read_text()
    assert 'event.listen(db.session, "do_orm_execute", demand)' in source
    assert demand_of_service.__module__ == "tests.conftest"


def sql_of_the_service() -> Iterator[tuple[str, str]]:
    """The texts in the service's code; a formatted one whole."""
    for path in sorted((ROOT / "service").rglob("*.py")):
        if "versions" not in path.parts:
            tree = ast.parse(path.read_text())
            formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
            parts = {id(part) for node in formatted for part in node.values}
            yield from ((str(path), ast.unparse(node).replace("\\n", "\n")) for node in formatted)
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                    yield str(path), node.value


def test_sql_written_as_text_says_how_far_it_reaches() -> None:
    asking = [(path, sql) for path, sql in sql_of_the_service() if SCOPED_TABLES & set(ASKED.findall(sql))]
    assert len(asking) > 10
    assert [(path, sql) for path, sql in asking if "scope:" not in sql] == []
