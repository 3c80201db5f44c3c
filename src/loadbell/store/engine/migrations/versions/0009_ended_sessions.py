"""Sessions end together by a mark on their user."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From 0008 to 0009."""
    op.add_column("users", sa.Column("sessions_ended_to", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("session_kept", _BIG, nullable=True))
