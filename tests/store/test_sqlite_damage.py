"""What is said of a SQLite file that is damaged or can't be written, at the start and while it is used."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from loadbell.domain.errors import Unavailable
from loadbell.settings import load_settings
from loadbell.store.engine.open import KEY_FILE, open_database, open_existing
from loadbell.store.engine.problems import StoreProblem
from loadbell.store.engine.sqlite_trouble import describe_storage_error
from loadbell.store.engine.statements import Statement
from tests.support.commands import loadbell
from tests.support.stores import KEY, open_store, settle, sqlite_path

PAGE = 4096


def _garbage(path: Path) -> None:
    path.write_bytes(b"not a database at all, " * 1000)


def _garbage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xff" * 100)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // PAGE * PAGE)


def _damaged_schema(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (PAGE - 100))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [_garbage, _garbage_header, _cut, _damaged_schema, _folder])
@pytest.mark.parametrize("opening", [open_database, open_existing])
def test_a_file_that_is_no_database_is_named_at_the_start(
    sqlite_store: str, tmp_path: Path, spoil: Callable[[Path], None], opening: Callable[..., object]
) -> None:
    """The sentence names the file; if that is damaged, how to check it, and the backup."""
    path = sqlite_path(sqlite_store).resolve()
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    settings = load_settings(
        {"LOADBELL_DATABASE_URL": sqlite_store, "LOADBELL_SECRET_KEY": KEY, "LOADBELL_DATA_DIR": str(tmp_path)}
    )
    with pytest.raises(StoreProblem) as refused:
        asyncio.run(opening(settings))  # type: ignore[arg-type]  # both are coroutine functions
    text = str(refused.value)

    assert str(path) in text
    assert "same request" not in text
    if spoil is _folder:
        assert "is a folder" in text
    else:
        assert "PRAGMA integrity_check" in text
        assert "restore the last backup" in text
        assert path.read_bytes() == before


def _spoil_pages(path: Path) -> None:
    """Overwrites all pages but the first, as a failing disk does."""
    with path.open("r+b") as file:
        file.seek(PAGE)
        file.write(b"\xff" * (path.stat().st_size - PAGE))


@pytest.mark.parametrize("spoil", [_spoil_pages, _cut, _garbage])
def test_a_file_that_is_damaged_under_a_running_server(
    sqlite_store: str, spoil: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Reads and writes are unavailable with a sentence of what has to be done, and the log names the file."""

    async def scenario() -> list[Unavailable]:
        async with open_store(sqlite_store) as database:
            await settle(database)
        async with open_store(sqlite_store) as database:
            spoil(sqlite_path(sqlite_store))
            read, write = Statement("SELECT * FROM organizations"), Statement("UPDATE organizations SET name = 'other'")
            with pytest.raises(Unavailable) as reading:
                await database.read(lambda tx: tx.all(read))
            with pytest.raises(Unavailable) as writing:
                await database.write(lambda tx: tx.run(write))
            return [reading.value, writing.value]

    for refusal in asyncio.run(scenario()):
        assert "PRAGMA integrity_check" in str(refusal)
        assert "backup" in str(refusal)
        assert "same request" not in str(refusal)
        assert str(sqlite_path(sqlite_store).resolve().parent) not in str(refusal), (
            "where the file is concerns the operator"
        )
        assert sqlite_store.removeprefix("sqlite:///") in str(refusal.for_operator)
    printed = capsys.readouterr()
    assert sqlite_store.removeprefix("sqlite:////") in printed.out + printed.err


def test_each_kind_has_a_sentence_that_fits(tmp_path: Path) -> None:
    """A full disk, a read-only file and a failing disk are told apart, each with what to do."""
    path = tmp_path / "loadbell.sqlite3"
    told = {}
    for code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        error = sqlite3.OperationalError("what SQLite says")
        error.sqlite_errorcode = code | 0x100  # as an extended code has it
        told[code] = describe_storage_error(path, error)

    assert all(
        str(path) in storage.for_operator and str(path) not in storage.for_everybody for storage in told.values()
    )
    assert "Free up space" in told[sqlite3.SQLITE_FULL].for_operator
    assert "owner and mode" in told[sqlite3.SQLITE_READONLY].for_operator
    assert "PRAGMA integrity_check" in told[sqlite3.SQLITE_IOERR].for_operator
    assert all("same request" not in storage.for_everybody for storage in told.values())


def test_a_file_that_became_read_only(sqlite_store: str) -> None:
    """A write is unavailable and says so; reads go on."""

    async def scenario() -> None:
        async with open_store(sqlite_store) as database:
            site = await settle(database)

            async def forbid(tx: object) -> None:
                tx._connection.execute("PRAGMA query_only = ON")  # type: ignore[attr-defined]  # what a mount does

            await database.write(forbid)
            with pytest.raises(Unavailable, match="read-only"):
                await site.run()
            assert 1 == len(await database.read(lambda tx: tx.all(Statement("SELECT id FROM users"))))

    asyncio.run(scenario())


def test_the_operators_commands_name_the_file(sqlite_store: str, tmp_path: Path) -> None:
    """A command on the server tells where the file is and what to do, without a stack trace."""
    path = sqlite_path(sqlite_store).resolve()
    (tmp_path / KEY_FILE).write_text(KEY)
    shutil.copy(path, tmp_path / "loadbell.sqlite3") if path != tmp_path / "loadbell.sqlite3" else None
    _spoil_pages(tmp_path / "loadbell.sqlite3")
    process = loadbell("users", "reset-password", "owner@example.org", LOADBELL_DATA_DIR=str(tmp_path))

    assert process.returncode in {3, 4}
    assert str(tmp_path / "loadbell.sqlite3") in process.stderr
    assert "PRAGMA integrity_check" in process.stderr
    assert "Traceback" not in process.stderr
