"""Where there was an installation on SQLite, a missing or empty database is not taken for a new one."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from loadbell.settings import Settings, load_settings
from loadbell.store.engine.open import KEY_FILE, migrate, open_database, open_existing
from loadbell.store.engine.problems import StoreProblem, WrongState
from tests.support.commands import loadbell
from tests.support.stores import KEY

NAME = "loadbell.sqlite3"


def _settings(folder: Path, **given: str) -> Settings:
    return load_settings({"LOADBELL_DATA_DIR": str(folder), **given})


async def _open(settings: Settings, *, new: bool = False) -> None:
    database = await open_database(settings, new=new)
    await database.close()


def _missing(database: Path) -> None:
    database.unlink()


def _no_bytes(database: Path) -> None:
    database.write_bytes(b"")


def _no_tables(database: Path) -> None:
    database.unlink()
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE t (id INTEGER)")
    connection.execute("DROP TABLE t")
    connection.close()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder of an installation that was opened once."""
    folder = tmp_path / "data"
    asyncio.run(_open(_settings(folder)))
    for ending in ("-wal", "-shm"):
        (folder / (NAME + ending)).unlink(missing_ok=True)
    return folder


LOST = pytest.mark.parametrize("lose", [_missing, _no_bytes, _no_tables])


@LOST
def test_a_lost_database_is_no_new_installation(installed: Path, lose: Callable[[Path], None]) -> None:
    """Whatever opens it refuses: it names the file and the key, the likely cause and the ways on; nothing is made."""
    lose(installed / NAME)
    size = (installed / NAME).stat().st_size if (installed / NAME).exists() else None
    for attempt in (_open, migrate, open_existing):
        with pytest.raises(WrongState) as refused:
            asyncio.run(attempt(_settings(installed)))
        for part in (NAME, KEY_FILE, "not mounted", "backup", "--new", "LOADBELL_DATA_DIR"):
            assert part in str(refused.value)

    assert size == ((installed / NAME).stat().st_size if (installed / NAME).exists() else None)


@LOST
def test_a_new_installation_is_asked_for(installed: Path, lose: Callable[[Path], None]) -> None:
    """With --new another one begins with a key of its own, and the old key is kept beside."""
    lose(installed / NAME)
    key = (installed / KEY_FILE).read_text()
    asyncio.run(_open(_settings(installed), new=True))

    assert key == (installed / f"{KEY_FILE}.old-1").read_text() != (installed / KEY_FILE).read_text()
    asyncio.run(_open(_settings(installed)))


def test_new_replaces_no_installation(installed: Path) -> None:
    """Where the database is there, --new is refused and changes nothing."""
    key = (installed / KEY_FILE).read_text()
    with pytest.raises(WrongState, match="--new doesn't replace"):
        asyncio.run(_open(_settings(installed), new=True))

    assert key == (installed / KEY_FILE).read_text()
    asyncio.run(_open(_settings(installed)))


def test_a_database_that_was_moved_away_is_missed(installed: Path, tmp_path: Path) -> None:
    """A database URL that leads elsewhere than before is refused as long as the key of this folder is used."""
    with pytest.raises(WrongState, match="was set up here before"):
        asyncio.run(_open(_settings(installed, LOADBELL_DATABASE_URL=f"sqlite:///{tmp_path}/other.sqlite3")))

    assert not (tmp_path / "other.sqlite3").exists()


def test_a_journal_without_its_database_is_noticed(installed: Path) -> None:
    """What SQLite left beside a file that is gone tells of it, even if the key comes from the environment."""
    (installed / NAME).unlink()
    (installed / KEY_FILE).unlink()
    (installed / f"{NAME}-wal").write_bytes(b"frames")
    with pytest.raises(WrongState, match=f"{NAME}-wal is there"):
        asyncio.run(_open(_settings(installed, LOADBELL_SECRET_KEY=KEY)))


def test_a_lost_key_is_not_replaced(installed: Path) -> None:
    """A database without its key file is refused by name, and no other key is made in its place."""
    (installed / KEY_FILE).unlink()
    for attempt in (_open, open_existing):
        with pytest.raises(WrongState, match=f"{KEY_FILE} is missing"):
            asyncio.run(attempt(_settings(installed)))

    assert not (installed / KEY_FILE).exists()


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """No table of ours is put into a file that somebody else made."""
    path = tmp_path / NAME
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE dashboard (id INTEGER)")
    connection.close()
    with pytest.raises(StoreProblem, match="another program"):
        asyncio.run(_open(_settings(tmp_path)))

    connection = sqlite3.connect(path)
    assert [("dashboard",)] == connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()


def test_a_start_that_died_early_stops_no_other(tmp_path: Path) -> None:
    """A database without a key, empty or migrated, is what a first start leaves that was killed; the next goes on."""
    (tmp_path / NAME).touch()
    asyncio.run(migrate(_settings(tmp_path)))
    asyncio.run(_open(_settings(tmp_path)))

    assert (tmp_path / KEY_FILE).exists()


@pytest.mark.parametrize(
    "spoil", [lambda _: b"", lambda _: b"loadbell\n", lambda key: key[:-9], lambda _: b"\xff" * 44]
)
def test_a_damaged_key_is_named(installed: Path, spoil: Callable[[bytes], bytes]) -> None:
    """The sentence has the file and the backup; nobody is told to make another key, and the file is left alone."""
    damaged = spoil((installed / KEY_FILE).read_bytes())
    (installed / KEY_FILE).write_bytes(damaged)
    with pytest.raises(WrongState, match="is damaged") as refused:
        asyncio.run(_open(_settings(installed)))

    for part in (str(installed / KEY_FILE), "backup"):
        assert part in str(refused.value)
    assert "Make one" not in str(refused.value)
    assert damaged == (installed / KEY_FILE).read_bytes()


def test_a_key_from_an_editor_is_read(installed: Path) -> None:
    """With a byte order mark in front and line ends of Windows."""
    (installed / KEY_FILE).write_bytes(b"\xef\xbb\xbf" + (installed / KEY_FILE).read_bytes().strip() + b"\r\n")
    asyncio.run(_open(_settings(installed)))


def test_the_commands_refuse_with_a_sentence(installed: Path) -> None:
    """Setup and serve end with exit code 4; setup goes on with --new."""
    (installed / NAME).unlink()
    setup = ("setup", "--organization", "Example", "--email", "ann@example.org", "--json")
    refused = [loadbell(*words, LOADBELL_DATA_DIR=str(installed)) for words in (setup, ("serve", "--port", "0"))]
    made = loadbell(*setup, "--new", LOADBELL_DATA_DIR=str(installed))

    assert [4, 4] == [done.returncode for done in refused]
    assert all("was set up here before" in done.stderr and "Traceback" not in done.stderr for done in refused)
    assert (0, True) == (made.returncode, "token" in made.stdout)
