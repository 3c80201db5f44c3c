"""How many rows each transaction changes: nobody shall wait for one that changes very many."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from loadbell.store.engine.db import Database, Transaction, Work
from loadbell.store.engine.statements import Statement

P = ParamSpec("P")
T = TypeVar("T")


class Counting:
    """A database that notes how many rows each of its transactions changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changed: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As the database does."""
        count = 0

        async def counted(tx: Transaction) -> T:
            nonlocal count
            count = 0
            return await work(
                cast("Transaction", _Counted(tx, changed)), *args, **kwargs
            )  # what it lacks comes from the one it counts

        def changed(rows: int) -> None:
            nonlocal count
            count += rows

        result = await self._database.write(counted)
        self.changed.append(count)
        return result


class _Counted:
    def __init__(self, tx: Transaction, changed: Callable[[int], None]) -> None:
        self._tx = tx
        self._changed = changed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    async def run(self, statement: Statement, /, **values: Any) -> int:
        rows = await self._tx.run(statement, **values)
        self._changed(rows)
        return rows

    async def run_many(self, statement: Statement, rows: Any, /) -> None:
        await self._tx.run_many(statement, rows)
        self._changed(len(rows))
