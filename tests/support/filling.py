"""A store with as many runs and deliveries as an organization makes in 90 days, filled behind the server's back."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from loadbell.domain.ids import SECOND, Micros, new_uuid
from tests.support.stores import DAY, sqlite_path

DAYS = 90
TESTS = 200
OPEN = 40  # runs that have not ended
RARE = "needle"  # in the name of one run, half-way through
FAILED, HELD, ATTEMPTED = 0.05, 0.02, 200  # shares of all deliveries; how many of the last have attempts

_COLUMNS = {
    "tests": ("id", "organization_id", "project_id", "name", "name_hash", "last_result", "created_at"),
    "runs": (
        *("id", "organization_id", "project_id", "test_id", "user_id", "name", "status", "result", "trigger", "source"),
        *("created_at", "started_at", "ended_at", "ended_by", "corrected", "last_report_at", "watchdog", "metrics"),
        *("thresholds", "links", "note"),
    ),
    "run_moves": ("run_id", "status", "moved_at", "by", "user_id"),
    "events": ("id", "organization_id", "name", "run_id", "project_id", "occurred_at", "payload", "notice"),
    "deliveries": (
        *("id", "organization_id", "project_id", "channel_id", "kind", "event_id", "event", "run_id", "status"),
        *("attempt_count", "reason", "message", "created_at", "finished_at"),
    ),
    "outbox": (
        *("delivery_id", "organization_id", "channel_id", "channel_key", "cause", "is_retry", "due_at", "retry_index"),
        *("attempts_started", "answered", "generation"),
    ),
    "attempts": ("delivery_id", "number", "cause", "started_at", "duration", "reason", "message", "exchange"),
    "audit_entries": (
        *("organization_id", "user_id", "token_id", "action", "subject", "changes", "created_at", "address"),
    ),
}
_METRICS = '{"http_reqs": 18234.0, "http_req_duration_p95": 412.5, "vus_max": 50.0, "error_rate": 0.012}'
_THRESHOLDS = '[{"expression": "http_req_duration: p(95)<500", "ok": true, "value": 412.5}]'
_EXCHANGE = (
    '{"method": "POST", "url": "http://127.0.0.1:9/…", "request_headers": [["Content-Type", "application/json"]], '
    '"request_body": "{}", "status_code": 500, "response_headers": [], "response_body": "no", "truncated": false}'
)

Record = tuple[Any, ...]


@dataclass(frozen=True)
class Place:
    """In which organization the rows belong; deliveries go to ``channels``, of which the last is paused."""

    organization_id: int
    user_id: int
    projects: Sequence[int]
    channels: Sequence[int]


def fill(database_url: str, place: Place, *, runs: int, deliveries: int, now: Micros | None = None) -> None:
    """Adds that many runs and deliveries, evenly over the last 90 days.

    Of the deliveries 5 % failed, and the newest 2 % of the last channel wait in it.
    """
    rows = _Rows(place, runs, deliveries, time.time_ns() // 1000 if now is None else now)
    if database_url.startswith("sqlite"):
        _into_sqlite(sqlite_path(database_url), rows)
    else:
        asyncio.run(_into_postgresql(database_url, rows))


class _Rows:
    """The rows of each table, made one by one, the same ones each time."""

    def __init__(self, place: Place, runs: int, deliveries: int, now: Micros) -> None:
        self._place = place
        self._runs = runs
        self._events = deliveries // len(place.channels)
        self._now = now
        self.tables = {
            "tests": self._tests,
            "runs": self._all_runs,
            "run_moves": self._moves,
            "events": self._all_events,
            "deliveries": self._deliveries,
            "outbox": self._outbox,
            "attempts": self._attempts,
            "audit_entries": self._audit_entries,
        }

    def _at(self, number: int, of: int) -> Micros:
        """When the ``number``-th of so many things happened."""
        return self._now - DAYS * DAY + DAYS * DAY * (number + 1) // (of + 1)

    def _project(self, run: int) -> int:
        return self._place.projects[run % len(self._place.projects)]

    def _tests(self) -> Iterator[Record]:
        for number in range(TESTS):
            name, project = f"Checkout flow {number}", self._project(number)
            yield number + 1, self._place.organization_id, project, name, f"{number:064}", "passed", self._now

    def _all_runs(self) -> Iterator[Record]:
        chance = random.Random(1)
        for number in range(self._runs):
            at = self._at(number, self._runs)
            is_open = number >= self._runs - OPEN
            failed = chance.random() < FAILED
            test = number % TESTS
            name = f"Checkout flow {test}" + (f" {RARE}" if number == self._runs // 2 else "")
            yield (
                *(number + 1, self._place.organization_id, self._project(number), test + 1, self._place.user_id, name),
                *((2, None) if is_open else (12, "failed") if failed else (3, "passed" if number % 3 else "unknown")),
                *("ci", "k6" if number % 5 else "wrap", at, at, None if is_open else at + 60 * SECOND),
                *(None if is_open else "report", False, at + 60 * SECOND, None, _METRICS, _THRESHOLDS, "[]", None),
            )

    def _moves(self) -> Iterator[Record]:
        for number in range(self._runs):
            at = self._at(number, self._runs)
            yield number + 1, 2, at, "report", self._place.user_id
            yield number + 1, 3, at + 60 * SECOND, "report", self._place.user_id

    def _each_event(self) -> Iterator[tuple[str, int, Micros, str]]:
        """The id, run, instant and name of every event, oldest first."""
        chance = random.Random(2)
        for number in range(self._events):
            at = self._at(number, self._events)
            run = min(number * self._runs // self._events, self._runs - 1)
            yield str(new_uuid(at, chance.randbytes)), run, at, ("test.finished" if number % 2 else "test.started")

    def _all_events(self) -> Iterator[Record]:
        payload = '{"event": "test.finished", "load_test_id": 1, "load_test_run_id": 1, "status": 3}'
        for key, run, at, name in self._each_event():
            yield key, self._place.organization_id, name, run + 1, self._project(run), at, payload, None

    def _deliveries(self) -> Iterator[Record]:
        chance = random.Random(3)
        last = self._place.channels[-1]
        for number, (event, run, at, name) in enumerate(self._each_event()):
            for channel in self._place.channels:
                held = channel == last and number > self._events * (1 - HELD)
                failed = not held and chance.random() < FAILED
                status = "pending" if held else "failed" if failed else "delivered"
                reason, message = (None, None) if held else ("http_5xx", "It failed.") if failed else ("ok", "Taken.")
                yield (
                    *(str(new_uuid(at, chance.randbytes)), self._place.organization_id, self._project(run), channel),
                    *("webhook", event, name, run + 1, status, 0 if held else 1, reason, message, at),
                    None if held else at + SECOND,
                )

    def _outbox(self) -> Iterator[Record]:
        for row in self._deliveries():
            if row[-1] is None:
                key, organization, channel, at = row[0], row[1], row[3], row[-2]
                yield key, organization, channel, channel, "scheduled", 0, at, 0, 0, False, 0

    def _attempts(self) -> Iterator[Record]:
        ended = [(row[0], row[-2]) for row in self._deliveries() if row[-1] is not None]
        for delivery, at in ended[-ATTEMPTED:]:
            yield delivery, 1, "scheduled", at, 12_000, "http_5xx", "It failed.", _EXCHANGE

    def _audit_entries(self) -> Iterator[Record]:
        place, count = self._place, self._runs // 2
        for number in range(count):
            at, subject = self._at(number, count), f"run {number + 1}"
            yield place.organization_id, place.user_id, None, "run.aborted", subject, "{}", at, "127.0.0.1"


def _into_sqlite(path: Path, rows: _Rows) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("BEGIN")
        for table, records in rows.tables.items():
            columns = _COLUMNS[table]
            values = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})", records())
        connection.execute(_PAUSE)
        connection.execute("COMMIT")


async def _into_postgresql(url: str, rows: _Rows) -> None:
    connection = await asyncpg.connect(url, timeout=60, command_timeout=600)
    try:
        for table, records in rows.tables.items():
            await connection.copy_records_to_table(table, records=records(), columns=_COLUMNS[table])
        for table in ("tests", "runs"):
            await connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
            )
        await connection.execute(_PAUSE)
        await connection.execute("VACUUM ANALYZE")  # which the server does by itself, a minute or so later
    finally:
        await connection.close()


_PAUSE = (
    "UPDATE channels SET paused_at = (SELECT min(created_at) FROM deliveries WHERE status = 'pending'), "
    "paused_reason = 'Paused by a user.' WHERE id = (SELECT max(id) FROM channels)"
)
