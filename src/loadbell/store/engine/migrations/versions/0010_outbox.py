"""
Moves the work on deliveries from their log to its own table.

One transaction on either database: an interrupted upgrade changes nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UUID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_MOVED = (
    *("cause", "settled", "step", "answered", "waits_for", "lane", "retrying", "form", "replay_id", "next_attempt_at"),
    *("resume_at", "lease_owner", "lease_until", "leased_at", "generation"),
)
_FORMER_INDEXES = ("due", "open", "waiting", "leased", "replayed")
_FILL = """
    INSERT INTO outbox (delivery_id, organization_id, channel_id, channel_key, cause, is_retry, due_at, retry_index,
        resume_at, attempts_started, answered, after, form, replay_id, generation, lease_owner, lease_until, leased_at)
    SELECT id, organization_id, channel_id, lane, cause, retrying, coalesce(next_attempt_at, created_at), step,
        resume_at, attempts_begun, answered, waits_for, form, replay_id, generation, lease_owner, lease_until, leased_at
    FROM {} WHERE status IN ('pending', 'sending')
"""
# An unfinished Redeliver keeps the earlier end of its log; an attempt in progress has not ended.
_STATUS = "CASE WHEN status IN ('pending', 'sending') THEN coalesce(settled, 'pending') ELSE status END"
_ATTEMPT_COUNT = "CASE WHEN status = 'sending' THEN attempts_begun - 1 ELSE attempts_begun END"


def upgrade() -> None:
    """From 0009 to 0010."""
    if op.get_bind().dialect.name == "postgresql":
        _create_outbox()
        op.execute(_FILL.format("deliveries"))
        for name in _FORMER_INDEXES:
            op.drop_index(f"ix_deliveries_{name}", "deliveries")
        op.execute(
            f"UPDATE deliveries SET status = {_STATUS}, attempts_begun = {_ATTEMPT_COUNT} "
            "WHERE status IN ('pending', 'sending')"
        )
        op.alter_column("deliveries", "attempts_begun", new_column_name="attempt_count")
        for name in _MOVED:
            op.drop_column("deliveries", name)
    else:
        _copy_deliveries()
        _create_outbox()
        op.execute(_FILL.format("former_deliveries"))
        op.drop_table("former_deliveries")
        _create_indexes_of_deliveries()
    op.alter_column("channels", "full_at", new_column_name="bucket_full_at")
    op.alter_column("channels", "judged_from", new_column_name="health_since")


def _copy_deliveries() -> None:
    """Copies the table once: SQLite would rewrite it for each dropped column."""
    # Without this, the foreign keys of the attempts would follow the former table to its new name.
    op.execute("PRAGMA legacy_alter_table = ON")
    op.rename_table("deliveries", "former_deliveries")
    op.execute("PRAGMA legacy_alter_table = OFF")
    op.create_table(
        "deliveries",
        sa.Column("id", _UUID, nullable=False),
        sa.Column("organization_id", _BIG, nullable=False),
        sa.Column("project_id", _BIG, nullable=True),
        sa.Column("channel_id", _BIG, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("event_id", _UUID, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("run_id", _BIG, nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_deliveries_event_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_deliveries_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    text = "id, organization_id, project_id, channel_id, kind, event_id, event, run_id"
    op.execute(
        f"INSERT INTO deliveries ({text}, status, attempt_count, reason, message, created_at, finished_at) "
        f"SELECT {text}, {_STATUS}, {_ATTEMPT_COUNT}, reason, message, created_at, finished_at FROM former_deliveries"
    )


def _create_indexes_of_deliveries() -> None:
    op.create_index("ix_deliveries_organization_id_id", "deliveries", ["organization_id", "id"])
    op.create_index(
        "ix_deliveries_not_delivered",
        "deliveries",
        ["organization_id", "status", "id"],
        sqlite_where=sa.text("status <> 'delivered'"),
    )
    op.create_index("ix_deliveries_channel_id_id", "deliveries", ["channel_id", "id"])
    op.create_index("ix_deliveries_run_id_channel_id", "deliveries", ["run_id", "channel_id"])
    op.create_index("ix_deliveries_event_id", "deliveries", ["event_id"])


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("delivery_id", _UUID, nullable=False),
        sa.Column("organization_id", _BIG, nullable=False),
        sa.Column("channel_id", _BIG, nullable=True),
        sa.Column("channel_key", _BIG, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("is_retry", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("retry_index", sa.Integer(), nullable=False),
        sa.Column("resume_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts_started", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Boolean(), nullable=False),
        sa.Column("after", _UUID, nullable=True),
        sa.Column("form", sa.Text(), nullable=True),
        sa.Column("replay_id", _BIG, nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.BigInteger(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("leased_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name=op.f("fk_outbox_delivery_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_organization_id_delivery_id", "outbox", ["organization_id", "delivery_id"])
    op.create_index("ix_outbox_channel_id_delivery_id", "outbox", ["channel_id", "delivery_id"])
    for name, columns, condition in (
        ("ix_outbox_due", ["is_retry", "channel_key", "due_at"], "lease_owner IS NULL AND after IS NULL"),
        ("ix_outbox_after", ["after"], "after IS NOT NULL"),
        ("ix_outbox_leased", ["lease_until"], "lease_owner IS NOT NULL"),
        ("ix_outbox_replay_id", ["replay_id"], "replay_id IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, "outbox", columns, sqlite_where=where, postgresql_where=where)
