"""notices, pauses, paces and replays."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UUID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """From 0001 to 0002."""
    op.add_column("events", sa.Column("notice", sa.Text(), nullable=True))
    op.add_column("channels", sa.Column("paused_at", sa.BigInteger(), nullable=True))
    op.add_column("channels", sa.Column("failing_since", sa.BigInteger(), nullable=True))
    op.add_column("channels", sa.Column("judged_from", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("channels", sa.Column("full_at", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("deliveries", sa.Column("replay_id", _BIG, nullable=True))
    replayed = sa.text("replay_id IS NOT NULL AND status IN ('pending', 'sending')")
    op.create_index(
        "ix_deliveries_replayed", "deliveries", ["replay_id"], sqlite_where=replayed, postgresql_where=replayed
    )
    op.create_table(
        "replays",
        sa.Column("id", _BIG, sa.Identity(always=False), nullable=False),
        sa.Column("organization_id", _BIG, nullable=False),
        sa.Column("channel_id", _BIG, nullable=False),
        sa.Column("statuses", sa.Text(), nullable=False),
        sa.Column("after", _UUID, nullable=False),
        sa.Column("until", _UUID, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_replays_organization_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_replays_channel_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("replays", schema=None) as batch_op:
        batch_op.create_index("ix_replays_channel_id", ["channel_id"], unique=False)
        batch_op.create_index(
            "ix_replays_open",
            ["id"],
            unique=False,
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )
