"""Events that WeChat's message push told, until they are handled."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "wechat_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wechat_events")),
        sa.UniqueConstraint("app", "key", name=op.f("uq_wechat_events_app_key")),
    )
    op.create_index("ix_wechat_events_waiting", "wechat_events", ["id"], postgresql_where=sa.text("handled_at IS NULL"))
    op.create_index("ix_wechat_events_received", "wechat_events", ["received_at"])


def downgrade() -> None:
    op.drop_table("wechat_events")
