"""Sweeps: work on many rows, done in batches after a mark is set."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UUID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_OPEN = sa.text("status IN ('pending', 'sending')")


def upgrade() -> None:
    """From 0007 to 0008."""
    op.create_table(
        "sweeps",
        sa.Column("id", _BIG, sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("organization_id", _BIG, nullable=False),
        sa.Column("channel_id", _BIG, nullable=True),
        sa.Column("project_id", _BIG, nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("after", _UUID, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweeps")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sweeps_channel_id", "sweeps", ["channel_id"])
    op.add_column("channels", sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("deliveries", sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("projects", sa.Column("deleted_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_deliveries_open", "deliveries", ["channel_id", "id"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    # Drop the foreign key: revoking a token would delete all its keys in one statement.
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("fk_idempotency_keys_token_id", "idempotency_keys", type_="foreignkey")
    else:
        _copy_keys()
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def _copy_keys() -> None:
    """SQLite can't drop a constraint, so the table is recreated."""
    op.rename_table("idempotency_keys", "former_keys")
    op.create_table(
        "idempotency_keys",
        sa.Column("token_id", _BIG, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "key", name=op.f("pk_idempotency_keys")),
    )
    columns = "token_id, key, request_hash, answer, created_at"
    op.execute(f"INSERT INTO idempotency_keys ({columns}) SELECT {columns} FROM former_keys")
    op.drop_table("former_keys")
