"""Who entered, confirmed and annulled a check-in; refusals, terms, the frozen roster and what stands beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    extend_check_ins()
    create_terms()
    create_roster()
    create_records()


def extend_check_ins() -> None:
    op.add_column("check_ins", sa.Column("fingerprint", sa.BigInteger(), nullable=True))
    op.add_column("check_ins", sa.Column("late", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("check_ins", sa.Column("entered_by", sa.BigInteger(), nullable=True))
    op.add_column("check_ins", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("check_ins", sa.Column("confirmed_by", sa.BigInteger(), nullable=True))
    op.add_column("check_ins", sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("check_ins", sa.Column("annulled_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("check_ins", sa.Column("annulled_by", sa.BigInteger(), nullable=True))
    op.add_column("check_ins", sa.Column("annul_reason", sa.Text(), nullable=True))
    op.drop_constraint(op.f("uq_check_ins_sitting_id_member_id"), "check_ins", type_="unique")
    op.drop_index(op.f("ix_check_ins_activity_id"), table_name="check_ins")
    op.create_index("ix_check_ins_activity_id", "check_ins", ["activity_id", "member_id"], unique=False)
    op.create_index(
        "ix_check_ins_annulled",
        "check_ins",
        ["sitting_id", "member_id"],
        unique=False,
        postgresql_where=sa.text("annulled_at IS NOT NULL"),
    )
    op.create_index(
        "uq_check_ins_standing",
        "check_ins",
        ["sitting_id", "member_id"],
        unique=True,
        postgresql_where=sa.text("annulled_at IS NULL AND (method <> 'proxy' OR confirmed_at IS NOT NULL)"),
    )
    op.create_index(
        "uq_check_ins_proxy",
        "check_ins",
        ["sitting_id", "member_id"],
        unique=True,
        postgresql_where=sa.text("annulled_at IS NULL AND method = 'proxy'"),
    )
    op.create_check_constraint(
        op.f("ck_check_ins_proxy"), "check_ins", "method <> 'proxy' OR (entered_by IS NOT NULL AND reason IS NOT NULL)"
    )
    op.create_check_constraint(op.f("ck_check_ins_second_person"), "check_ins", "confirmed_by <> entered_by")
    op.create_check_constraint(
        op.f("ck_check_ins_annulled"), "check_ins", "(annulled_at IS NULL) = (annul_reason IS NULL)"
    )


def create_terms() -> None:
    op.create_table(
        "attendance_terms",
        sa.Column("activity_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("denominator", sa.Text(), server_default="expected", nullable=False),
        sa.Column("late_minutes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("offline_minutes", sa.Integer(), server_default=sa.text("120"), nullable=False),
        sa.Column("assisted_hours", sa.Integer(), server_default=sa.text("72"), nullable=False),
        sa.Column("proxy_cap", sa.Integer(), server_default=sa.text("5"), nullable=False),
        sa.Column("makeup_days", sa.Integer(), server_default=sa.text("30"), nullable=False),
        sa.CheckConstraint(
            "denominator IN ('expected', 'expected_less_leave')", name=op.f("ck_attendance_terms_denominator")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_attendance_terms_activity_id")),
        sa.PrimaryKeyConstraint("activity_id", name=op.f("pk_attendance_terms")),
    )
    op.create_table(
        "checkin_windows",
        sa.Column("sitting_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("opens_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "method IN ('self', 'onsite_qr', 'group', 'proxy', 'paper', 'makeup')",
            name=op.f("ck_checkin_windows_method"),
        ),
        sa.CheckConstraint("opens_at < closes_at", name=op.f("ck_checkin_windows_times")),
        sa.ForeignKeyConstraint(["sitting_id"], ["sittings.id"], name=op.f("fk_checkin_windows_sitting_id")),
        sa.PrimaryKeyConstraint("sitting_id", "method", name=op.f("pk_checkin_windows")),
    )


def create_roster() -> None:
    op.create_table(
        "roster_entries",
        sa.Column("activity_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("home_path", sa.Text(collation="C"), nullable=False),
        sa.Column("receiving_path", sa.Text(collation="C"), nullable=True),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.CheckConstraint("standing IN ('expected', 'exempt')", name=op.f("ck_roster_entries_standing")),
        sa.PrimaryKeyConstraint("activity_id", "member_id", name=op.f("pk_roster_entries")),
    )
    op.create_index("ix_roster_entries_home", "roster_entries", ["activity_id", "home_path", "member_id"], unique=False)
    op.create_index(
        "ix_roster_entries_receiving",
        "roster_entries",
        ["activity_id", "receiving_path"],
        unique=False,
        postgresql_where=sa.text("receiving_path IS NOT NULL"),
    )
    op.create_table(
        "guests",
        sa.Column("activity_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entered_by", sa.BigInteger(), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_guests_activity_id")),
        sa.PrimaryKeyConstraint("activity_id", "member_id", name=op.f("pk_guests")),
    )
    op.create_index(op.f("ix_guests_member_id"), "guests", ["member_id"], unique=False)
    op.create_table(
        "leaves",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="asked", nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('approved', 'declined')) = (decided_by IS NOT NULL)", name=op.f("ck_leaves_decided")
        ),
        sa.CheckConstraint("state IN ('asked', 'approved', 'declined', 'withdrawn')", name=op.f("ck_leaves_state")),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_leaves_activity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leaves")),
    )
    op.create_index(op.f("ix_leaves_activity_id"), "leaves", ["activity_id"], unique=False)
    op.create_index(op.f("ix_leaves_member_id"), "leaves", ["member_id"], unique=False)
    op.create_index(
        "uq_leaves_open",
        "leaves",
        ["activity_id", "member_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('asked', 'approved')"),
    )
    op.create_table(
        "rosters",
        sa.Column("activity_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("unit", sa.Text(), server_default="member", nullable=False),
        sa.Column("denominator", sa.Text(), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=False),
        sa.Column("exempt", sa.Integer(), nullable=False),
        sa.CheckConstraint("denominator IN ('expected', 'expected_less_leave')", name=op.f("ck_rosters_denominator")),
        sa.CheckConstraint("unit IN ('member')", name=op.f("ck_rosters_unit")),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_rosters_activity_id")),
        sa.PrimaryKeyConstraint("activity_id", name=op.f("pk_rosters")),
    )
    op.create_table(
        "exemptions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("entered_by", sa.BigInteger(), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("ends_on IS NULL OR ends_on > starts_on", name=op.f("ck_exemptions_dates")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_exemptions_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exemptions")),
        sa.UniqueConstraint("member_id", "starts_on", name=op.f("uq_exemptions_member_id_starts_on")),
    )


def create_records() -> None:
    op.create_table(
        "check_in_refusals",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("sitting_id", sa.BigInteger(), nullable=True),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entered_by", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by", sa.BigInteger(), nullable=True),
        sa.Column("settlement", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_check_in_refusals_activity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_in_refusals")),
        sa.UniqueConstraint(
            "activity_id",
            "member_id",
            "reference",
            "code",
            name=op.f("uq_check_in_refusals_activity_id_member_id_reference_code"),
        ),
    )
    op.create_index(op.f("ix_check_in_refusals_member_id"), "check_in_refusals", ["member_id"], unique=False)
    op.create_table(
        "make_ups",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("check_in_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entered_by", sa.BigInteger(), nullable=False),
        sa.Column("annulled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("annulled_by", sa.BigInteger(), nullable=True),
        sa.Column("annul_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("(kind = 'elsewhere') = (check_in_id IS NOT NULL)", name=op.f("ck_make_ups_evidence")),
        sa.CheckConstraint("kind IN ('replay', 'elsewhere')", name=op.f("ck_make_ups_kind")),
        sa.CheckConstraint("(annulled_at IS NULL) = (annul_reason IS NULL)", name=op.f("ck_make_ups_annulled")),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_make_ups_activity_id")),
        sa.ForeignKeyConstraint(["check_in_id"], ["check_ins.id"], name=op.f("fk_make_ups_check_in_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_make_ups")),
        sa.UniqueConstraint("member_id", "reference", name=op.f("uq_make_ups_member_id_reference")),
    )
    op.create_index(op.f("ix_make_ups_activity_id"), "make_ups", ["activity_id"], unique=False)
    op.create_index(op.f("ix_make_ups_check_in_id"), "make_ups", ["check_in_id"], unique=False)
    op.create_index(
        "uq_make_ups_standing",
        "make_ups",
        ["activity_id", "member_id"],
        unique=True,
        postgresql_where=sa.text("annulled_at IS NULL"),
    )


def downgrade() -> None:
    # What was taken back, or has yet to be confirmed, could not be told from what stands.
    op.execute("DELETE FROM make_ups")
    op.execute("DELETE FROM check_ins WHERE annulled_at IS NOT NULL OR (method = 'proxy' AND confirmed_at IS NULL)")
    for name in ("proxy", "second_person", "annulled"):
        op.drop_constraint(op.f(f"ck_check_ins_{name}"), "check_ins", type_="check")
    op.drop_index("uq_check_ins_proxy", table_name="check_ins")
    op.drop_index("uq_check_ins_standing", table_name="check_ins")
    op.drop_index("ix_check_ins_annulled", table_name="check_ins")
    op.drop_index("ix_check_ins_activity_id", table_name="check_ins")
    op.create_index(op.f("ix_check_ins_activity_id"), "check_ins", ["activity_id"], unique=False)
    op.create_unique_constraint(op.f("uq_check_ins_sitting_id_member_id"), "check_ins", ["sitting_id", "member_id"])
    op.drop_column("check_ins", "annul_reason")
    op.drop_column("check_ins", "annulled_by")
    op.drop_column("check_ins", "annulled_at")
    op.drop_column("check_ins", "confirmed_at")
    op.drop_column("check_ins", "confirmed_by")
    op.drop_column("check_ins", "reason")
    op.drop_column("check_ins", "entered_by")
    op.drop_column("check_ins", "late")
    op.drop_column("check_ins", "fingerprint")
    op.drop_index("uq_make_ups_standing", table_name="make_ups")
    op.drop_index(op.f("ix_make_ups_check_in_id"), table_name="make_ups")
    op.drop_index(op.f("ix_make_ups_activity_id"), table_name="make_ups")
    op.drop_table("make_ups")
    op.drop_table("exemptions")
    op.drop_table("checkin_windows")
    op.drop_table("rosters")
    op.drop_index("uq_leaves_open", table_name="leaves")
    op.drop_index(op.f("ix_leaves_member_id"), table_name="leaves")
    op.drop_index(op.f("ix_leaves_activity_id"), table_name="leaves")
    op.drop_table("leaves")
    op.drop_index(op.f("ix_guests_member_id"), table_name="guests")
    op.drop_table("guests")
    op.drop_index(op.f("ix_check_in_refusals_member_id"), table_name="check_in_refusals")
    op.drop_table("check_in_refusals")
    op.drop_table("attendance_terms")
    op.drop_index("ix_roster_entries_receiving", table_name="roster_entries")
    op.drop_index("ix_roster_entries_home", table_name="roster_entries")
    op.drop_table("roster_entries")
