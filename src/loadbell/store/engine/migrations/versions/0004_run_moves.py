"""Status changes of runs, and indexes for the lists on pages."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NOT_DELIVERED = sa.text("status <> 'delivered'")
_OPEN = sa.text("ended_at IS NULL")


def upgrade() -> None:
    """From 0003 to 0004."""
    op.create_table(
        "run_moves",
        sa.Column("id", _BIG, sa.Identity(always=False), nullable=False),
        sa.Column("run_id", _BIG, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("user_id", _BIG, nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_moves_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_moves")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_run_moves_run_id_id", "run_moves", ["run_id", "id"])
    op.create_index("ix_runs_organization_id_result_id", "runs", ["organization_id", "result", "id"])
    op.create_index("ix_runs_open", "runs", ["organization_id", "id"], sqlite_where=_OPEN, postgresql_where=_OPEN)
    op.create_index(
        "ix_deliveries_not_delivered",
        "deliveries",
        ["organization_id", "status", "id"],
        sqlite_where=_NOT_DELIVERED,
        postgresql_where=_NOT_DELIVERED,
    )
