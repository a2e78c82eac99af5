"""Bookmarks of logs, late events, and when each chunk of the embedded log came.

Of chunks that were there before, that is not known: nothing in them is quarantined, and they count
as having come now.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

END_OF_TIME_MS = 2**62


def upgrade() -> None:
    now_ms = int(time.time() * 1000)
    add_missing("checkpoint", sa.Column("bookmark", sa.Text, nullable=False, server_default=""))
    add_missing("log_chunk", counted("recorded_ms", now_ms))
    add_missing("log_chunk", counted("latest_ms", END_OF_TIME_MS))
    add_missing("log_chunk", sa.Column("tick_ms", sa.BigInteger))
    if not sa.inspect(op.get_bind()).has_table("late"):
        op.create_table(
            "late",
            sa.Column("partition", sa.String(200), primary_key=True),
            sa.Column("position", sa.BigInteger, primary_key=True),
            sa.Column("ts_ms", sa.BigInteger, nullable=False),
            sa.Column("watermark_ms", sa.BigInteger, nullable=False),
            sa.Column("raw", sa.LargeBinary, nullable=False),
        )


def counted(name: str, of_old_rows: int) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text(str(of_old_rows)))


def add_missing(table: str, column: sa.Column[str] | sa.Column[int]) -> None:
    """There may be a column of the name: a program that kept no version has made it."""
    there = {one["name"] for one in sa.inspect(op.get_bind()).get_columns(table)}
    if column.name not in there:
        op.add_column(table, column)
