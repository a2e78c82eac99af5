"""Rules that change while they run: what was deployed and where; detections in shadow."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "detection", sa.Column("shadow", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.create_table(
        "rule_text",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "deployment",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("topic", sa.String(200), nullable=False),
        sa.Column("made_from", sa.BigInteger, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("texts", sa.Text, nullable=False),
        sa.Column("modes", sa.Text, nullable=False),
        sa.Column("policy", sa.String(20), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("topic", "made_from"),
        sqlite_autoincrement=True,
    )
    op.create_index("deployment_by_topic", "deployment", ["topic", "number"])
    op.create_table(
        "activation",
        sa.Column("partition", sa.String(200), primary_key=True),
        sa.Column("deployment", sa.BigInteger, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("watermark_ms", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.Column("leaving", sa.BigInteger, nullable=False),
        sa.Column("refused", sa.Text),
    )
    op.create_table(
        "rule_file",
        sa.Column("topic", sa.String(200), primary_key=True),
        sa.Column("path", sa.String(1000), primary_key=True),
        sa.Column("text", sa.String(32), nullable=False),
    )
