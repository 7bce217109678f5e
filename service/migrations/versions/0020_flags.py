"""Flags about check-ins, marks of devices, and how a phone says it stands to the venue."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("check_ins", sa.Column("fence", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("ck_check_ins_fence"), "check_ins", "fence IN ('inside', 'near', 'far')")
    op.create_table(
        "device_marks",
        sa.Column("check_in_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.LargeBinary(), nullable=False),
        sa.Column("noted_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["check_in_id"], ["check_ins.id"], name=op.f("fk_device_marks_check_in_id")),
        sa.PrimaryKeyConstraint("check_in_id", name=op.f("pk_device_marks")),
    )
    op.create_index("ix_device_marks_mark", "device_marks", ["activity_id", "mark"], unique=False)
    op.create_index(op.f("ix_device_marks_noted_at"), "device_marks", ["noted_at"], unique=False)
    op.create_table(
        "flags",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("raised_at", MOMENT, nullable=False),
        sa.Column("resolved_at", MOMENT, nullable=True),
        sa.Column("resolved_by", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('device', 'code', 'place')", name=op.f("ck_flags_kind")),
        sa.CheckConstraint("(resolved_at IS NULL) = (note IS NULL)", name=op.f("ck_flags_resolved")),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_flags_activity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flags")),
    )
    op.create_index(op.f("ix_flags_activity_id"), "flags", ["activity_id"], unique=False)
    op.create_index(
        "uq_flags_open",
        "flags",
        ["activity_id", "kind", "subject"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "flagged_check_ins",
        sa.Column("flag_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("check_in_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["flag_id"], ["flags.id"], name=op.f("fk_flagged_check_ins_flag_id")),
        sa.ForeignKeyConstraint(["check_in_id"], ["check_ins.id"], name=op.f("fk_flagged_check_ins_check_in_id")),
        sa.PrimaryKeyConstraint("flag_id", "check_in_id", name=op.f("pk_flagged_check_ins")),
    )
    op.create_index(op.f("ix_flagged_check_ins_check_in_id"), "flagged_check_ins", ["check_in_id"], unique=False)


def downgrade() -> None:
    op.drop_table("flagged_check_ins")
    op.drop_table("flags")
    op.drop_table("device_marks")
    op.drop_constraint(op.f("ck_check_ins_fence"), "check_ins", type_="check")
    op.drop_column("check_ins", "fence")
