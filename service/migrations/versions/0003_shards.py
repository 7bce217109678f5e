"""Over how many slots of Valkey a stream's members are spread; those that are there stay in one."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("streams", sa.Column("shards", sa.Integer(), server_default="1", nullable=False))
    op.create_check_constraint(op.f("ck_streams_shards"), "streams", "shards BETWEEN 1 AND 64")


def downgrade() -> None:
    op.drop_column("streams", "shards")
