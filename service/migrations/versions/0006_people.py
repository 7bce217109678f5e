"""Members as people: sealed numbers, attachments, offices."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sealed_numbers",
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("blind_index", sa.LargeBinary(), nullable=False),
        sa.Column("tail", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('phone', 'identity')", name=op.f("ck_sealed_numbers_kind")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_sealed_numbers_member_id")),
        sa.PrimaryKeyConstraint("member_id", "kind", name=op.f("pk_sealed_numbers")),
        sa.UniqueConstraint("kind", "blind_index", name=op.f("uq_sealed_numbers_kind_blind_index")),
    )
    op.create_table(
        "attachments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("home_confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("receiving_confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.CheckConstraint("ends_on IS NULL OR ends_on > starts_on", name=op.f("ck_attachments_dates")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_attachments_member_id")),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_attachments_organisation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
    )
    op.create_index(op.f("ix_attachments_organisation_id"), "attachments", ["organisation_id"])
    op.create_index(
        "uq_attachments_open",
        "attachments",
        ["member_id", "organisation_id"],
        unique=True,
        postgresql_where=sa.text("closed_on IS NULL"),
    )
    op.create_table(
        "offices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.CheckConstraint("ends_on IS NULL OR ends_on > starts_on", name=op.f("ck_offices_dates")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_offices_member_id")),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_offices_organisation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offices")),
        sa.UniqueConstraint(
            "member_id",
            "organisation_id",
            "title",
            "starts_on",
            name=op.f("uq_offices_member_id_organisation_id_title_starts_on"),
        ),
    )
    op.create_index(op.f("ix_offices_organisation_id"), "offices", ["organisation_id"])


def downgrade() -> None:
    op.drop_table("offices")
    op.drop_table("attachments")
    op.drop_table("sealed_numbers")
