"""Backs up the SQLite database while it is in use: a consistent copy that only its owner can read."""

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from loadbell.store.engine.problems import Unreachable, WrongState

_BUSY_SECONDS = 5.0


def back_up(database: Path, target: Path) -> int:
    """Copies ``database`` to ``target`` and returns the size of the copy in bytes.

    The copy appears whole, with mode 0600 whatever the umask, or not at all: it is written and synced under another
    name in the same folder first. Other processes can keep writing; their new writes aren't in the copy.

    Raises:
        FileExistsError: ``target`` exists; it is left unchanged.
        OSError: ``target`` can't be written.
        Unreachable: the database can't be read.
        WrongState: there is no database, or it isn't loadbell's.
    """
    if not database.exists():
        raise WrongState(f"There is no database {database} yet. Run: loadbell setup")
    if os.path.lexists(target):
        raise FileExistsError(target)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)  # a umask may have removed even these bits
        _copy(database, draft)
        os.fsync(descriptor)  # SQLite doesn't sync after VACUUM INTO
        size = os.fstat(descriptor).st_size
        draft.rename(target)
    finally:
        os.close(descriptor)
        draft.unlink(missing_ok=True)
    _sync(target.parent)
    return size


def _copy(database: Path, draft: Path) -> None:
    """Writes the copy into the empty ``draft``: one file without a journal and without deleted data."""
    try:
        # A reader of a WAL sees one snapshot and blocks no writer. mode=rw doesn't create a missing file, and can
        # read what a killed process left in the journal.
        with closing(
            sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)
        ) as source:
            if source.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
                raise WrongState(f"The database {database} is empty or isn't loadbell's. Check LOADBELL_DATA_DIR.")
            source.execute("VACUUM INTO ?", [str(draft)])
    except sqlite3.Error as error:
        raise Unreachable(f"The database {database} can't be copied: {error}. Check it and the free space.") from None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
