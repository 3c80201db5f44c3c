"""Runs, and the tests that they execute."""

import hashlib
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from loadbell.domain.ids import Micros
from loadbell.domain.runs import Result, Run, RunStatus
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, insert_into
from loadbell.store.schema import runs, tests

_COLUMNS = tuple(column.name for column in runs.columns if column.name != "id")
_MUTABLE = (
    "status", "result", "started_at", "ended_at", "ended_by", "corrected", "last_report_at", "metrics", "thresholds",
    "note",
)  # fmt: skip

_UPSERT_TEST = Statement(
    "INSERT INTO tests (organization_id, project_id, name, name_hash, created_at) "
    "VALUES (:organization_id, :project_id, :name, :name_hash, :now) "
    "ON CONFLICT (project_id, name_hash) DO UPDATE SET name = excluded.name RETURNING id"
)
_LAST_RESULT = Statement(sa.select(tests.c.last_result).where(tests.c.id == sa.bindparam("id")).with_for_update())
_SET_LAST_RESULT = Statement("UPDATE tests SET last_result = :result WHERE id = :id")
_INSERT = Statement(insert_into(runs, *_COLUMNS).returning(runs.c.id))
IN_A_PROJECT = "EXISTS (SELECT 1 FROM projects WHERE projects.id = runs.project_id AND projects.deleted_at IS NULL)"
"""SQL on a run: its project isn't deleted. If it is, a sweep is about to delete the run."""

_ONE = sa.select(runs).where(
    runs.c.id == sa.bindparam("id"),
    runs.c.organization_id == sa.bindparam("organization_id"),
    sa.text(IN_A_PROJECT),
)
_GET = Statement(_ONE)
_LOCK = Statement(_ONE.with_for_update())
_UPDATE = Statement(
    sa.update(runs)
    .where(runs.c.id == sa.bindparam("run_id"), runs.c.status == sa.bindparam("expected"))
    .values({column: sa.bindparam(column) for column in _MUTABLE})
)
_EARLIER = Statement(
    "SELECT * FROM (SELECT * FROM runs WHERE test_id = :test_id AND id < :id ORDER BY id DESC LIMIT 50) AS latest "
    "WHERE status IN (3, 12) ORDER BY id DESC LIMIT 1"
)
_TOUCH = Statement("UPDATE runs SET last_report_at = :now WHERE id = :id")
_WATCHED = Statement(
    "SELECT id, organization_id, last_report_at, watchdog FROM runs "
    f"WHERE ended_at IS NULL AND watchdog IS NOT NULL AND {IN_A_PROJECT} ORDER BY last_report_at"
)


@dataclass(frozen=True)
class WatchedRun:
    """A run that hasn't ended and has a watchdog. ``watchdog``: how long it may go without a report."""

    id: int
    organization_id: int
    last_report_at: Micros
    watchdog: Micros


async def find_or_insert_test(tx: Transaction, organization_id: int, project_id: int, name: str) -> int:
    """Returns the id of the project's test of that name, creating the test if it is new."""
    row = await tx.first(
        _UPSERT_TEST,
        organization_id=organization_id,
        project_id=project_id,
        name=name,
        name_hash=hashlib.sha256(name.encode()).hexdigest(),
        now=tx.now,
    )
    assert row is not None
    return int(row["id"])


async def lock_last_result(tx: Transaction, test_id: int) -> Result | None:
    """Returns the test's last result that was passed or failed; locks it until this transaction ends."""
    row = await tx.first(_LAST_RESULT, id=test_id)
    return None if row is None or row["last_result"] is None else Result(row["last_result"])


async def set_last_result(tx: Transaction, test_id: int, result: Result) -> None:
    """Saves the test's last result."""
    await tx.run(_SET_LAST_RESULT, id=test_id, result=result.value)


async def insert_run(tx: Transaction, run: Run) -> int:
    """Adds ``run``, ignoring its id, and returns the new id."""
    tx.changed(run.organization_id)
    row = await tx.first(_INSERT, **_values(run))
    assert row is not None
    return int(row["id"])


async def get_run(tx: Transaction, organization_id: int, run_id: int) -> Run | None:
    """Returns the run, if it is the organization's."""
    row = await tx.first(_GET, id=run_id, organization_id=organization_id)
    return None if row is None else read_row(Run, row)


async def lock_run(tx: Transaction, organization_id: int, run_id: int) -> Run | None:
    """Like :func:`get_run`, and locks the run until this transaction ends."""
    row = await tx.first(_LOCK, id=run_id, organization_id=organization_id)
    return None if row is None else read_row(Run, row)


async def update_run(tx: Transaction, run: Run, *, expected: RunStatus) -> None:
    """Saves ``run`` if the stored one still has the status ``expected``.

    Raises:
        RuntimeError: it doesn't, because the caller hadn't locked it.
    """
    tx.changed(run.organization_id)
    values = _values(run)
    mutable = {column: values[column] for column in _MUTABLE}
    if await tx.run(_UPDATE, run_id=run.id, expected=expected.value, **mutable) != 1:
        raise RuntimeError(f"run {run.id} left {expected.name} while it was locked")


async def find_previous_run(tx: Transaction, run: Run) -> Run | None:
    """Returns the latest of the 50 runs before ``run`` of the same test that finished or failed by threshold.

    None also for a run without a named test: see :attr:`loadbell.domain.runs.Run.has_test`.
    """
    if not run.has_test:
        return None
    row = await tx.first(_EARLIER, test_id=run.test_id, id=run.id)
    return None if row is None else read_row(Run, row)


async def touch_run(tx: Transaction, run_id: int) -> None:
    """Records that the run's source reported now."""
    await tx.run(_TOUCH, id=run_id, now=tx.now)


async def list_watched_runs(tx: Transaction) -> list[WatchedRun]:
    """Returns every run that hasn't ended and has a watchdog."""
    rows = await tx.all(_WATCHED)
    return [WatchedRun(row["id"], row["organization_id"], row["last_report_at"], row["watchdog"]) for row in rows]


def _values(run: Run) -> dict[str, object]:
    return {
        "organization_id": run.organization_id,
        "project_id": run.project_id,
        "test_id": run.test_id,
        "user_id": run.user_id,
        "name": run.name,
        "status": run.status.value,
        "result": None if run.result is None else run.result.value,
        "trigger": run.trigger.value,
        "source": run.source.value,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "ended_by": None if run.ended_by is None else run.ended_by.value,
        "corrected": run.corrected,
        "last_report_at": run.last_report_at,
        "watchdog": run.watchdog,
        "metrics": msgspec.json.encode(run.metrics).decode(),
        "thresholds": msgspec.json.encode(run.thresholds).decode(),
        "links": msgspec.json.encode(run.links).decode(),
        "note": run.note,
        "tool": run.tool,
    }
