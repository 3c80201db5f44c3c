"""SQL statements, built once and compiled once for each dialect on first use."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

_SQLITE = SQLiteDialect(paramstyle="named")
_POSTGRESQL = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy left this constructor untyped


class Statement:
    """A statement for both databases: one that SQLAlchemy renders for each, or a text of its own for either.

    Values that are written into the statement are bound to it; the named ones are given when it is run.
    """

    def __init__(self, sqlite: sa.Executable | str, postgresql: sa.Executable | str | None = None) -> None:
        self._sqlite_source = sqlite
        self._postgresql_source = sqlite if postgresql is None else postgresql
        self._sqlite: tuple[str, dict[str, Any]] | None = None
        self._postgresql: tuple[str, tuple[str, ...], dict[str, Any]] | None = None

    def for_sqlite(self, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The SQL with named placeholders, and the values to bind."""
        if self._sqlite is None:
            compiled = _executable(self._sqlite_source).compile(dialect=_SQLITE)
            self._sqlite = (str(compiled), dict(compiled.params))
        sql, bound = self._sqlite
        return sql, {**bound, **values}

    def for_postgresql(self, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The SQL with numbered placeholders, and the values to bind in their order."""
        if self._postgresql is None:
            compiled = _executable(self._postgresql_source).compile(dialect=_POSTGRESQL)
            self._postgresql = (str(compiled), tuple(compiled.positiontup or ()), dict(compiled.params))
        sql, names, bound = self._postgresql
        return sql, [values[name] if name in values else bound[name] for name in names]


def insert_into(table: sa.Table, *columns: str, **fixed: Any) -> sa.Insert:
    """An INSERT of one row: ``columns`` are given when it is run, under their own names; ``fixed`` are always these."""
    return sa.insert(table).values({**{column: sa.bindparam(column) for column in columns}, **fixed})


def delete_some(table: str, rows: str) -> tuple[str, str]:
    """A DELETE of what ``rows`` finds (what stands behind SELECT …, with a LIMIT), for either database.

    By the place of each row: by a key of two columns, or by many, SQLite would go through the whole table.
    """
    return (
        f"DELETE FROM {table} WHERE rowid IN (SELECT {table}.rowid {rows})",  # noqa: S608 - texts of the store's own
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT {table}.ctid {rows}))",  # noqa: S608 - as above
    )


def _executable(source: sa.Executable | str) -> Any:
    return sa.text(source) if isinstance(source, str) else source
