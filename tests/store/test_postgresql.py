"""PostgreSQL's own troubles: deadlocks are run again, lost connections say "unavailable", all comes back by itself."""

import asyncio
from typing import Any

import pytest

from loadbell.domain.errors import Unavailable
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.engine.migrate import upgrade_postgresql
from loadbell.store.engine.statements import Statement
from tests.support.postgres import MISSING, find_binaries, running_postgres
from tests.support.stores import open_store

ADD = Statement("INSERT INTO installation (name, value) VALUES (:name, 'x')")
TOUCH = Statement("UPDATE installation SET value = value || 'y' WHERE name = :name")
ALL = Statement("SELECT name, value FROM installation ORDER BY name")
CUT = Statement(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def _add(name: str) -> Any:
    async def unit(tx: Transaction) -> None:
        await tx.run(ADD, name=name)

    return unit


async def _values(database: Database) -> dict[str, str]:
    return {row["name"]: row["value"] for row in await database.read(lambda tx: tx.all(ALL))}


def test_a_deadlock_is_run_again(postgres_store: str) -> None:
    """Two units that lock the same rows in opposite order both succeed, each exactly once."""

    async def scenario() -> dict[str, str]:
        async with open_store(postgres_store) as database:
            for name in ("a", "b"):
                await database.write(_add(name))
            meeting = asyncio.Barrier(2)
            runs: list[str] = []

            def crossing(first: str, second: str) -> Any:
                async def unit(tx: Transaction) -> None:
                    runs.append(first)
                    await tx.run(TOUCH, name=first)
                    if runs.count(first) == 1:
                        await meeting.wait()
                    await tx.run(TOUCH, name=second)

                return unit

            await asyncio.gather(database.write(crossing("a", "b")), database.write(crossing("b", "a")))
            assert 3 <= len(runs), "one of them was run again, or more often while the machine is busy"
            return await _values(database)

    assert {"a": "xyy", "b": "xyy"} == asyncio.run(scenario())


def test_a_cut_connection_says_unavailable_and_comes_back(postgres_store: str) -> None:
    """What was under way is refused and changes nothing; the next request works on a new connection."""

    async def scenario() -> None:
        async with open_store(postgres_store) as database, open_store(postgres_store) as other:
            started, go_on = asyncio.Event(), asyncio.Event()

            async def cut_off(tx: Transaction) -> None:
                await tx.run(ADD, name="lost")
                started.set()
                await go_on.wait()
                await tx.run(ADD, name="lost too")

            under_way = asyncio.create_task(database.write(cut_off))
            await started.wait()
            await other.write(lambda tx: tx.all(CUT))
            go_on.set()
            with pytest.raises(Unavailable):
                await under_way
            await database.write(_add("kept"))

            assert {"kept": "x"} == await _values(database)

    asyncio.run(scenario())


def test_a_server_that_is_away_for_a_while_needs_no_restart_of_ours() -> None:
    """Killed and started again: meanwhile "unavailable", afterwards everything works and nothing committed is lost."""
    if find_binaries() is None:
        pytest.skip(MISSING)
    with running_postgres(durable=True) as server:
        asyncio.run(upgrade_postgresql(server.url))

        async def scenario() -> dict[str, str]:
            async with open_store(server.url) as database:
                worker = await database.enlist_worker()
                await database.write(_add("before"))
                await asyncio.to_thread(server.kill)
                for _ in range(3):
                    with pytest.raises(Unavailable):
                        await database.write(_add("meanwhile"))
                    with pytest.raises(Unavailable):
                        await database.read(lambda tx: tx.all(ALL))
                woken = asyncio.Event()
                database.on_wake(woken.set)
                await asyncio.to_thread(server.start)
                await database.write(_add("after"))
                await asyncio.wait_for(woken.wait(), 30)
                assert worker == await database.enlist_worker()
                return await _values(database)

        assert {"before": "x", "after": "x"} == asyncio.run(scenario())


def test_one_process_hears_what_another_wrote(postgres_store: str) -> None:
    """A commit that makes something due wakes the workers of every process; one that rolls back wakes nobody."""

    async def scenario() -> None:
        async with open_store(postgres_store) as database, open_store(postgres_store) as other:
            await other.enlist_worker()
            woken: list[int] = []
            heard = asyncio.Event()

            def listen() -> None:
                woken.append(1)
                heard.set()

            other.on_wake(listen)

            async def wake(tx: Transaction, problem: Exception | None = None) -> None:
                tx.wake_workers()
                if problem:
                    raise problem

            with pytest.raises(KeyError):
                await database.write(wake, KeyError("no"))
            await asyncio.sleep(0.1)
            before = len(woken)
            heard.clear()
            await database.write(wake)
            await asyncio.wait_for(heard.wait(), 10)

            assert (0, 1) == (before, len(woken))

    asyncio.run(scenario())


def test_a_full_pool_makes_requests_wait_not_fail(postgres_store: str) -> None:
    """More units at once than there are connections are served in turn."""

    async def scenario() -> int:
        async with open_store(postgres_store) as database:
            await asyncio.gather(*(database.write(_add(f"n{number}")) for number in range(100)))
            return len(await _values(database))

    assert 100 == asyncio.run(scenario())
