"""
Migrates a database to this version's schema: Alembic's revisions, run by SQLAlchemy's engines.

SQLite is migrated when it is opened; PostgreSQL only by ``loadbell migrate``, because other machines may still run the
old version. The functions raise ``Unreachable`` if the database can't be opened, or if the server doesn't respond or
refuses us, and ``WrongState``, which says what to do, if the schema can't be used.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from loadbell.store.engine.connecting import connect, unreachable_error
from loadbell.store.engine.problems import Unreachable, WrongState
from loadbell.store.engine.sqlite_trouble import describe_storage_error

_MIGRATION_LOCK = 0x10AD_BE12


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _upgrade(connection: sa.Connection) -> None:
    config = _config()
    _refuse_newer(connection)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(connection: sa.Connection) -> None:
    revision = _revision(connection)
    items = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in items:
        raise WrongState(
            f"The database has schema {revision}, which this version doesn't know. "
            "A newer loadbell migrated it. Install that version."
        )


def _require_head(connection: sa.Connection, remedy: str) -> None:
    _refuse_newer(connection)
    head = ScriptDirectory.from_config(_config()).get_current_head()
    revision = _revision(connection)
    if revision != head:
        text = f"has schema {revision}" if revision else "is empty"
        raise WrongState(f"The database {text}, and this version needs {head}. {remedy}")


def upgrade_sqlite(path: Path) -> None:
    """Migrates the database file to this version's schema, creating it if needed; leaves no connection open.

    Raises:
        WrongState: a newer version has migrated it, or the migration failed; the file is unchanged.
    """
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(path, isolation_level=None))
    # Python's own transaction handling would commit the tables one by one.
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            _upgrade(connection)
    except sa.exc.DBAPIError as error:
        trouble = describe_storage_error(path, _original(error))
        raise WrongState(f"The migration failed; the database is unchanged. {trouble.for_operator}") from None
    finally:
        engine.dispose()


def check_sqlite(path: Path) -> None:
    """Checks that the database file has this version's schema, neither older nor newer."""
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(path))
    try:
        with engine.connect() as connection:
            _require_head(connection, "Start loadbell serve of this version once: it migrates the file.")
    except sa.exc.DBAPIError as error:
        raise Unreachable(describe_storage_error(path, _original(error)).for_operator) from None
    finally:
        engine.dispose()


async def upgrade_postgresql(url: str) -> None:
    """Migrates the database to this version's schema, but not from a newer one; concurrent migrations wait."""

    def upgrade(connection: sa.Connection) -> None:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        _upgrade(connection)

    await _on_postgresql(url, upgrade)


async def check_postgresql(url: str) -> None:
    """Checks that the database has this version's schema, neither older nor newer."""
    await _on_postgresql(url, lambda connection: _require_head(connection, "Run: loadbell migrate"))


async def _on_postgresql(url: str, work: Callable[[sa.Connection], None]) -> None:
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(url), poolclass=sa.NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(work)
    except (OSError, TimeoutError, sa.exc.DBAPIError) as error:
        raise unreachable_error(url, _original(error)) from None
    finally:
        await engine.dispose()


def _original(error: Exception) -> Exception:
    original: Any = getattr(error, "orig", None)
    return original if isinstance(original, Exception) else error
