"""Opens the store that the settings name: lock, keys, schema, connection, in this order."""

import asyncio
from pathlib import Path

from loadbell.settings import Settings
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.engine.facts import claim_fact
from loadbell.store.engine.migrate import check_postgresql, check_sqlite, upgrade_postgresql, upgrade_sqlite
from loadbell.store.engine.postgresql import PostgresDatabase
from loadbell.store.engine.problems import WrongState
from loadbell.store.engine.secrets import SecretBox, key_in_file
from loadbell.store.engine.sqlite import FileLock, SqliteDatabase
from loadbell.store.engine.sqlite_files import check_files, has_key, start_fresh

KEY_FILE = "secret.key"


async def open_database(settings: Settings, *, new: bool = False) -> Database:
    """Opens the store. Creates and migrates SQLite if needed; PostgreSQL must have been migrated.

    ``new``: starts a new installation where one on SQLite has lost its database.

    Raises:
        Unreachable: the database doesn't respond or can't be opened.
        WrongState: another process uses the SQLite file, the schema is another version's, the key is a different one,
            or a database that existed before is missing or empty.
    """
    if settings.sqlite_path is not None:
        database, box = await _open_sqlite(settings, new=new)
    elif new:
        raise WrongState(
            "--new is only for SQLite. On PostgreSQL, start a new installation with a new, empty database."
        )
    else:
        database, box = await _open_postgresql(settings)
    return await _require_key(database, box)


async def open_existing(settings: Settings) -> Database:
    """Opens the store for one short operator command, even while ``serve`` runs on the same SQLite file.

    It doesn't take the file lock, which only keeps a second *server* away: two would lease each other's deliveries.
    Writing is safe without it: SQLite lets one connection write at a time, and the others wait up to 5 s. Only the
    holder of the lock may migrate the file.

    Raises like :func:`open_database`, and ``WrongState`` if there is no database yet.
    """
    path = settings.sqlite_path
    if path is None:
        return await _require_key(*await _open_postgresql(settings))
    check_files(path, settings.data_dir / KEY_FILE)
    if not path.exists():
        raise WrongState(f"There is no database {path} yet. Run: loadbell setup")
    await asyncio.to_thread(check_sqlite, path)
    box = await _sqlite_box(settings, path)
    return await _require_key(SqliteDatabase(path, None, box), box)


async def migrate(settings: Settings) -> None:
    """Migrates the database that the settings name to this version's schema. Raises like :func:`open_database`."""
    path = settings.sqlite_path
    if path is None:
        await upgrade_postgresql(settings.database_url)
        return
    lock = FileLock(path)
    try:
        check_files(path, settings.data_dir / KEY_FILE)
        path.touch(mode=0o600)
        await asyncio.to_thread(upgrade_sqlite, path)
    finally:
        lock.release()


async def _open_sqlite(settings: Settings, *, new: bool) -> tuple[Database, SecretBox]:
    path = settings.sqlite_path
    assert path is not None
    lock = FileLock(path)
    try:
        if new:
            start_fresh(path, settings.data_dir / KEY_FILE)
        check_files(path, settings.data_dir / KEY_FILE)
        if settings.secret_key:
            SecretBox(settings.secret_key)  # a bad key must not leave a database behind
        _make_private(path)
        await asyncio.to_thread(upgrade_sqlite, path)
        box = await _sqlite_box(settings, path)
        return SqliteDatabase(path, lock, box), box
    except BaseException:
        lock.release()
        raise


def _make_private(path: Path) -> None:
    """Creates the file if needed, readable by its owner alone: the log shows who was notified of what."""
    if path.is_dir():
        return  # opening it reports the error
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise WrongState(
            f"The database {path} can't be written: {error.strerror}. Check its owner, its mode and its folder."
        ) from None


async def _sqlite_box(settings: Settings, path: Path) -> SecretBox:
    """Returns the keys, creating one if this database never had any."""
    if settings.secret_key:
        return SecretBox(settings.secret_key)
    key_file = settings.data_dir / KEY_FILE
    if not key_file.exists() and await asyncio.to_thread(has_key, path):
        raise WrongState(
            f"The secret key file {key_file} is missing, and the database {path} was set up with it: another key can't "
            "open its secrets. Put it back from your backup, or set LOADBELL_SECRET_KEY to the key that was in it."
        )
    return SecretBox([key_in_file(key_file)])


async def _open_postgresql(settings: Settings) -> tuple[Database, SecretBox]:
    if not settings.secret_key:
        raise WrongState(
            "LOADBELL_SECRET_KEY: required with PostgreSQL, the same on every machine. Create one with: "
            "python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
        )
    box = SecretBox(settings.secret_key)
    await check_postgresql(settings.database_url)
    return await PostgresDatabase.connect(settings.database_url, box), box


async def _require_key(database: Database, box: SecretBox) -> Database:
    try:
        await _check_key(database, box)
    except BaseException:
        await database.close()
        raise
    return database


async def _check_key(database: Database, box: SecretBox) -> None:
    async def claim(tx: Transaction) -> str:
        return await claim_fact(tx, "secret_key", box.fingerprints[0])

    if await database.write(claim) not in box.fingerprints:
        raise WrongState(
            "LOADBELL_SECRET_KEY: this database was set up with another key, so its secrets can't be decrypted. "
            "Use that key. To change it, put the new key first and keep the old one after a comma."
        )
