"""Since when a channel waits for its receiver, why, and how often in a row it was rate-limited."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0005 to 0006."""
    op.add_column("channels", sa.Column("throttled_since", sa.BigInteger(), nullable=True))
    op.add_column("channels", sa.Column("throttled_reason", sa.Text(), nullable=True))
    op.add_column("channels", sa.Column("rate_limits", sa.Integer(), nullable=False, server_default="0"))
