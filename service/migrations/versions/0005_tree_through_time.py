"""The tree through time, changes of divisions, and sets of divisions; what is there has always been there."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    upgrade_organisations()
    upgrade_divisions()


def upgrade_organisations() -> None:
    for column in ("code", "joint"):
        op.add_column("organisations", sa.Column(column, sa.Text(), nullable=True))
    op.add_column("organisations", sa.Column("closed_on", sa.Date(), nullable=True))
    op.add_column("organisations", sa.Column("successor_id", sa.BigInteger(), nullable=True))
    op.create_unique_constraint(op.f("uq_organisations_code"), "organisations", ["code"])
    op.create_check_constraint(
        op.f("ck_organisations_joint"), "organisations", "joint IN ('functional', 'deliberative', 'service')"
    )
    op.create_foreign_key(
        op.f("fk_organisations_successor_id"), "organisations", "organisations", ["successor_id"], ["id"]
    )
    op.create_index(op.f("ix_organisations_successor_id"), "organisations", ["successor_id"], unique=False)
    op.create_table(
        "affiliations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("parent_id", sa.BigInteger(), nullable=True),
        sa.Column("home", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("during", postgresql.DATERANGE(), nullable=False),
        sa.CheckConstraint("NOT isempty(during)", name=op.f("ck_affiliations_during")),
        sa.CheckConstraint("home OR parent_id IS NOT NULL", name=op.f("ck_affiliations_parent")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_affiliations_organisation_id")
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["organisations.id"], name=op.f("fk_affiliations_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_affiliations")),
    )
    op.create_index(op.f("ix_affiliations_organisation_id"), "affiliations", ["organisation_id"], unique=False)
    op.create_index(op.f("ix_affiliations_parent_id"), "affiliations", ["parent_id"], unique=False)
    op.create_index(
        "uq_affiliations_home",
        "affiliations",
        ["organisation_id", sa.text("lower(during)")],
        unique=True,
        postgresql_where=sa.text("home"),
    )
    op.create_table(
        "organisation_paths",
        sa.Column("path", sa.Text(collation="C"), nullable=False),
        sa.Column("during", postgresql.DATERANGE(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("home", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_organisation_paths_organisation_id")
        ),
        sa.PrimaryKeyConstraint("path", "during", name=op.f("pk_organisation_paths")),
    )
    op.create_index(
        op.f("ix_organisation_paths_organisation_id"), "organisation_paths", ["organisation_id"], unique=False
    )
    op.create_table(
        "organisation_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("other_id", sa.BigInteger(), nullable=True),
        sa.Column("former_name", sa.Text(), nullable=True),
        sa.Column("entered_by", sa.BigInteger(), nullable=True),
        sa.Column("entered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("settled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('moved', 'merged', 'closed', 'joined', 'parted', 'renamed')",
            name=op.f("ck_organisation_changes_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_organisation_changes_organisation_id")
        ),
        sa.ForeignKeyConstraint(["other_id"], ["organisations.id"], name=op.f("fk_organisation_changes_other_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisation_changes")),
    )
    op.create_index(
        "ix_organisation_changes_due",
        "organisation_changes",
        ["effective_on"],
        unique=False,
        postgresql_where=sa.text("NOT settled"),
    )
    op.create_index(
        op.f("ix_organisation_changes_organisation_id_effective_on"),
        "organisation_changes",
        ["organisation_id", "effective_on"],
        unique=False,
    )
    op.create_index(
        "ix_organisation_changes_renamed",
        "organisation_changes",
        ["organisation_id", "effective_on", "id"],
        unique=False,
        postgresql_where=sa.text("kind = 'renamed'"),
    )
    op.execute(
        "INSERT INTO affiliations (organisation_id, parent_id, during) SELECT id, parent_id, '(,)' FROM organisations"
    )
    op.execute(
        "INSERT INTO organisation_paths (path, during, organisation_id, home) "
        "SELECT path, '(,)', id, true FROM organisations"
    )


def upgrade_divisions() -> None:
    op.create_table(
        "division_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("former_name", sa.Text(), nullable=True),
        sa.Column("former_parent_code", sa.Text(), nullable=True),
        sa.Column("entered_by", sa.BigInteger(), nullable=True),
        sa.Column("entered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('abolished', 'renamed', 'moved')", name=op.f("ck_division_changes_kind")),
        sa.ForeignKeyConstraint(["code"], ["divisions.code"], name=op.f("fk_division_changes_code")),
        sa.ForeignKeyConstraint(
            ["former_parent_code"], ["divisions.code"], name=op.f("fk_division_changes_former_parent_code")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_division_changes")),
        sa.UniqueConstraint("code", "kind", "effective_on", name=op.f("uq_division_changes_code_kind_effective_on")),
    )
    op.create_index(
        op.f("ix_division_changes_former_parent_code"), "division_changes", ["former_parent_code"], unique=False
    )
    op.create_table(
        "geography_sets",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_geography_sets")),
    )
    op.create_table(
        "geography_set_divisions",
        sa.Column("set_key", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("during", postgresql.DATERANGE(), nullable=False),
        sa.CheckConstraint("NOT isempty(during)", name=op.f("ck_geography_set_divisions_during")),
        sa.ForeignKeyConstraint(["code"], ["divisions.code"], name=op.f("fk_geography_set_divisions_code")),
        sa.ForeignKeyConstraint(["set_key"], ["geography_sets.key"], name=op.f("fk_geography_set_divisions_set_key")),
        sa.PrimaryKeyConstraint("set_key", "code", name=op.f("pk_geography_set_divisions")),
    )
    op.create_index(op.f("ix_geography_set_divisions_code"), "geography_set_divisions", ["code"], unique=False)


def downgrade() -> None:
    for table in (
        "geography_set_divisions",
        "geography_sets",
        "division_changes",
        "organisation_changes",
        "organisation_paths",
        "affiliations",
    ):
        op.drop_table(table)
    for column in ("successor_id", "closed_on", "joint", "code"):
        op.drop_column("organisations", column)
