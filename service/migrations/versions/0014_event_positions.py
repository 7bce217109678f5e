"""Where an event stands in the row of all, for who pulls instead of being called."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE outbox_positions")
    op.add_column("outbox", sa.Column("position", sa.BigInteger()))
    # What was told before keeps its order; what waits gets its position when it is fanned out.
    op.execute(
        "UPDATE outbox SET position = numbered.position FROM "
        "(SELECT id, nextval('outbox_positions') AS position FROM "
        "(SELECT id FROM outbox WHERE fanned_out_at IS NOT NULL ORDER BY id) AS told) AS numbered "
        "WHERE outbox.id = numbered.id"
    )
    op.create_unique_constraint(op.f("uq_outbox_position"), "outbox", ["position"])


def downgrade() -> None:
    op.drop_constraint(op.f("uq_outbox_position"), "outbox", type_="unique")
    op.drop_column("outbox", "position")
    op.execute("DROP SEQUENCE outbox_positions")
