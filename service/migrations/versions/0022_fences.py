"""Where an activity's venue is, for phones to compare with where they are."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attendance_terms", sa.Column("fence", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("attendance_terms", "fence")
