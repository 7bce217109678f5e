"""What completes an activity."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = ("attendance_terms", "rosters")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("live_minutes", sa.Integer(), server_default=sa.text("0"), nullable=False))
        op.add_column(table, sa.Column("replay", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "replay")
        op.drop_column(table, "live_minutes")
