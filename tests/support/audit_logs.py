"""Audit logs of a size that nobody makes by hand."""

from typing import Any

FILL = """
INSERT INTO audit_entries (organization_id, user_id, action, subject, changes, created_at)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < CAST(:count AS bigint))
SELECT CAST(:organization_id AS bigint), CAST(:user_id AS bigint), 'channel.changed', 'channel 1',
    CAST(:changes AS text), CAST(:since AS bigint) + i
FROM n
"""
"""Adds so many entries, a microsecond apart."""


def filling(organization_id: int, user_id: int | None, count: int, **given: Any) -> dict[str, Any]:
    """The values that ``FILL`` takes."""
    return {"organization_id": organization_id, "user_id": user_id, "count": count, "changes": "{}", "since": 0} | given
