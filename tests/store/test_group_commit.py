"""SQLite's writer: units of one group stand or fall each for itself, and a lost COMMIT refuses them all."""

import asyncio
import random
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from loadbell.domain.errors import Conflict, Unavailable
from loadbell.store.engine import sqlite as sqlite_store_module
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.engine.statements import Statement
from tests.support.stores import Play, Site, open_store, sqlite_path

ADD = Statement("INSERT INTO installation (name, value) VALUES (:name, :value)")
ALL = Statement("SELECT name FROM installation WHERE name LIKE 'n%' ORDER BY name")


def _add(name: str, value: str = "x", problem: Exception | None = None) -> Any:
    async def unit(tx: Transaction) -> str:
        await tx.run(ADD, name=name, value=value)
        if problem is not None:
            raise problem
        return name

    return unit


async def _names(database: Database) -> list[str]:
    return [row["name"] for row in await database.read(lambda tx: tx.all(ALL))]


def test_a_bad_unit_rolls_back_alone(play: Play) -> None:
    """Of 40 units at once each fourth is refused: those leave nothing, the others are all there."""

    async def scenario(site: Site) -> None:
        outcomes = await asyncio.gather(
            *(
                site.database.write(_add(f"n{number:02}", problem=Conflict("no") if number % 4 == 0 else None))
                for number in range(40)
            ),
            return_exceptions=True,
        )
        good = [f"n{number:02}" for number in range(40) if number % 4]

        assert good == [name for name in outcomes if isinstance(name, str)]
        assert 10 == sum(isinstance(outcome, Conflict) for outcome in outcomes)
        assert good == await _names(site.database)

    play(scenario)


def test_a_unit_that_the_database_refuses_rolls_back_alone(play: Play) -> None:
    """A constraint that one unit breaks after its first change costs nobody else anything."""

    async def scenario(site: Site) -> None:
        async def twice(tx: Transaction) -> None:
            await tx.run(ADD, name="n1", value="x")
            await tx.run(ADD, name="n0", value="a second time")

        await site.database.write(_add("n0"))
        outcomes = await asyncio.gather(
            site.database.write(_add("n2")),
            site.database.write(twice),
            site.database.write(_add("n3")),
            return_exceptions=True,
        )

        assert ["n2", "n3"] == [name for name in outcomes if isinstance(name, str)]
        assert isinstance(outcomes[1], Exception)
        assert ["n0", "n2", "n3"] == await _names(site.database)

    play(scenario)


def test_a_large_burst_is_all_kept(play_on_sqlite: Play) -> None:
    """More units at once than a group holds are committed in several groups, each answered once."""

    async def scenario(site: Site) -> None:
        expected = [f"n{number:04}" for number in range(1500)]
        outcomes = await asyncio.gather(*(site.database.write(_add(name)) for name in expected))

        assert expected == outcomes
        assert expected == await _names(site.database)

    play_on_sqlite(scenario)


def test_a_unit_that_awaits_something_else_is_refused(play_on_sqlite: Play) -> None:
    """No connection is held while anything but the database is waited for: such a unit fails and changes nothing."""

    async def scenario(site: Site) -> None:
        async def dawdling(tx: Transaction) -> None:
            await tx.run(ADD, name="n1", value="x")
            await asyncio.sleep(0)

        for refused in (site.database.write, site.database.read):
            with pytest.raises(RuntimeError, match="awaited something other"):
                await refused(dawdling if refused == site.database.write else _sleep)
        await site.database.write(_add("n2"))

        assert ["n2"] == await _names(site.database)

    async def _sleep(_: Transaction) -> None:
        await asyncio.sleep(0)

    play_on_sqlite(scenario)


def test_reading_changes_nothing(play: Play) -> None:
    """A unit that is run as a read can't write."""

    async def scenario(site: Site) -> None:
        with pytest.raises(Unavailable):
            await site.database.read(_add("n1"))

        assert [] == await _names(site.database)

    play(scenario)


def test_a_read_sees_one_instant(play: Play) -> None:
    """What is committed while a read is under way does not show in it."""

    async def scenario(site: Site) -> None:
        await site.database.write(_add("n1"))
        seen: list[int] = []
        for _ in range(20):
            reads = [site.database.read(_twice(seen)) for _ in range(4)]
            await asyncio.gather(*reads, site.database.write(_add(f"n{random.random()}")))

        assert [] == seen

    def _twice(differing: list[int]) -> Any:
        async def unit(tx: Transaction) -> None:
            first, second = [len(await tx.all(ALL)) for _ in range(2)]
            if first != second:
                differing.append(second - first)

        return unit

    play(scenario)


def test_a_cancelled_caller_disturbs_nobody(play: Play) -> None:
    """Whoever stops waiting leaves the others' units as they are."""

    async def scenario(site: Site) -> None:
        tasks = [asyncio.create_task(site.database.write(_add(f"n{number}"))) for number in range(6)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)

        assert isinstance(outcomes[2], asyncio.CancelledError)
        assert {"n0", "n1", "n3", "n4", "n5"} <= set(await _names(site.database))

    play(scenario)


def test_a_busy_database_refuses_and_recovers(sqlite_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program holds the write lock every unit is answered "unavailable"; afterwards they work again."""
    monkeypatch.setattr(sqlite_store_module, "_BUSY_SECONDS", 0.1)

    async def scenario() -> None:
        async with open_store(sqlite_store) as database:
            await database.write(_add("n1"))
            other = sqlite3.connect(sqlite_path(sqlite_store), isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            outcomes = await asyncio.gather(
                *(database.write(_add(f"n{number}")) for number in (2, 3)), return_exceptions=True
            )
            items = await _names(database)
            other.execute("ROLLBACK")
            other.close()
            await database.write(_add("n4"))

            assert [Unavailable, Unavailable] == [type(outcome) for outcome in outcomes]
            assert ["n1"] == items
            assert ["n1", "n4"] == await _names(database)

    asyncio.run(scenario())


def test_a_full_database_loses_nothing_acknowledged(sqlite_store: str) -> None:
    """At its size limit it refuses what does not fit, keeps all it answered for, and goes on once there is room."""

    async def scenario() -> None:
        async with open_store(sqlite_store) as database:
            items = await _fill(database, limit=True)
            assert items == set(await _names(database))
            await database.write(_limit(1_000_000))
            await database.write(_add("n-more", "y" * 20_000))

            assert {*items, "n-more"} == set(await _names(database))
        async with open_store(sqlite_store) as database:
            assert {*items, "n-more"} == set(await _names(database))

    asyncio.run(scenario())


def _limit(pages: int) -> Any:
    async def unit(tx: Transaction) -> None:
        await tx.all(Statement(f"PRAGMA max_page_count = {pages}"))

    return unit


async def _fill(database: Database, *, limit: bool) -> set[str]:
    """Writes until something is refused, 20 units at a time; gives what was acknowledged."""
    if limit:
        await database.write(_limit(200))
    items: set[str] = set()
    for group in range(100):
        units: list[Coroutine[Any, Any, Any]] = [
            database.write(_add(f"n{group:02}-{number:02}", "x" * (10_000 if number % 5 else 10)))
            for number in range(20)
        ]
        outcomes = await asyncio.gather(*units, return_exceptions=True)
        items |= {outcome for outcome in outcomes if isinstance(outcome, str)}
        refused = [outcome for outcome in outcomes if not isinstance(outcome, str)]
        if refused:
            assert {Unavailable} == {type(outcome) for outcome in refused}
            return items
    raise AssertionError("it never was full")


FULL_DISK = """
import asyncio, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from tests.store.test_group_commit import _add, _fill, _names
from tests.support.stores import open_store

async def main(url):
    async with open_store(url) as database:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        kept = await _fill(database, limit=False)
        assert kept == set(await _names(database)), "what was acknowledged is there while the disk is full"
        try:
            await database.write(_add("n-refused", "z" * 200_000))
        except Exception as error:
            print(type(error).__name__)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await database.write(_add("n-after"))
        print(*sorted(kept), "n-after")

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("room", [300_000, 500_000, 1_000_000])
def test_a_full_disk_loses_nothing_acknowledged(sqlite_store: str, room: int) -> None:
    """When the disk takes no more, groups are refused whole; when it does again, writing goes on by itself."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    if hard != resource.RLIM_INFINITY:
        pytest.skip("needs a process that may lift its file size limit again")
    process = subprocess.run(
        [sys.executable, "-c", FULL_DISK, sqlite_store, str(room)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent.parent,
    )

    assert 0 == process.returncode, process.stderr
    refusal, acknowledged = process.stdout.splitlines()[-2:]
    assert "Unavailable" == refusal

    async def names() -> list[str]:
        async with open_store(sqlite_store) as database:
            return await _names(database)

    assert sorted(acknowledged.split()) == sorted(asyncio.run(names()))


def test_closing_finishes_what_was_accepted(store_url: str) -> None:
    """Units that were handed over before the end are committed; later ones are told that loadbell is stopping."""

    async def scenario() -> list[str]:
        async with open_store(store_url) as database:
            tasks = [asyncio.create_task(database.write(_add(f"n{number}"))) for number in range(5)]
            await asyncio.sleep(0)
            if database.dialect == "postgresql":
                await asyncio.gather(*tasks)
            await database.close()
            await asyncio.gather(*tasks)
            with pytest.raises(Unavailable):
                await database.write(_add("n9"))
            with pytest.raises(Unavailable):
                await database.read(lambda tx: tx.all(ALL))
        async with open_store(store_url) as database:
            return await _names(database)

    assert ["n0", "n1", "n2", "n3", "n4"] == asyncio.run(scenario())
