"""What the doors ask is answered from indexes, however large the tables are."""

from datetime import date

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from service.org.tree import asof
from service.org.tree.paths import adopt_all

DAY = date(2026, 3, 1)
FILL = """
INSERT INTO organisations (id, parent_id, path, name, level)
SELECT 1000000 + a, NULL, (1000000 + a)::text, 'x', 'county' FROM generate_series(1, 100) a UNION ALL
SELECT 1000000 + a * 1000 + b, 1000000 + a, concat_ws('.', 1000000 + a, 1000000 + a * 1000 + b), 'x', 'branch'
FROM generate_series(1, 100) a, generate_series(1, 100) b
"""


@pytest.mark.parametrize("question", [asof.SUBTREE, asof.CHILDREN, asof.PATHS], ids=["subtree", "children", "paths"])
def test_no_question_reads_a_whole_table(db: Session, question: TextClause) -> None:
    db.execute(text(FILL))
    adopt_all()
    for table in ("organisations", "organisation_paths", "affiliations"):
        db.execute(text(f"ANALYZE {table}"))
    values = {"root": 1_000_042, "number": 1_000_042, "day": DAY, "after": "", "most": 10**9}
    plan = "\n".join(row[0] for row in db.execute(text(f"EXPLAIN {question.text}"), values))
    assert "Seq Scan" not in plan.replace("Seq Scan on organisation_changes", "")
    assert "organisation_paths" in plan
    assert len(list(asof.subtree(1_000_042, DAY))) == 101
