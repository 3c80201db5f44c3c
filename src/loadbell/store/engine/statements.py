"""
SQL statements, compiled once for each dialect on first use.

Differences between the two databases are handled here, so that most statements are one text:

- ``LIST(:ids, text)`` is a list of values, after ``IN`` or as a table with the column ``value``: a JSON array on
  SQLite, an array on PostgreSQL.
- PostgreSQL's row locks (``FOR UPDATE …``) are left out on SQLite, where one transaction writes at a time.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

_SQLITE = SQLiteDialect(paramstyle="named")
_POSTGRESQL = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy left this constructor untyped

_LIST = r"LIST\(:([a-z_]+), ([a-z]+)\)"
_NAMED_LIST = re.compile(_LIST)
_IN_LIST = re.compile(f"IN {_LIST}")
_ROWS_OF_LIST = re.compile(f"{_LIST} AS ([a-z]+)")
_ROW_LOCK = re.compile(r" FOR (?:NO KEY UPDATE|UPDATE|KEY SHARE)(?: OF [a-z]+)?(?: SKIP LOCKED)?")


class Statement:
    """A statement for both databases: a SQLAlchemy one, one text for both, or one text for each.

    Named values are passed when it runs. With ``columns`` (name to type), ``run_many`` runs the PostgreSQL text once
    for all rows, with each column as the array ``:name``; SQLite runs its text once for each row.
    """

    def __init__(
        self,
        sqlite: sa.Executable | str,
        postgresql: sa.Executable | str | None = None,
        *,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        self._sqlite_source = sqlite
        self._postgresql_source = sqlite if postgresql is None else postgresql
        texts = [source for source in (sqlite, postgresql) if isinstance(source, str)]
        self._lists = {name for text in texts for name, _ in _NAMED_LIST.findall(text)}
        self._columns = columns
        self._sqlite: tuple[str, dict[str, Any]] | None = None
        self._postgresql: tuple[str, tuple[str, ...], dict[str, Any]] | None = None

    def for_sqlite(self, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Returns the SQL with named placeholders, and the values to bind."""
        if self._sqlite is None:
            compiled = _executable(self._sqlite_source, _for_sqlite).compile(dialect=_SQLITE)
            self._sqlite = (str(compiled), dict(compiled.params))
        sql, bound = self._sqlite
        bound = {**bound, **values}
        for name in self._lists:
            bound[name] = msgspec.json.encode(list(bound[name])).decode()
        return sql, bound

    def for_postgresql(self, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """Returns the SQL with numbered placeholders, and the values to bind in their order."""
        if self._postgresql is None:
            compiled = _executable(self._postgresql_source, _for_postgresql).compile(dialect=_POSTGRESQL)
            self._postgresql = (str(compiled), tuple(compiled.positiontup or ()), dict(compiled.params))
        sql, names, bound = self._postgresql
        given = [values[name] if name in values else bound[name] for name in names]
        return sql, [list(value) if name in self._lists else value for name, value in zip(names, given, strict=True)]

    def as_arrays(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]] | None:
        """Returns ``rows`` as one array per column; None if the statement runs once for each row."""
        if self._columns is None:
            return None
        return {name: [row[name] for row in rows] for name in self._columns}


def unnest(columns: Mapping[str, str]) -> str:
    """Returns the PostgreSQL table expression ``u`` for the arrays of a statement with these ``columns``."""
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
    return f"unnest({arrays}) AS u({', '.join(columns)})"


def insert_into(table: sa.Table, *columns: str, **fixed: Any) -> sa.Insert:
    """Returns an INSERT of one row: ``columns`` are passed when it runs, by name; ``fixed`` values never change."""
    return sa.insert(table).values({**{column: sa.bindparam(column) for column in columns}, **fixed})


def delete_some(table: str, rows: str) -> tuple[str, str]:
    """Returns a DELETE of the rows that ``rows`` (the text after SELECT …, with a LIMIT) finds, for each database.

    It deletes by row location: by a key of two columns or by a list, SQLite would scan the whole table.
    """
    return (
        f"DELETE FROM {table} WHERE rowid IN (SELECT {table}.rowid {rows})",
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT {table}.ctid {rows}))",
    )


def _executable(source: sa.Executable | str, adapt: Callable[[str], str]) -> Any:
    return sa.text(adapt(source)) if isinstance(source, str) else source


def _for_sqlite(text: str) -> str:
    text = _IN_LIST.sub(r"IN (SELECT value FROM json_each(:\1))", text)
    return _ROW_LOCK.sub("", _ROWS_OF_LIST.sub(r"json_each(:\1) AS \3", text))


def _for_postgresql(text: str) -> str:
    text = _IN_LIST.sub(r"= ANY(CAST(:\1 AS \2[]))", text)
    return _ROWS_OF_LIST.sub(r"unnest(CAST(:\1 AS \2[])) AS \3(value)", text)
