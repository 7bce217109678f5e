"""The curve of every node to the county, once a minute; what was not exact becomes an interval instead of a point."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# From the last exact point before a run of doubtful ones to the first exact one after it.
DOUBTFUL_POINTS = """
INSERT INTO curve_outages (stream_id, began_at, ended_at, reason)
SELECT stream_id, coalesce(before, min(at)), greatest(coalesce(after, max(at)), max(at)), 'unknown'
FROM (SELECT stream_id, at, basis,
             max(at) FILTER (WHERE basis = 'exact') OVER (PARTITION BY stream_id ORDER BY at) AS before,
             min(at) FILTER (WHERE basis = 'exact') OVER (PARTITION BY stream_id ORDER BY at DESC) AS after
      FROM curve_points) AS points
WHERE basis <> 'exact'
GROUP BY stream_id, before, after
"""


def upgrade() -> None:
    op.create_table(
        "curve_minutes",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("organisations", postgresql.JSONB(), nullable=False),
        sa.Column("places", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["streams.id"], name=op.f("fk_curve_minutes_stream_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("stream_id", "at", name=op.f("pk_curve_minutes")),
    )
    op.create_table(
        "curve_outages",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("began_at <= ended_at", name=op.f("ck_curve_outages_order")),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["streams.id"], name=op.f("fk_curve_outages_stream_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("stream_id", "began_at", name=op.f("pk_curve_outages")),
    )
    op.execute(DOUBTFUL_POINTS)
    op.execute("DELETE FROM curve_points WHERE basis <> 'exact'")
    op.drop_constraint(op.f("ck_curve_points_basis"), "curve_points", type_="check")
    op.drop_column("curve_points", "basis")


def downgrade() -> None:
    op.add_column("curve_points", sa.Column("basis", sa.Text(), server_default="exact", nullable=False))
    op.alter_column("curve_points", "basis", server_default=None)
    op.create_check_constraint(op.f("ck_curve_points_basis"), "curve_points", "basis IN ('exact', 'degraded')")
    op.drop_table("curve_outages")
    op.drop_table("curve_minutes")
