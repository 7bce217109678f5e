"""Grants, second factors, ways back in, failed log-ins, API clients; who organised until now is granted as much."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ROLES = "('branch_secretary', 'organiser', 'system_administrator', 'security_administrator', 'auditor')"
OFFICES = "('system_administrator', 'security_administrator', 'auditor')"
PURPOSES = "('accounts', 'activities', 'audit', 'grants', 'push', 'roster')"


def number(name: str = "id") -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), sa.Identity(always=False), nullable=False)


def owner(table: str) -> "tuple[sa.Column[int], sa.ForeignKeyConstraint]":
    return (
        sa.Column("organiser_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["organiser_id"], ["organisers.id"], name=op.f(f"fk_{table}_organiser_id"), ondelete="CASCADE"
        ),
    )


def upgrade() -> None:
    op.add_column("organisers", sa.Column("office", sa.Text()))
    op.create_unique_constraint(op.f("uq_organisers_id_office"), "organisers", ["id", "office"])
    op.add_column(
        "organiser_sessions", sa.Column("two_factors", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("organiser_sessions", sa.Column("seen_at", MOMENT, server_default=sa.text("now()"), nullable=False))
    op.drop_constraint("fk_organiser_sessions_organiser_id", "organiser_sessions", type_="foreignkey")
    op.create_foreign_key(
        op.f("fk_organiser_sessions_organiser_id"),
        "organiser_sessions",
        "organisers",
        ["organiser_id"],
        ["id"],
        ondelete="CASCADE",
    )
    create_grants()
    create_factors()
    create_recoveries()
    create_attempts()
    create_clients()
    op.execute(
        "INSERT INTO grants (organiser_id, role, purpose, organisation_id) SELECT id, 'organiser', purpose, "
        "organisation_id FROM organisers, unnest(ARRAY['activities', 'roster', 'push']) AS purpose"
    )


def create_grants() -> None:
    op.create_table(
        "grants",
        number(),
        *owner("grants"),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("office", sa.Text()),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("valid_to", MOMENT),
        sa.Column("given_by", sa.BigInteger()),
        sa.Column("given_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", MOMENT),
        sa.Column("revoked_by", sa.BigInteger()),
        sa.CheckConstraint(f"role IN {ROLES}", name=op.f("ck_grants_role")),
        sa.CheckConstraint(f"purpose IN {PURPOSES}", name=op.f("ck_grants_purpose")),
        sa.CheckConstraint(
            f"office IS NOT DISTINCT FROM CASE WHEN role IN {OFFICES} THEN role END", name=op.f("ck_grants_office")
        ),
        sa.CheckConstraint("valid_to IS NULL OR valid_from < valid_to", name=op.f("ck_grants_dates")),
        sa.CheckConstraint("given_by <> organiser_id", name=op.f("ck_grants_giver")),
        sa.ForeignKeyConstraint(
            ["organiser_id", "office"], ["organisers.id", "organisers.office"], name="fk_grants_office"
        ),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_grants_organisation_id")),
        sa.ForeignKeyConstraint(["given_by"], ["organisers.id"], name=op.f("fk_grants_given_by")),
        sa.ForeignKeyConstraint(["revoked_by"], ["organisers.id"], name=op.f("fk_grants_revoked_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
    )
    op.create_index(op.f("ix_grants_organiser_id"), "grants", ["organiser_id"])
    op.create_index(op.f("ix_grants_organisation_id"), "grants", ["organisation_id"])


def create_factors() -> None:
    op.create_table(
        "second_factors",
        *owner("second_factors"),
        sa.Column("secret_ciphertext", sa.LargeBinary()),
        sa.Column("pending_ciphertext", sa.LargeBinary()),
        sa.Column("last_step", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("organiser_id", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "recovery_codes",
        *owner("recovery_codes"),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", MOMENT),
        sa.PrimaryKeyConstraint("organiser_id", "code_hash", name=op.f("pk_recovery_codes")),
    )


def create_recoveries() -> None:
    op.create_table(
        "recoveries",
        number(),
        *owner("recoveries"),
        sa.Column("proposed_by", sa.BigInteger()),
        sa.Column("proposed_at", MOMENT, nullable=False),
        sa.Column("approved_by", sa.BigInteger()),
        sa.Column("approved_at", MOMENT),
        sa.Column("code_hash", sa.LargeBinary()),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("closed_at", MOMENT),
        sa.CheckConstraint(
            "proposed_by <> organiser_id AND approved_by <> organiser_id", name=op.f("ck_recoveries_not_oneself")
        ),
        sa.CheckConstraint("approved_by <> proposed_by", name=op.f("ck_recoveries_two_people")),
        sa.ForeignKeyConstraint(["proposed_by"], ["organisers.id"], name=op.f("fk_recoveries_proposed_by")),
        sa.ForeignKeyConstraint(["approved_by"], ["organisers.id"], name=op.f("fk_recoveries_approved_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recoveries")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_recoveries_code_hash")),
    )
    op.create_index(
        "uq_recoveries_open", "recoveries", ["organiser_id"], unique=True, postgresql_where=sa.text("closed_at IS NULL")
    )


def create_attempts() -> None:
    op.create_table(
        "login_attempts",
        sa.Column("login_hash", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", MOMENT, nullable=False),
        sa.Column("open_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("login_hash", "device", name=op.f("pk_login_attempts")),
    )
    op.create_index(op.f("ix_login_attempts_last_at"), "login_attempts", ["last_at"])


def create_clients() -> None:
    op.create_table(
        "api_clients",
        number(),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("disabled_at", MOMENT),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_api_clients_organisation_id")),
        sa.ForeignKeyConstraint(["created_by"], ["organisers.id"], name=op.f("fk_api_clients_created_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_clients")),
        sa.UniqueConstraint("client_id", name=op.f("uq_api_clients_client_id")),
    )
    op.create_index(op.f("ix_api_clients_organisation_id"), "api_clients", ["organisation_id"])
    op.create_table(
        "api_client_secrets",
        number(),
        sa.Column("client_id", sa.BigInteger(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.ForeignKeyConstraint(
            ["client_id"], ["api_clients.id"], name=op.f("fk_api_client_secrets_client_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_client_secrets")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_client_secrets_secret_hash")),
    )
    op.create_index(op.f("ix_api_client_secrets_client_id"), "api_client_secrets", ["client_id"])


def downgrade() -> None:
    for table in ("api_client_secrets", "api_clients", "login_attempts", "recoveries", "recovery_codes"):
        op.drop_table(table)
    op.drop_table("second_factors")
    op.drop_table("grants")
    op.drop_constraint("fk_organiser_sessions_organiser_id", "organiser_sessions", type_="foreignkey")
    op.create_foreign_key(
        op.f("fk_organiser_sessions_organiser_id"), "organiser_sessions", "organisers", ["organiser_id"], ["id"]
    )
    op.drop_column("organiser_sessions", "seen_at")
    op.drop_column("organiser_sessions", "two_factors")
    op.drop_constraint(op.f("uq_organisers_id_office"), "organisers", type_="unique")
    op.drop_column("organisers", "office")
