"""The Official Account is an address of a member's, as a device is."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("ck_devices_channel"), "devices", type_="check")
    op.create_check_constraint(
        op.f("ck_devices_channel"), "devices", "channel IN ('apns', 'fcm', 'jpush', 'wechat_template')"
    )


def downgrade() -> None:
    op.execute("DELETE FROM devices WHERE channel = 'wechat_template'")
    op.drop_constraint(op.f("ck_devices_channel"), "devices", type_="check")
    op.create_check_constraint(op.f("ck_devices_channel"), "devices", "channel IN ('apns', 'fcm', 'jpush')")
