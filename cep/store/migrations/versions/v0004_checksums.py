"""Checksums of checkpoints and of their pages; what is there gets them when it is written again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("checkpoint", sa.Column("checksum", sa.BigInteger))
    op.add_column("page", sa.Column("checksum", sa.BigInteger))
