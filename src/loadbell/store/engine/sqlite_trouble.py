"""Describes what is wrong with a SQLite file: for the operator, who can fix it, and for the HTTP caller."""

import shlex
import sqlite3
from dataclasses import dataclass
from pathlib import Path

_PRIMARY = 0xFF  # the low byte of an extended code
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_GO_ON = "loadbell then continues automatically."


@dataclass(frozen=True)
class StorageError:
    """One kind of problem. Only the operator's text shows the path of the file."""

    for_operator: str
    for_everybody: str


def is_storage_error(error: BaseException) -> bool:
    """Whether ``error`` comes from the file or its disk, not from the statement."""
    return isinstance(error, sqlite3.OperationalError) or (
        isinstance(error, sqlite3.DatabaseError) and _code(error) in _DAMAGED
    )


def describe_storage_error(path: Path, error: BaseException) -> StorageError:  # noqa: PLR0911 - one for each kind
    """Describes ``error`` of the database file ``path``."""
    code, name, text = _code(error), path.name, str(error)
    if path.is_dir():
        return StorageError(
            f"{path} is a folder, but should be the database file. Move it away, or set LOADBELL_DATABASE_URL to "
            "another file.",
            f"The database file {name} can't be opened. The server's log has details.",
        )
    if code in _DAMAGED:
        return StorageError(
            f"The database file {path} is damaged ({text}). Stop loadbell, check the file with: "
            f"sqlite3 {shlex.quote(str(path))} 'PRAGMA integrity_check' - and restore the last backup: copy it over "
            "the file, with the -wal and -shm files beside it removed.",
            f"The database file {name} is damaged ({text}). Ask the operator of this server to run PRAGMA "
            "integrity_check and restore the last backup.",
        )
    if code == sqlite3.SQLITE_FULL:
        return StorageError(
            f"The disk that {path} is on is full ({text}). Nothing was changed. Free up space there: {_GO_ON}",
            f"The database's disk is full ({text}). Nothing was changed. Ask the operator of this server to free up "
            "space, then try again.",
        )
    if code == sqlite3.SQLITE_READONLY:
        return StorageError(
            f"The database file {path} can't be written ({text}). Check the owner and mode of the file and its folder, "
            f"and that the disk is not mounted read-only; {_GO_ON}",
            f"The database file {name} is read-only ({text}). Nothing was changed. Contact this server's operator.",
        )
    if code == sqlite3.SQLITE_IOERR:
        return StorageError(
            f"The disk failed under {path} ({text}). Check the system log. When the disk works again, check "
            f"the file with: sqlite3 {shlex.quote(str(path))} 'PRAGMA integrity_check' - and restore the last backup "
            "if it finds anything.",
            f"The disk failed under the database file {name} ({text}). Ask the operator of this server to "
            "run PRAGMA integrity_check, and to restore the last backup if it finds anything.",
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return StorageError(
            f"The database file {path} can't be opened ({text}). Check that its folder exists, who owns both, and that "
            "the volume is mounted.",
            f"The database file {name} can't be opened ({text}). Contact the operator of this server.",
        )
    return StorageError(
        f"The database {path} can't be used now ({text}). Nothing was changed.",
        f"The database can't be written now ({text}). Nothing was changed. Send the request again.",
    )


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY
