"""
How long do operations whose size grows with the data hold the writer, and how much do they delay reports? SQLite only.

``python -m benchmarks.writer [ROWS]``. Each operation gets its own store with ROWS (100,000) rows, while runs are
reported one after the other. Prints its longest writer transaction, commit included, and the longest CPU time of one
(on a busy machine the rest is other processes' time), the total time until the last row was done, and how long reports
took (median, p99, worst), first without any operation.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadbell.accounts import organizations, projects
from loadbell.domain.orgs import Scope
from loadbell.notify.channels import Held, delete_channel, pause, resume
from loadbell.notify.replay import start_replay
from loadbell.notify.sweeper import Sweeper
from loadbell.notify.worker.due_times import DueTimes
from loadbell.store.clock_steps import follow_step_back
from loadbell.store.engine import sqlite
from loadbell.store.engine.migrate import upgrade_sqlite
from loadbell.store.idempotency import RETENTION
from loadbell.store.tokens import delete_token
from tests.support.crowds import hold_deliveries, put_keys, put_runs
from tests.support.stores import HOLD_FOR, Site, open_store, settle, unit_of

BASELINE_SECONDS = 3.0

transactions: list[tuple[float, float]] = []
"""How long each writer transaction took since the list was cleared: by the clock, and on the CPU."""


def _time_transactions() -> None:
    commit_group = sqlite.SqliteDatabase._commit_group  # noqa: SLF001 - as below

    def timed(self: Any, connection: Any, group: Any) -> None:
        began, worked = time.perf_counter(), time.thread_time()
        commit_group(self, connection, group)
        transactions.append((time.perf_counter() - began, time.thread_time() - worked))

    setattr(sqlite.SqliteDatabase, "_commit_group", timed)  # noqa: B010 - the only place that sees them all


async def _nothing(_site: Site, _channel: int, _project: int) -> None:
    await asyncio.sleep(BASELINE_SECONDS)


async def _drop(site: Site, channel: int, _project: int) -> None:
    await site.do(resume, site.owner, channel, Held.DROP)


async def _deliver(site: Site, channel: int, _project: int) -> None:
    await site.do(resume, site.owner, channel, Held.DELIVER)


async def _delete_channel(site: Site, channel: int, _project: int) -> None:
    await site.do(delete_channel, site.owner, channel)


async def _delete_project(site: Site, _channel: int, project: int) -> None:

    loss = await site.database.read(lambda tx: projects.count_loss(unit_of(tx, site.owner), project))
    await site.do(projects.delete_project, site.owner, project, loss)


async def _delete_organization(site: Site, _channel: int, _project: int) -> None:

    loss = await site.database.read(lambda tx: organizations.count_loss(unit_of(tx, site.owner), site.organization_id))
    await site.do(organizations.delete_organization, site.owner, site.organization_id, loss)


async def _expire(site: Site, _channel: int, _project: int) -> None:
    site.clock.advance(HOLD_FOR + 1)


async def _forget(site: Site, _channel: int, _project: int) -> None:
    site.clock.advance(RETENTION + 1)


async def _revoke(site: Site, _channel: int, _project: int) -> None:
    assert site.owner.token_id is not None
    await site.do(delete_token, site.organization_id, site.owner.token_id)


async def _replay(site: Site, channel: int, _project: int) -> None:
    body: dict[str, Any] = {"since": 0, "until": None, "statuses": ("cancelled",)}
    await site.do(resume, site.owner, channel, Held.DROP)
    _, count = await site.database.read(lambda tx: start_replay(unit_of(tx, site.owner), channel, **body, dry_run=True))
    await site.do(start_replay, site.owner, channel, **body, dry_run=False, counted=count)


async def _set_back(site: Site, _channel: int, _project: int) -> None:
    site.clock.advance(-HOLD_FOR)
    now = site.clock()
    await site.do(follow_step_back, owner=0, back=HOLD_FOR, now=now)
    await DueTimes(HOLD_FOR, now).follow(site.database)


OPERATIONS: dict[str, Callable[[Site, int, int], Coroutine[Any, Any, None]]] = {
    "nothing (baseline)": _nothing,
    "resume, drop": _drop,
    "resume, deliver": _deliver,
    "delete a channel": _delete_channel,
    "delete a project": _delete_project,
    "delete an organization": _delete_organization,
    "expire what is held": _expire,
    "forget idempotency keys": _forget,
    "revoke a token with keys": _revoke,
    "start a replay": _replay,
    "follow a clock set back": _set_back,
}


async def _measure(name: str, rows: int, template: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loadbell.sqlite3"
        path.write_bytes(template.read_bytes())  # noqa: ASYNC240 - nothing else runs yet
        async with open_store(f"sqlite:///{path}") as database:
            site = await settle(database)
            other = await settle_another(site)
            channel, project = await site.channel(), await site.project()
            await hold_deliveries(database, site.organization_id, channel.id, rows, site.clock())
            await put_runs(database, site.organization_id, project, rows, site.clock())
            assert site.owner.token_id is not None
            await put_keys(database, site.owner.token_id, rows, site.clock())
            await site.do(pause, site.owner, channel.id)
            sweeper = Sweeper(database, hold_for=HOLD_FOR)
            transactions.clear()
            took: list[float] = []
            reporting = asyncio.create_task(_report(site, other, took))
            began = time.perf_counter()
            await OPERATIONS[name](site, channel.id, project)
            while await sweeper.sweep_all():  # noqa: ASYNC110 - as the sweeper itself does
                await asyncio.sleep(0.005)
            whole = time.perf_counter() - began
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
    took.sort()
    median, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
    print(
        f"{name:<26} {max(wall for wall, _ in transactions) * 1000:>8.1f} ms "
        f"{max(cpu for _, cpu in transactions) * 1000:>6.1f} ms {whole:>8.2f} s {len(took):>7} "
        f"{median * 1000:>8.1f} {p99 * 1000:>8.1f} {took[-1] * 1000:>8.1f} ms",
        flush=True,
    )


async def settle_another(site: Site) -> Any:
    """The owner of another organization, whose runs are reported meanwhile."""
    organization = await site.do(organizations.create_organization, site.owner, "Another")
    return replace(site.owner, organization_id=organization.organization_id, scope=Scope.MANAGE, token_id=None)


async def _report(site: Site, who: Any, took: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await site.run(who)
        took.append(time.perf_counter() - began)
        await asyncio.sleep(0.002)


def main() -> None:
    """Prints a line for each operation."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    _time_transactions()
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.sqlite3"
        upgrade_sqlite(template)
        columns = f"{'longest':>11} {'CPU':>9} {'whole':>10} {'reports':>7} {'median':>8} {'p99':>8} {'worst':>8}"
        print(f"{f'{rows:,} rows':<26} {columns}")
        for name in OPERATIONS:
            asyncio.run(_measure(name, rows, template))


if __name__ == "__main__":
    main()
