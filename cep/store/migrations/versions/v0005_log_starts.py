"""Where logs begin that have been trimmed, and up to where they have been compacted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "log_start",
        sa.Column("topic", sa.String(200), primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("compacted", sa.BigInteger, nullable=False),
        sa.Column("mark", sa.Text, nullable=False),
    )
