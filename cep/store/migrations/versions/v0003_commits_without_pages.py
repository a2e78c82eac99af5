"""Commits that leave the pages as they are: where the pages stand, apart from what is committed.

Before, every commit wrote its pages.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    there = {one["name"] for one in sa.inspect(op.get_bind()).get_columns("checkpoint")}
    if "state_position" in there:  # made by a program that kept no version
        return
    for name in ("position", "watermark_ms"):
        zero = sa.text("0")
        op.add_column(
            "checkpoint",
            sa.Column(f"state_{name}", sa.BigInteger, nullable=False, server_default=zero),
        )
    op.add_column(
        "checkpoint", sa.Column("state_counters", sa.Text, nullable=False, server_default="")
    )
    op.execute(
        "UPDATE checkpoint SET state_position = position, state_watermark_ms = watermark_ms, "
        "state_counters = counters"
    )
