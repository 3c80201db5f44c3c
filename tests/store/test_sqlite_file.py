"""One process on one SQLite file, however its path is written; and what is said of a file that can't be used."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from loadbell.domain.errors import Unavailable
from loadbell.settings import load_settings
from loadbell.store.engine.open import migrate, open_database, open_existing
from loadbell.store.engine.problems import StoreProblem, WrongState
from loadbell.store.engine.sqlite import FileLock
from loadbell.store.engine.statements import Statement
from tests.support.stores import Play, Site, open_store, sqlite_path

ROOT = Path(__file__).parent.parent.parent


def _python(program: str, *arguments: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *(str(argument) for argument in arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        **options,
    )


LOCK = """
    import sys, pathlib
    from loadbell.store.engine.problems import WrongState
    from loadbell.store.engine.sqlite import FileLock
    try:
        FileLock(pathlib.Path(sys.argv[1]))
    except WrongState as refused:
        print(refused)
    else:
        print("locked")
"""


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """It is told whose the file is and what to do; when the first has ended, the file is free."""
    path = tmp_path / "loadbell.sqlite3"
    lock = FileLock(path)
    refused = _python(LOCK, path).stdout
    lock.release()

    assert f"pid {os.getpid()}" in refused
    assert "SQLite serves one process" in refused
    assert "locked\n" == _python(LOCK, path).stdout


def test_a_second_lock_in_one_process_is_refused(tmp_path: Path) -> None:
    """Opening the same file twice by mistake is noticed within a process, too."""
    lock = FileLock(tmp_path / "x")
    with pytest.raises(WrongState):
        FileLock(tmp_path / "x")
    lock.release()
    FileLock(tmp_path / "x").release()


@pytest.mark.parametrize("way", ["file", "folder", "dots"])
def test_another_name_of_the_file_is_no_way_round(tmp_path: Path, way: str) -> None:
    """A symbolic link to the file or its folder, or a path with dots, leads to the same lock."""
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "loadbell.sqlite3"
    path.touch()
    (tmp_path / "link").symlink_to(path if way == "file" else folder)
    other = {
        "file": tmp_path / "link",
        "folder": tmp_path / "link" / path.name,
        "dots": folder / ".." / "data" / path.name,
    }[way]
    lock = FileLock(path)

    assert "SQLite serves one process" in _python(LOCK, other).stdout
    lock.release()


def test_a_program_that_is_started_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A child that outlives a killed server does not keep the file from the next one."""
    path = tmp_path / "loadbell.sqlite3"
    program = """
        import os, signal, subprocess, sys, pathlib
        from loadbell.store.engine.sqlite import FileLock
        lock = FileLock(pathlib.Path(sys.argv[1]))
        child = subprocess.Popen(["sleep", "30"], close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        print(child.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    child = int(_python(program, path).stdout)
    try:
        FileLock(path).release()
    finally:
        os.kill(child, 9)


def test_a_killed_process_leaves_the_file_free(tmp_path: Path) -> None:
    """The lock file that a kill -9 leaves behind stops nobody."""
    path = tmp_path / "loadbell.sqlite3"
    program = """
        import os, signal, sys, pathlib
        from loadbell.store.engine.sqlite import FileLock
        lock = FileLock(pathlib.Path(sys.argv[1]))
        os.kill(os.getpid(), signal.SIGKILL)
    """

    assert -9 == _python(program, path).returncode
    FileLock(path).release()


def test_opening_takes_the_lock_and_closing_gives_it_back(sqlite_store: str, tmp_path: Path) -> None:
    """Neither a second open nor a migration runs beside an open store."""
    settings = load_settings({"LOADBELL_DATABASE_URL": sqlite_store, "LOADBELL_DATA_DIR": str(tmp_path)})

    async def scenario() -> None:
        database = await open_database(settings)
        for second in (open_database, migrate):
            with pytest.raises(WrongState, match="uses"):
                await second(settings)
        await database.close()
        await database.close()
        await (await open_database(settings)).close()

    asyncio.run(scenario())


def test_a_failed_opening_gives_the_lock_back(sqlite_store: str, tmp_path: Path) -> None:
    """After a refusal for another reason the file is free for the next try."""
    environment = {"LOADBELL_DATABASE_URL": sqlite_store, "LOADBELL_DATA_DIR": str(tmp_path)}
    for _ in range(2):
        with pytest.raises(WrongState, match="LOADBELL_SECRET_KEY"):
            asyncio.run(open_database(load_settings({**environment, "LOADBELL_SECRET_KEY": "short"})))

    FileLock(sqlite_path(sqlite_store)).release()


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    """Opening in a read-only folder fails with its name and what to check, not with a stack trace."""
    folder = tmp_path / "sealed"
    folder.mkdir()
    folder.chmod(0o555)
    # Root may write everywhere but where the kernel itself says no.
    place = folder if os.geteuid() != 0 else Path("/proc/sealed")
    with pytest.raises(StoreProblem, match="sealed") as refused:
        asyncio.run(open_database(load_settings({"LOADBELL_DATA_DIR": str(place)})))
    text = str(refused.value)

    assert "can't be used" in text
    assert "LOADBELL_DATA_DIR" in text


def test_a_reader_that_can_not_open_the_file_says_unavailable(sqlite_store: str) -> None:
    """A file that went away under a running server is "unavailable", as any other trouble with the database."""

    async def scenario() -> None:
        async with open_store(sqlite_store) as database:
            path = sqlite_path(sqlite_store)
            shutil.move(path, path.with_name("moved"))
            path.mkdir()
            with pytest.raises(Unavailable):
                await database.read(lambda tx: tx.all(Statement("SELECT 1 AS one")))
            path.rmdir()

    asyncio.run(scenario())


def test_a_refusal_is_told_once(play_on_sqlite: Play) -> None:
    """The sentence names the database's own complaint, without a refusal wrapped into a refusal."""

    async def scenario(site: Site) -> None:
        async def spoil(tx: Any) -> None:
            tx._connection.execute("ROLLBACK")  # as SQLite does by itself when the disk is full
            raise sqlite3.OperationalError("database or disk is full")

        with pytest.raises(Unavailable) as refused:
            await site.database.write(spoil)

        text = str(refused.value)
        assert text.count("The database can't be written now") == 1
        assert "database or disk is full" in text

    play_on_sqlite(scenario)


def test_every_opening_is_another_worker(sqlite_store: str) -> None:
    """A server that starts again with the same process id, as in a container, does not take old leases for its own."""

    async def number() -> int:
        async with open_store(sqlite_store) as database:
            assert await database.enlist_worker() == await database.enlist_worker()
            return await database.enlist_worker()

    assert asyncio.run(number()) != asyncio.run(number())


@pytest.mark.parametrize("open_store", [open_database, open_existing])
def test_every_commit_is_on_the_disk_before_it_is_answered(open_store: Any, tmp_path: Path) -> None:
    """The connection that writes has ``synchronous = FULL``: in WAL mode less would lose commits to a power cut."""
    settings = load_settings({"LOADBELL_DATA_DIR": str(tmp_path)})

    async def query() -> tuple[Any, Any]:
        await migrate(settings)
        database = await open_store(settings)
        try:
            mode = await database.write(lambda tx: tx.first(Statement("PRAGMA journal_mode")))
            level = await database.write(lambda tx: tx.first(Statement("PRAGMA synchronous")))
            return mode["journal_mode"], level["synchronous"]
        finally:
            await database.close()

    assert ("wal", 2) == asyncio.run(query())
