"""Where members were at home until a moment, so that a roster is as of its start."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
KEEP = """
CREATE FUNCTION keep_former_home() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO former_homes (member_id, organisation_id, status, until)
    VALUES (OLD.id, OLD.organisation_id, OLD.status, now());
    RETURN NULL;
END $$
"""
KEEPS = """
CREATE TRIGGER former_homes AFTER UPDATE OF organisation_id, status ON members FOR EACH ROW
WHEN ((OLD.organisation_id, OLD.status) IS DISTINCT FROM (NEW.organisation_id, NEW.status))
EXECUTE FUNCTION keep_former_home()
"""


def upgrade() -> None:
    op.create_table(
        "former_homes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_former_homes_member_id")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_former_homes_organisation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_former_homes")),
    )
    op.create_index(op.f("ix_former_homes_member_id"), "former_homes", ["member_id"], unique=False)
    op.create_index(op.f("ix_former_homes_until"), "former_homes", ["until"], unique=False)
    op.execute(KEEP)
    op.execute(KEEPS)


def downgrade() -> None:
    op.execute("DROP TRIGGER former_homes ON members")
    op.execute("DROP FUNCTION keep_former_home()")
    op.drop_table("former_homes")
