"""Channels saved as *Only failures* also get every end whose result is failed."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_FORMER = {
    "events": ["test.finished"],
    "statuses": [4, 8, 9, 11, 12],
    "results": [],
    "only_on_change": False,
}
"""The subscription that the page stored for *Only failures*, besides projects and triggers."""


def upgrade() -> None:
    """From 0006 to 0007."""
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, subscription FROM channels")).all()
    for row in rows:
        stored = json.loads(row.subscription)
        if {**stored, **_FORMER} == stored:
            changed = json.dumps({**stored, "statuses": [], "only_failures": True})
            connection.execute(
                sa.text("UPDATE channels SET subscription = :changed WHERE id = :id"),
                {"changed": changed, "id": row.id},
            )
