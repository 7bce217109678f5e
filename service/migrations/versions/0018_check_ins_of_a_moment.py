"""A check-in's sitting is of its activity, by one key instead of two; when a host asked everybody to check in."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_unique_constraint(op.f("uq_sittings_id_activity_id"), "sittings", ["id", "activity_id"])
    op.drop_constraint(op.f("fk_check_ins_activity_id"), "check_ins", type_="foreignkey")
    op.drop_constraint(op.f("fk_check_ins_sitting_id"), "check_ins", type_="foreignkey")
    op.create_foreign_key(
        op.f("fk_check_ins_sitting_id"),
        "check_ins",
        "sittings",
        ["sitting_id", "activity_id"],
        ["id", "activity_id"],
    )
    op.add_column("sittings", sa.Column("checkin_called_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("sittings", "checkin_called_at")
    op.drop_constraint(op.f("fk_check_ins_sitting_id"), "check_ins", type_="foreignkey")
    op.create_foreign_key(op.f("fk_check_ins_sitting_id"), "check_ins", "sittings", ["sitting_id"], ["id"])
    op.create_foreign_key(op.f("fk_check_ins_activity_id"), "check_ins", "activities", ["activity_id"], ["id"])
    op.drop_constraint(op.f("uq_sittings_id_activity_id"), "sittings", type_="unique")
