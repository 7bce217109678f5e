"""The tree: a subtree is one range of one index, and holds exactly what lies below."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from service.org.models import Organisation, covers
from service.org.organisations import lineage, subtree
from tests.factories import make_organisation

PATHS = st.lists(st.integers(1, 10**6), min_size=1, max_size=5).map(lambda ids: ".".join(map(str, ids)))


def test_a_subtree_holds_itself_and_all_below(db: Session) -> None:
    province = make_organisation(level="province")
    city, other = (make_organisation(level="city", parent=province) for _ in range(2))
    branch = make_organisation(parent=city)
    make_organisation(parent=other)
    assert [one.id for one in db.scalars(subtree(city.path))] == [city.id, branch.id]
    assert branch.path == f"{province.id}.{city.id}.{branch.id}"
    assert lineage(branch.path) == [province.id, city.id, branch.id]


def test_a_neighbour_in_number_is_not_below(db: Session) -> None:
    for number in (12, 123, 1234):
        db.add(Organisation(id=10**6 + number, path=str(number), name="支部", level="branch"))
        db.add(Organisation(id=10**7 + number, path=f"{number}.5", name="支部", level="branch"))
    db.commit()
    assert [one.path for one in db.scalars(subtree("12"))] == ["12", "12.5"]


@given(ancestor=PATHS, path=PATHS)
def test_the_range_and_the_prefix_agree(ancestor: str, path: str) -> None:
    """What `within` asks of PostgreSQL, bytewise, is what `covers` answers in Python."""
    in_range = ancestor.encode() <= path.encode() < (ancestor + "/").encode()
    assert in_range == covers(ancestor, path)
    assert covers(ancestor, f"{ancestor}.{path}")


def test_the_subtree_query_uses_the_index(db: Session) -> None:
    fill = """
        INSERT INTO organisations (path, name, level)
        SELECT a || '.' || b, 'x', 'branch' FROM generate_series(1, 100) a, generate_series(1, 100) b
    """
    db.execute(text(fill))
    db.execute(text("ANALYZE organisations"))
    query = subtree("42").compile(db.connection(), compile_kwargs={"literal_binds": True})
    plan = "\n".join(row[0] for row in db.execute(text(f"EXPLAIN {query}")))
    assert "uq_organisations_path" in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan
