"""Members who only rehearse are told by a mark of their own, not by their names."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("members", sa.Column("rehearsal", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute("UPDATE members SET rehearsal = true WHERE name LIKE '演练 %' OR name = '体验用户'")


def downgrade() -> None:
    op.drop_column("members", "rehearsal")
