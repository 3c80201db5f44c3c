"""The upgrade that takes the work out of the log: what becomes of each delivery, also when it is killed."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from loadbell.store.engine import migrate as migrate_module
from loadbell.store.engine.migrate import upgrade_postgresql, upgrade_sqlite
from tests.support import processes
from tests.support.inside import inside
from tests.support.stores import sqlite_path

FORMER = {
    "project_id": None, "kind": "webhook", "event_id": "e", "event": "test.started", "run_id": 7, "cause": "scheduled",
    "settled": None, "step": 0, "attempts_begun": 0, "answered": False, "waits_for": None, "lane": 3, "retrying": 0,
    "form": None, "replay_id": None, "next_attempt_at": 10, "resume_at": None, "lease_owner": None, "lease_until": None,
    "leased_at": None, "reason": None, "message": None, "created_at": 5, "finished_at": None, "generation": 2,
    "channel_id": 3, "organization_id": 1,
}  # fmt: skip
LEASED = {"status": "sending", "lease_owner": 9, "lease_until": 99, "leased_at": 50}
ENDED = {"next_attempt_at": None, "finished_at": 20, "reason": "ok", "message": "Taken."}
DELIVERIES: dict[str, dict[str, Any]] = {
    "new": {"status": "pending"},
    "waits": {"status": "pending", "waits_for": "new", "event": "test.finished"},
    "retried": {"status": "pending", "step": 2, "attempts_begun": 3, "answered": True, "retrying": 1, "reason": "dns"},
    "under way": {**LEASED, "attempts_begun": 1},
    "delivered": {**ENDED, "status": "delivered", "attempts_begun": 1, "answered": True},
    "failed": {**ENDED, "status": "failed", "attempts_begun": 10, "step": 9, "reason": "http_5xx"},
    "cancelled": {**ENDED, "status": "cancelled", "reason": None},
    "again": {**ENDED, "status": "pending", "settled": "delivered", "cause": "manual", "attempts_begun": 1,
              "next_attempt_at": 30, "replay_id": 4, "retrying": 1},
    "again under way": {**ENDED, **LEASED, "settled": "failed", "cause": "manual", "attempts_begun": 11, "step": 9,
                        "resume_at": 70},
    "hook": {"status": "pending", "cause": "test", "lane": -5, "channel_id": None, "form": "sealed"},
}  # fmt: skip
KEPT = ("organization_id", "channel_id", "cause", "resume_at", "answered", "form", "replay_id", "generation")
LEASE = ("lease_owner", "lease_until", "leased_at")


def _former(connection: sa.Connection) -> None:
    """A database of the version before, with one delivery of each kind."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate_module.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "0009")
    for text in (
        "INSERT INTO organizations (id, name, created_at) VALUES (1, 'Ours', 0)",
        "INSERT INTO events (id, organization_id, name, occurred_at, payload) VALUES ('e', 1, 'test.started', 0, '{}')",
        (
            "INSERT INTO channels (id, organization_id, kind, name, settings, signing_secrets, subscription, enabled, "
            "throttled_until, created_at, full_at, judged_from) "
            "VALUES (3, 1, 'webhook', 'c', '', '', '{}', TRUE, 0, 0, 77, 78)"
        ),
    ):
        connection.execute(sa.text(text))
    for key, body in DELIVERIES.items():
        row = {**FORMER, **body, "id": key}
        names = ", ".join(f":{name}" for name in row)
        connection.execute(sa.text(f"INSERT INTO deliveries ({', '.join(row)}) VALUES ({names})"), row)
    connection.execute(
        sa.text(
            "INSERT INTO attempts (delivery_id, number, cause, started_at, duration, reason, message) "
            "VALUES ('delivered', 1, 'scheduled', 6, 7, 'ok', 'Taken.')"
        )
    )


def _rows(connection: sa.Connection, table: str, key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: dict(row) for row in connection.execute(sa.text(f"SELECT * FROM {table}")).mappings()}


def _upgrade(url: str) -> None:
    if url.startswith("sqlite"):
        upgrade_sqlite(sqlite_path(url))
    else:
        asyncio.run(upgrade_postgresql(url))


def _check(connection: sa.Connection) -> None:
    """Each delivery has its log and, when something is to be done, its work."""
    log, work = _rows(connection, "deliveries", "id"), _rows(connection, "outbox", "delivery_id")

    assert {key: body.get("settled") or body["status"] for key, body in DELIVERIES.items()} | {
        "under way": "pending"
    } == {key: row["status"] for key, row in log.items()}
    ended = {key: body.get("attempts_begun", 0) - (body["status"] == "sending") for key, body in DELIVERIES.items()}
    assert ended == {key: row["attempt_count"] for key, row in log.items()}
    assert {key for key, body in DELIVERIES.items() if body["status"] in {"pending", "sending"}} == set(work)
    for key, row in work.items():
        was = {**FORMER, **DELIVERIES[key]}
        assert {name: was[name] for name in (*KEPT, *LEASE)} == {name: row[name] for name in (*KEPT, *LEASE)}
        assert (was["lane"], was["step"], was["waits_for"]) == (row["channel_key"], row["retry_index"], row["after"])
        assert (was["attempts_begun"], was["retrying"]) == (row["attempts_started"], row["is_retry"])
        assert (was["next_attempt_at"] or was["created_at"]) == row["due_at"]
    for key, row in log.items():
        was = {**FORMER, **DELIVERIES[key]}
        items = ("reason", "message", "created_at", "finished_at", "event", "kind", "run_id")
        assert [was[name] for name in items] == [row[name] for name in items]
    assert {"delivered"} == set(_rows(connection, "attempts", "delivery_id"))
    (channel,) = _rows(connection, "channels", "id").values()
    assert (77, 78) == (channel["bucket_full_at"], channel["health_since"])


def test_each_delivery_keeps_its_log_and_its_work(database_url: str) -> None:
    """Pending, waiting, retried, under way, ended in each way, redelivered and tested: nothing is lost or sent anew."""
    inside(database_url, _former)
    _upgrade(database_url)

    inside(database_url, _check)


@pytest.mark.parametrize("words", ["INSERT INTO outbox", "ix_outbox_replay_id", "RENAME", "UPDATE alembic_version"])
def test_a_killed_upgrade_has_changed_nothing(database_url: str, words: str) -> None:
    """A kill -9 in the middle leaves the former schema with every row; the next upgrade does all of it."""
    inside(database_url, _former)
    before = inside(database_url, lambda connection: _rows(connection, "deliveries", "id"))
    program = ["-m", "tests.support.killed_upgrade", database_url, words]
    killed = processes.start(program, env=os.environ)

    assert -signal.SIGKILL == killed.wait(120)
    assert before == inside(database_url, lambda connection: _rows(connection, "deliveries", "id"))
    _upgrade(database_url)
    inside(database_url, _check)
