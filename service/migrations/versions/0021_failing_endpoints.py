"""Since when a receiver of webhooks has only failed; the receipt by which WeChat tells what became of a message."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("endpoints", sa.Column("failing_since", sa.DateTime(timezone=True)))
    known = sa.text("receipt IS NOT NULL")
    op.create_index("ix_notice_deliveries_receipt", "notice_deliveries", ["receipt"], postgresql_where=known)


def downgrade() -> None:
    op.drop_index("ix_notice_deliveries_receipt", "notice_deliveries")
    op.drop_column("endpoints", "failing_since")
