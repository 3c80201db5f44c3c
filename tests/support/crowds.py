"""Very many rows, made by one statement: of a channel, a project, a token or a user."""

from typing import Any

from loadbell.domain.ids import Micros, first_uuid
from loadbell.store.engine.db import Database
from loadbell.store.engine.statements import Statement

_N = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < CAST(:count AS bigint)) "
_ID = ("CAST(:prefix AS text) || printf('%012x', i)", "CAST(:prefix AS text) || lpad(to_hex(i), 12, '0')")


def _both(sql: str) -> Statement:
    return Statement(*(sql.replace("ID", text) for text in _ID))


_EVENTS = _both(
    "INSERT INTO events (id, organization_id, name, run_id, project_id, occurred_at, payload) " + _N + "SELECT ID, "
    "CAST(:organization_id AS bigint), 'test.started', NULL, NULL, CAST(:now AS bigint), '{}' FROM n"
)
_DELIVERIES = _both(
    "INSERT INTO deliveries (id, organization_id, project_id, channel_id, kind, event_id, event, run_id, status, "
    "attempt_count, created_at) " + _N + "SELECT ID, "
    "CAST(:organization_id AS bigint), NULL, CAST(:channel_id AS bigint), 'webhook', ID, 'test.started', NULL, "
    "'pending', 0, CAST(:now AS bigint) FROM n"
)
_OUTBOX = Statement(
    "INSERT INTO outbox (delivery_id, organization_id, channel_id, channel_key, cause, is_retry, due_at, retry_index, "
    "attempts_started, answered, generation) SELECT d.id, d.organization_id, d.channel_id, d.channel_id, 'scheduled', "
    "0, d.created_at, 0, 0, FALSE, 0 FROM deliveries d WHERE d.channel_id = :channel_id AND d.status = 'pending' "
    "AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.delivery_id = d.id)"
)
_TEST = Statement(
    "INSERT INTO tests (organization_id, project_id, name, name_hash, created_at) VALUES "
    "(:organization_id, :project_id, 'crowd', 'crowd', :now) RETURNING id"
)
_RUNS = Statement(
    "INSERT INTO runs (organization_id, project_id, test_id, user_id, name, status, trigger, source, created_at, "
    "ended_at, corrected, last_report_at, metrics, thresholds, links) "
    + _N
    + "SELECT CAST(:organization_id AS bigint), "
    "CAST(:project_id AS bigint), CAST(:test_id AS bigint), 1, 'crowd', 3, 'manual', 'rest', CAST(:now AS bigint), "
    "CAST(:now AS bigint), FALSE, CAST(:now AS bigint), '{}', '[]', '[]' FROM n"
)
_MOVES = Statement(
    "INSERT INTO run_moves (run_id, status, moved_at, by) SELECT id, 3, created_at, 'report' FROM runs WHERE "
    "project_id = :project_id"
)
_SESSIONS = Statement(
    "INSERT INTO sessions (user_id, hash, address, created_at, last_used_at, expires_at) "
    + _N
    + "SELECT CAST(:user_id AS bigint), 'crowd ' || CAST(:user_id AS text) || ' ' || CAST(i AS text), '192.0.2.1', "
    "CAST(:now AS bigint), CAST(:now AS bigint), CAST(:until AS bigint) FROM n"
)
_KEYS = Statement(
    "INSERT INTO idempotency_keys (token_id, key, request_hash, created_at) "
    + _N
    + "SELECT CAST(:token_id AS bigint), "
    "CAST(i AS text), '-', CAST(:now AS bigint) FROM n"
)


async def hold_deliveries(
    database: Database, organization_id: int, channel_id: int, count: int, now: Micros
) -> list[str]:
    """Lets so many deliveries be due for the channel, one after the other; gives their ids in that order."""
    prefix = str(first_uuid(now))[:-12]
    of: dict[str, Any] = {"organization_id": organization_id, "count": count, "prefix": prefix, "now": now}
    await database.write(lambda tx: tx.run(_EVENTS, **of))
    await database.write(lambda tx: tx.run(_DELIVERIES, **of, channel_id=channel_id))
    await database.write(lambda tx: tx.run(_OUTBOX, channel_id=channel_id))
    return [f"{prefix}{number:012x}" for number in range(1, count + 1)]


async def put_runs(database: Database, organization_id: int, project_id: int, count: int, now: Micros) -> None:
    """Lets the project have so many runs that have ended, each with a move."""
    of: dict[str, Any] = {"organization_id": organization_id, "project_id": project_id, "now": now}
    row = await database.write(lambda tx: tx.first(_TEST, **of))
    assert row is not None
    await database.write(lambda tx: tx.run(_RUNS, **of, test_id=row["id"], count=count))
    await database.write(lambda tx: tx.run(_MOVES, project_id=project_id))


async def put_sessions(database: Database, user_id: int, count: int, now: Micros) -> None:
    """Lets the user have signed in so many times, all of which go on for a day."""
    until = now + 86_400_000_000
    await database.write(lambda tx: tx.run(_SESSIONS, user_id=user_id, count=count, now=now, until=until))


async def put_keys(database: Database, token_id: int, count: int, now: Micros) -> None:
    """Lets the token have used so many idempotency keys."""
    await database.write(lambda tx: tx.run(_KEYS, token_id=token_id, count=count, now=now))
