"""Collective viewing: group sessions, headcounts, and before which screen a member was ticked."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "group_sessions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("sitting_id", sa.BigInteger(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("organisation_path", sa.Text(collation="C"), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("screen", sa.Text(), nullable=False),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("opened_by", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", MOMENT),
        sa.Column("closed_by", sa.BigInteger()),
        sa.CheckConstraint("screen IN ('tv', 'projector', 'computer', 'phone')", name=op.f("ck_group_sessions_screen")),
        sa.CheckConstraint("(closed_at IS NULL) = (closed_by IS NULL)", name=op.f("ck_group_sessions_closed")),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_group_sessions_activity_id")),
        sa.ForeignKeyConstraint(["sitting_id"], ["sittings.id"], name=op.f("fk_group_sessions_sitting_id")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_group_sessions_organisation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_sessions")),
        sa.UniqueConstraint("opened_by", "reference", name=op.f("uq_group_sessions_opened_by_reference")),
    )
    op.create_index("ix_group_sessions_activity_id", "group_sessions", ["activity_id", "organisation_path"])
    op.create_table(
        "headcounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("group_session_id", sa.BigInteger(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("counted_at", MOMENT, nullable=False),
        sa.Column("counted_by", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("people BETWEEN 0 AND 100000", name=op.f("ck_headcounts_people")),
        sa.ForeignKeyConstraint(
            ["group_session_id"], ["group_sessions.id"], name=op.f("fk_headcounts_group_session_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_headcounts")),
    )
    op.create_index("ix_headcounts_group_session_id", "headcounts", ["group_session_id", "id"])
    op.add_column("check_ins", sa.Column("group_session_id", sa.BigInteger()))
    op.create_check_constraint(
        op.f("ck_check_ins_group_session"), "check_ins", "group_session_id IS NULL OR method = 'group'"
    )
    op.create_index(
        "ix_check_ins_group_session",
        "check_ins",
        ["group_session_id"],
        postgresql_where=sa.text("group_session_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_check_ins_group_session", table_name="check_ins")
    op.drop_constraint(op.f("ck_check_ins_group_session"), "check_ins", type_="check")
    op.drop_column("check_ins", "group_session_id")
    op.drop_table("headcounts")
    op.drop_table("group_sessions")
