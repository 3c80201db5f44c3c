"""Measurements of runs, and the tools that ran them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From 0004 to 0005."""
    op.create_table(
        "run_measurements",
        sa.Column("run_id", _BIG, nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("step", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_measurements_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "slot", name=op.f("pk_run_measurements")),
    )
    op.add_column("runs", sa.Column("tool", sa.Text(), nullable=True))
