"""Gates that show on-site codes, and by which code a member came."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "gates",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("pairing_hash", sa.LargeBinary()),
        sa.Column("pairing_expires_at", MOMENT),
        sa.Column("paired_at", MOMENT),
        sa.Column("revoked_at", MOMENT),
        sa.Column("created_by", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_gates_activity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gates")),
        sa.UniqueConstraint("pairing_hash", name=op.f("uq_gates_pairing_hash")),
    )
    op.create_index(op.f("ix_gates_activity_id"), "gates", ["activity_id"])
    op.add_column("check_ins", sa.Column("gate_id", sa.BigInteger()))
    op.add_column("check_ins", sa.Column("code_slot", sa.BigInteger()))
    op.create_check_constraint(op.f("ck_check_ins_code"), "check_ins", "(gate_id IS NULL) = (code_slot IS NULL)")
    op.create_index(
        "uq_check_ins_code",
        "check_ins",
        ["member_id", "gate_id", "code_slot"],
        unique=True,
        postgresql_where=sa.text("gate_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("uq_check_ins_code", table_name="check_ins")
    op.drop_constraint(op.f("ck_check_ins_code"), "check_ins", type_="check")
    op.drop_column("check_ins", "code_slot")
    op.drop_column("check_ins", "gate_id")
    op.drop_table("gates")
