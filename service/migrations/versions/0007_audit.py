"""The audit log, which triggers let nobody change; consents and legal bases; erased members."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Who owns the tables can take triggers away; `audit verify` finds what was done then.
GUARDS = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log only grows: no % on %', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE FUNCTION audit_keep_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM audit_entries WHERE reference = OLD.reference) THEN
        RAISE EXCEPTION 'a note leaves only into the chain' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END $$;
CREATE FUNCTION audit_keep_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF greatest(OLD.at, OLD.sealed_at) > now() - interval '184 days' THEN
        RAISE EXCEPTION 'entries are kept for half a year' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR TRUNCATE ON audit_notes EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR TRUNCATE ON audit_entries EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_anchors EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_keeps BEFORE DELETE ON audit_notes FOR EACH ROW EXECUTE FUNCTION audit_keep_note();
CREATE TRIGGER audit_keeps BEFORE DELETE ON audit_entries FOR EACH ROW EXECUTE FUNCTION audit_keep_entry();
"""


def told() -> list[sa.Column[object]]:
    return [
        sa.Column("reference", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "audit_notes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        *told(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_notes")),
        sa.UniqueConstraint("reference", name=op.f("uq_audit_notes_reference")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("link_key", sa.LargeBinary(), nullable=False),
        sa.Column("link", sa.LargeBinary(), nullable=False),
        *told(),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_entries")),
        sa.UniqueConstraint("reference", name=op.f("uq_audit_entries_reference")),
    )
    op.create_table(
        "audit_anchors",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_anchors")),
        sa.UniqueConstraint("previous", name=op.f("uq_audit_anchors_previous")),
    )
    op.execute(GUARDS)
    create_records()
    op.add_column("members", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f("fk_check_ins_member_id"), "check_ins", type_="foreignkey")
    named = sa.Computed("CASE WHEN member_id > 0 THEN member_id END", persisted=True)
    op.add_column("check_ins", sa.Column("named_member_id", sa.BigInteger(), named, nullable=True))
    op.create_foreign_key(op.f("fk_check_ins_named_member_id"), "check_ins", "members", ["named_member_id"], ["id"])


def create_records() -> None:
    op.create_table(
        "consents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("given_at <= withdrawn_at", name=op.f("ck_consents_order")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_consents_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
    )
    op.create_index("ix_consents_member_id", "consents", ["member_id"])
    still = sa.text("withdrawn_at IS NULL")
    op.create_index("uq_consents_open", "consents", ["member_id", "purpose"], unique=True, postgresql_where=still)
    op.create_table(
        "legal_bases",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("since <= until", name=op.f("ck_legal_bases_order")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_legal_bases")),
    )
    still = sa.text("until IS NULL")
    op.create_index("uq_legal_bases_open", "legal_bases", ["purpose"], unique=True, postgresql_where=still)


def downgrade() -> None:
    # Who was forgotten in a check-in cannot be brought back, and no member has such a number.
    op.execute("DELETE FROM check_ins WHERE member_id < 0")
    op.drop_column("check_ins", "named_member_id")
    op.create_foreign_key(op.f("fk_check_ins_member_id"), "check_ins", "members", ["member_id"], ["id"])
    op.drop_column("members", "erased_at")
    op.drop_table("legal_bases")
    op.drop_table("consents")
    op.drop_table("audit_anchors")
    op.drop_table("audit_entries")
    op.drop_table("audit_notes")
    op.execute("DROP FUNCTION audit_refuse, audit_keep_note, audit_keep_entry")
