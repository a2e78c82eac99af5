"""Keys and people, what they did, drafts, back-tests, and answers that are given again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_NUMBERED = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _make_identities()
    _make_work()


def _make_identities() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("made_by", sa.String(200), nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger),
        sa.Column("revoked_ms", sa.BigInteger),
        sa.Column("used_ms", sa.BigInteger),
    )
    op.create_table(
        "person",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("made_by", sa.String(200), nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("disabled_ms", sa.BigInteger),
    )
    op.create_table(
        "login",
        sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("person", sa.String(100)),
        sa.Column("api_key", sa.String(16)),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("login_by_end", "login", ["expires_ms"])
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(60), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("audit_by_subject", "audit", ["subject", "number"])
    op.create_index("audit_by_actor", "audit", ["actor", "number"])


def _make_work() -> None:
    op.create_table(
        "draft",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("made_from", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "backtest",
        sa.Column("sequence", _NUMBERED, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("started_ms", sa.BigInteger),
        sa.Column("finished_ms", sa.BigInteger),
        sa.Column("records_read", sa.BigInteger, nullable=False),
        sa.Column("records_all", sa.BigInteger),
        sa.Column("result", sa.LargeBinary),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "answered",
        sa.Column("actor", sa.String(200), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.Text),
        sa.Column("body", sa.LargeBinary),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("answered_by_time", "answered", ["made_ms"])
