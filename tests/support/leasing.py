"""A worker's part on the store, step by step, without the worker: lease, get an answer, record it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from loadbell.domain.deliveries import Reason
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.retry import RetrySchedule
from loadbell.notify.worker.attempt import build_request, judge_result
from loadbell.notify.worker.capacity import Room
from loadbell.notify.worker.channel_health import throttle
from loadbell.notify.worker.fetch import lease_due
from loadbell.outbound.messages import NoReply, Reply
from loadbell.store.deliveries import STATUS, WITH_WORK
from loadbell.store.engine.db import Row, Transaction
from loadbell.store.outbox import Completion, Leased, complete
from loadbell.store.schema import deliveries, outbox
from tests.support.stores import Site, as_dict

WAITS = RetrySchedule((10 * SECOND, 100 * SECOND))
LEASE: Micros = 45 * SECOND

BASE_URL = "https://loadbell.example.org"
OK = Reply(200, (), b"", truncated=False, duration=5_000)
BROKEN = replace(OK, status=500)
GONE = replace(OK, status=410)
LIMITED = replace(OK, status=429)
SILENT = NoReply(Reason.CONNECT, "The connection was refused.", 5_000)


def limited(seconds: int) -> Reply:
    """An answer that asks the sender to wait so long."""
    return replace(LIMITED, headers=(("Retry-After", str(seconds)),))


async def lease(  # noqa: PLR0913 - what a worker asks for, with what most tests mean
    site: Site,
    *,
    owner: int = 1,
    is_retry: bool = False,
    total: int = 100,
    per_channel: int = 100,
    left: Mapping[int, int] | None = None,
) -> list[Leased]:
    """Leases what is due now."""
    room = Room(total, per_channel, left or {})
    lease_result = await site.do(lease_due, is_retry=is_retry, room=room, owner=owner, until=site.clock.now + LEASE)
    return lease_result.leased


async def lease_all(site: Site, *, owner: int = 1) -> list[Leased]:
    """Leases first attempts and retries."""
    return await lease(site, owner=owner) + await lease(site, owner=owner, is_retry=True)


def completion(
    site: Site,
    leased: Leased,
    answer: Reply | NoReply = OK,
    *,
    waits: RetrySchedule = WAITS,
    started_at: Micros | None = None,
) -> Completion:
    """What becomes of a leased delivery when this answer comes now, to an attempt that began then (None: now)."""
    now = site.clock.now
    prepared = build_request(leased, now if started_at is None else started_at, BASE_URL)
    return judge_result(prepared, answer, schedule=waits, now=now, chance=0.5)


async def record(site: Site, *completions: Completion) -> None:
    """Records what became of attempts, and lets channels wait that were rate-limited."""
    await site.do(_record, completions)


async def _record(tx: Transaction, completions: Sequence[Completion]) -> None:
    await throttle(tx, completions)
    await complete(tx, completions)


DeliveryRow = dict[str, Any]
_WORK = ", ".join(f"o.{column.name}" for column in outbox.columns if column.name not in deliveries.columns)
_ROWS = f"SELECT d.*, {STATUS} AS shown, {_WORK} FROM {WITH_WORK} ORDER BY d.id"


async def delivery_rows(site: Site) -> list[DeliveryRow]:
    """Every delivery with its work, oldest first.

    ``status`` is what people read, ``log_status`` that of the log. Without work its columns are None, but for
    ``attempts_started``, which is the number of attempts then.
    """
    return [delivery_row(as_dict(row)) for row in await site.rows(_ROWS)]


def delivery_row(row: Mapping[str, Any]) -> DeliveryRow:
    """One row of both tables and ``shown``, as above."""
    started = row["attempt_count"] if row["delivery_id"] is None else row["attempts_started"]
    return {**row, "log_status": row["status"], "status": row["shown"], "attempts_started": started}


async def end_deliveries(site: Site, status: str, where: str = "TRUE", **values: Any) -> None:
    """Lets deliveries have ended so, now; ``where`` is SQL on their log."""
    ended = f"SELECT id FROM deliveries WHERE {where}"
    await site.run_sql(f"DELETE FROM outbox WHERE delivery_id IN ({ended})", **values)
    await site.run_sql(
        f"UPDATE deliveries SET status = :status, finished_at = :now WHERE {where}",
        status=status, now=site.clock(), **values,
    )  # fmt: skip


async def attempts(site: Site) -> list[Row]:
    """Every attempt, by delivery and number."""
    return await site.rows("SELECT * FROM attempts ORDER BY delivery_id, number")


async def statuses(site: Site) -> list[str]:
    """The status of each delivery as people read it, oldest first."""
    return [row["status"] for row in await delivery_rows(site)]
