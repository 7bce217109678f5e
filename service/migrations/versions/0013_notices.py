"""Notices to members: planned, told, delivered; preferences, devices and WeChat's credits; repeats are counted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
PATH = sa.Text(collation="C")


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("repeats", sa.Integer(), server_default=sa.text("0"), nullable=False))
    create_notices()
    create_deliveries()
    create_wishes()


def create_notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("organisation_path", PATH, nullable=False),
        sa.Column("activity_id", sa.BigInteger()),
        *(sa.Column(name, postgresql.JSONB(), nullable=False) for name in ("texts", "facts", "audience")),
        sa.Column("state", sa.Text(), server_default="planned", nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.BigInteger()),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("tried_at", MOMENT),
        sa.Column("told_at", MOMENT),
        sa.CheckConstraint("state IN ('planned', 'told', 'cancelled', 'expired')", name=op.f("ck_notices_state")),
        sa.CheckConstraint("due_at < expires_at", name=op.f("ck_notices_life")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
    )
    planned = sa.text("state = 'planned'")
    op.create_index("uq_notices_planned", "notices", ["key"], unique=True, postgresql_where=planned)
    op.create_index("ix_notices_due", "notices", ["due_at"], postgresql_where=planned)
    for column in ("key", "activity_id", "expires_at"):
        op.create_index(f"ix_notices_{column}", "notices", [column])


def create_deliveries() -> None:
    op.create_table(
        "notice_deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("notice_id", sa.BigInteger(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("organisation_path", PATH, nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("template", sa.Text()),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("key", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("receipt", sa.Text()),
        sa.Column("read_at", MOMENT),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("repeats", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("give_up_at", MOMENT, nullable=False),
        sa.Column("lease_until", MOMENT),
        sa.Column("last_error", sa.Text()),
        sa.Column("delivered_at", MOMENT),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'dead', 'cancelled')", name=op.f("ck_notice_deliveries_state")
        ),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notices.id"], name=op.f("fk_notice_deliveries_notice_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_deliveries")),
        sa.UniqueConstraint(
            "notice_id", "member_id", "lane", name=op.f("uq_notice_deliveries_notice_id_member_id_lane")
        ),
    )
    pending = sa.text("state = 'pending'")
    columns = ["lane", "due_at", "id"]
    op.create_index("ix_notice_deliveries_due", "notice_deliveries", columns, postgresql_where=pending)
    op.create_index("ix_notice_deliveries_address", "notice_deliveries", ["address"], postgresql_where=pending)
    op.create_index("ix_notice_deliveries_member_id", "notice_deliveries", ["member_id", "id"])


def create_wishes() -> None:
    op.create_table(
        "notice_preferences",
        sa.Column("member_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("language", sa.Text()),
        sa.Column("timezone", sa.Text(), server_default="Asia/Shanghai", nullable=False),
        sa.Column("quiet_from", sa.Time()),
        sa.Column("quiet_until", sa.Time()),
        sa.Column("channels", sa.ARRAY(sa.Text())),
        sa.CheckConstraint("(quiet_from IS NULL) = (quiet_until IS NULL)", name=op.f("ck_notice_preferences_quiet")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_notice_preferences")),
    )
    op.create_table(
        "devices",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("registered_at", MOMENT, nullable=False),
        sa.CheckConstraint("channel IN ('apns', 'fcm', 'jpush')", name=op.f("ck_devices_channel")),
        sa.PrimaryKeyConstraint("channel", "address", name=op.f("pk_devices")),
    )
    op.create_index(op.f("ix_devices_member_id"), "devices", ["member_id"])
    op.create_table(
        "wechat_credits",
        sa.Column("openid", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_wechat_credits_balance")),
        sa.PrimaryKeyConstraint("openid", "template", name=op.f("pk_wechat_credits")),
    )
    op.create_index(op.f("ix_wechat_credits_member_id"), "wechat_credits", ["member_id"])


def downgrade() -> None:
    for table in ("wechat_credits", "devices", "notice_preferences", "notice_deliveries", "notices"):
        op.drop_table(table)
    op.drop_column("deliveries", "repeats")
