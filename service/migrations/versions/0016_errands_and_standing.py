"""Errands: imports and exports that the worker does. Members' status and category, from a day on."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
STATUSES = "status IN ('active', 'floating', 'abroad', 'out_of_contact', 'left')"
OPEN = "state IN ('waiting', 'accepted', 'compared')"


def upgrade() -> None:
    op.create_table(
        "errands",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("counts", JSONB()),
        sa.Column("outcome", sa.Text()),
        sa.Column("failure", JSONB()),
        sa.Column("organiser_id", sa.BigInteger(), nullable=False),
        sa.Column("accepted_by", sa.BigInteger()),
        sa.Column("upload_index", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.CheckConstraint("direction IN ('import', 'export')", name=op.f("ck_errands_direction")),
        sa.CheckConstraint("subject IN ('roster', 'organisations')", name=op.f("ck_errands_subject")),
        sa.CheckConstraint("format IN ('csv', 'xlsx')", name=op.f("ck_errands_format")),
        sa.CheckConstraint(
            "state IN ('waiting', 'accepted', 'compared', 'applied', 'made', 'failed', 'withdrawn', 'expired')",
            name=op.f("ck_errands_state"),
        ),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_errands_organisation_id")),
        sa.ForeignKeyConstraint(["organiser_id"], ["organisers.id"], name=op.f("fk_errands_organiser_id")),
        sa.ForeignKeyConstraint(["accepted_by"], ["organisers.id"], name=op.f("fk_errands_accepted_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_errands")),
    )
    same = ["organiser_id", "direction", "subject", "organisation_id", "format", "day", "upload_index"]
    op.create_index("uq_errands_open", "errands", same, unique=True, postgresql_where=sa.text(OPEN))
    due = sa.text("state IN ('waiting', 'accepted')")
    op.create_index("ix_errands_due", "errands", ["id"], postgresql_where=due)
    op.create_index(op.f("ix_errands_expires_at"), "errands", ["expires_at"])
    op.create_index(op.f("ix_errands_organisation_id"), "errands", ["organisation_id"])
    op.create_table(
        "errand_pieces",
        sa.Column("errand_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("part IN ('upload', 'report', 'differences', 'table')", name=op.f("ck_errand_pieces_part")),
        sa.ForeignKeyConstraint(
            ["errand_id"], ["errands.id"], name=op.f("fk_errand_pieces_errand_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("errand_id", "part", "place", name=op.f("pk_errand_pieces")),
    )
    # Ciphertext does not get smaller.
    op.execute("ALTER TABLE errand_pieces ALTER COLUMN ciphertext SET STORAGE EXTERNAL")
    op.drop_constraint(op.f("ck_members_status"), "members", type_="check")
    op.create_check_constraint(op.f("ck_members_status"), "members", STATUSES)
    op.add_column("members", sa.Column("category", sa.Text()))
    op.create_check_constraint(op.f("ck_members_category"), "members", "category IN ('full', 'probationary')")
    op.create_table(
        "member_standings",
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("value", sa.Text()),
        sa.Column("former", sa.Text()),
        sa.Column("entered_at", MOMENT, nullable=False),
        sa.CheckConstraint("kind IN ('status', 'category')", name=op.f("ck_member_standings_kind")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_member_standings_member_id")),
        sa.PrimaryKeyConstraint("member_id", "kind", "since", name=op.f("pk_member_standings")),
    )
    # Nobody knows any more since when; from today on is known.
    op.execute(
        "INSERT INTO member_standings (member_id, kind, since, value, former, entered_at) "
        "SELECT id, 'status', current_date, 'left', 'active', now() FROM members "
        "WHERE status = 'left' AND erased_at IS NULL"
    )
    # What has lost its person loses its link to the person's other rows too.
    op.drop_constraint(op.f("ck_make_ups_evidence"), "make_ups", type_="check")
    op.create_check_constraint(op.f("ck_make_ups_evidence"), "make_ups", "kind = 'elsewhere' OR check_in_id IS NULL")
    op.execute(
        "UPDATE make_ups u SET check_in_id = NULL FROM check_ins c "
        "WHERE c.id = u.check_in_id AND (c.member_id < 0 OR u.member_id < 0)"
    )


def downgrade() -> None:
    op.drop_table("member_standings")
    op.drop_column("members", "category")
    op.execute("UPDATE members SET status = 'active' WHERE status <> 'left'")
    op.drop_constraint(op.f("ck_members_status"), "members", type_="check")
    op.create_check_constraint(op.f("ck_members_status"), "members", "status IN ('active', 'left')")
    op.drop_table("errand_pieces")
    op.drop_table("errands")
