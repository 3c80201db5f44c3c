"""
A safe start on SQLite: a missing or empty database isn't taken for a new installation if there was one before.

The key file is created after the database, so a key file alone means that the database was lost.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from loadbell.store.engine.problems import WrongState
from loadbell.store.engine.sqlite_trouble import describe_storage_error

_BESIDE = ("-wal", "-shm")


def check_files(path: Path, key_file: Path) -> None:
    """Checks that ``path`` is a loadbell database, or that there are no signs of a lost one.

    Raises:
        WrongState: it is missing or empty although there was one, is damaged, or belongs to another program.
    """
    items = _tables(path)
    if items:
        if "alembic_version" not in items:
            raise WrongState(
                f"The database {path} belongs to another program: it has no loadbell schema. "
                "Set LOADBELL_DATABASE_URL or LOADBELL_DATA_DIR to another path."
            )
        return
    left = _explain_leftover(path, key_file)
    if left is None:
        return
    state = "is missing" if not path.exists() else "is empty"
    raise WrongState(
        f"The database {path} {state}, but {left} is there: loadbell was set up here before. Probably the volume "
        "with the database is not mounted, or the file was lost or moved. Mount it, or restore the last backup to "
        f"{path}. To begin a new installation, start with --new (the old key is kept beside), or set "
        "LOADBELL_DATA_DIR to another folder."
    )


def start_fresh(path: Path, key_file: Path) -> None:
    """Moves aside the files that a lost installation left behind, so that a new one can begin.

    Raises:
        WrongState: the database still exists.
    """
    if _tables(path):
        raise WrongState(
            f"There is already an installation in {path}, and --new doesn't replace it. "
            "Start without --new, or set LOADBELL_DATA_DIR to another folder."
        )
    for left in (key_file, *_companion_files(path)):
        if left.exists():
            _move_aside(left)


def has_key(path: Path) -> bool:
    """Whether the migrated database was ever used with a secret key."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT 1 FROM installation WHERE name = 'secret_key'").fetchone() is not None


def _tables(path: Path) -> set[str]:
    """Returns the tables in the file; none if it is missing or empty."""
    if not path.is_dir() and (not path.exists() or path.stat().st_size == 0):
        return set()
    try:
        with closing(sqlite3.connect(path)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise WrongState(describe_storage_error(path, error).for_operator) from None


def _explain_leftover(path: Path, key_file: Path) -> Path | None:
    journal = path.with_name(path.name + _BESIDE[0])
    if journal.exists() and journal.stat().st_size:
        return journal
    return key_file if key_file.exists() else None


def _companion_files(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in _BESIDE]


def _move_aside(file: Path) -> None:
    number = 1
    while (aside := file.with_name(f"{file.name}.old-{number}")).exists():
        number += 1
    try:
        file.rename(aside)
    except OSError as error:
        raise WrongState(f"{file} can't be moved aside: {error.strerror}. Check its folder's permissions.") from None
