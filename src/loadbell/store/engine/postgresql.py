"""
PostgreSQL through asyncpg: a pool for transactions, and two sessions that listen.

One session proves that this process's worker is alive and listens for due deliveries; the other listens for changes.
"""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, ParamSpec, TypeVar

import asyncpg
import structlog

from loadbell.domain.errors import Unavailable
from loadbell.domain.ids import Clock, Entropy, Micros
from loadbell.store.engine.connecting import NO_CONNECTION, OUT_OF_REACH, arguments, connect, unreachable_error
from loadbell.store.engine.db import Row, Transaction, Watcher, Work, system_clock
from loadbell.store.engine.problems import Unreachable
from loadbell.store.engine.secrets import SecretBox
from loadbell.store.engine.statements import Statement

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger()

WORKER_LOCKS = 0x10AD_BE11
"""Class of the workers' advisory locks; the object is the worker's number. Held while the worker's session is open."""

_WAKE_CHANNEL = "loadbell_deliveries"
_CHANGES_CHANNEL = "loadbell_changes"
_MAX_PAYLOAD_SIZE = 7_999
"""PostgreSQL's limit for one NOTIFY, in bytes."""
_TRIES = 4
_RECONNECT_SECONDS = 0.5
_RUN_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class _PostgresTransaction(Transaction):
    dialect = "postgresql"

    def __init__(self, connection: Any, box: SecretBox, now: Micros, entropy: Entropy) -> None:
        super().__init__(box, now, entropy)
        self._connection = connection

    async def all(self, statement: Statement, /, **values: Any) -> Sequence[Row]:
        sql, bound = statement.for_postgresql(values)
        rows: list[Row] = await self._connection.fetch(sql, *bound)
        return rows

    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        sql, bound = statement.for_postgresql(values)
        row: Row | None = await self._connection.fetchrow(sql, *bound)
        return row

    async def run(self, statement: Statement, /, **values: Any) -> int:
        sql, bound = statement.for_postgresql(values)
        tag: str = await self._connection.execute(sql, *bound)
        count = tag.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def run_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]], /) -> None:
        if not rows:
            return
        arrays = statement.as_arrays(rows)
        if arrays is not None:
            await self.run(statement, **arrays)
        else:
            sql, _ = statement.for_postgresql(rows[0])
            await self._connection.executemany(sql, [statement.for_postgresql(row)[1] for row in rows])

    async def notify(self) -> None:
        """Queues this transaction's notifications, which the commit sends to other sessions, in one round trip."""
        told = []
        if self.wakes:
            told.append((_WAKE_CHANNEL, ""))
        if self.organizations:
            text = ",".join(map(str, sorted(self.organizations)))
            told.append((_CHANGES_CHANNEL, text if len(text) <= _MAX_PAYLOAD_SIZE else ""))
        if told:
            calls = ", ".join(f"pg_notify(${at}, ${at + 1})" for at in range(1, 2 * len(told), 2))
            await self._connection.fetchrow(f"SELECT {calls}", *(part for pair in told for part in pair))


class PostgresDatabase:
    """The store on a PostgreSQL server, shared by any number of processes."""

    dialect: Literal["postgresql"] = "postgresql"

    def __init__(self, url: str, pool: Any, box: SecretBox) -> None:
        self._url = url
        self._pool = pool
        self._box = box
        self.clock: Clock = system_clock  #: tests set their own
        self.entropy: Entropy = os.urandom  #: as well
        self._listeners: list[Callable[[], None]] = []
        self._watchers: list[Watcher] = []
        self._sessions: list[asyncio.Task[None]] = []
        self._worker = secrets.randbelow(2**31 - 1) + 1
        self._enlisted: asyncio.Event | None = None
        self._watching: asyncio.Event | None = None

    @classmethod
    async def connect(cls, url: str, box: SecretBox) -> "PostgresDatabase":
        """Connects to the server that ``url`` names.

        Raises:
            Unreachable: it doesn't respond or refuses us; the message never shows the password.
        """
        try:
            pool = await asyncpg.create_pool(**arguments(url), min_size=1, max_size=10, command_timeout=60)
        except NO_CONNECTION as error:
            raise unreachable_error(url, error) from None
        return cls(url, pool, box)

    async def write(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._transact(lambda tx: work(tx, *args, **kwargs), isolation="read_committed", readonly=False)

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._transact(lambda tx: work(tx, *args, **kwargs), isolation="repeatable_read", readonly=True)

    def on_wake(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    async def enlist_worker(self) -> int:
        """Locks the worker's number in its own session; while that is lost, other workers take over its leases."""
        if self._enlisted is None:
            self._enlisted = self._keep_session(self._prove_life)
        await self._enlisted.wait()
        return self._worker

    async def watch_changes(self, watcher: Watcher) -> None:
        """Listens in its own session. After a lost session, ``watcher`` gets None: anything may have changed."""
        self._watchers.append(watcher)
        if self._watching is None:
            self._watching = self._keep_session(self._listen_for_changes)
        await self._watching.wait()

    async def close(self) -> None:
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        with suppress(*OUT_OF_REACH):
            await asyncio.wait_for(self._pool.close(), 5)
        self._pool.terminate()

    async def _transact(self, work: Work[[], T], *, isolation: str, readonly: bool) -> T:
        for remaining in reversed(range(_TRIES)):
            try:
                async with (
                    self._pool.acquire(timeout=10) as connection,
                    connection.transaction(isolation=isolation, readonly=readonly),
                ):
                    transaction = _PostgresTransaction(connection, self._box, self.clock(), self.entropy)
                    result = await work(transaction)
                    await transaction.notify()
                    return result
            except _RUN_AGAIN as error:
                if not remaining:
                    raise Unavailable("The database is too busy. Send the request again.") from error
            except OUT_OF_REACH as error:
                raise Unavailable("The database can't be reached. Send the request again.") from error
        raise AssertionError("unreachable: the last try returns or raises")

    def _keep_session(self, begin: Callable[[Any], Awaitable[None]]) -> asyncio.Event:
        """Keeps a session open, running ``begin`` after each connect; the event is set once it is connected."""
        ready = asyncio.Event()
        self._sessions.append(asyncio.create_task(self._session(begin, ready), name="postgresql-session"))
        return ready

    async def _session(self, begin: Callable[[Any], Awaitable[None]], ready: asyncio.Event) -> None:
        while True:
            try:
                connection = await connect(self._url)
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                try:
                    await begin(connection)
                    ready.set()
                    while True:
                        with suppress(TimeoutError):
                            await asyncio.wait_for(lost.wait(), 5)
                        await connection.execute("SELECT 1", timeout=10)
                finally:
                    await self._drop(connection)
            except (*OUT_OF_REACH, asyncpg.PostgresError, Unreachable) as error:
                log.warning("The database session was lost; reconnecting", error=type(error).__name__)
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _prove_life(self, connection: Any) -> None:
        await connection.execute("SELECT pg_advisory_lock($1, $2)", WORKER_LOCKS, self._worker)
        await connection.add_listener(_WAKE_CHANNEL, self._wake)
        self._wake()

    async def _listen_for_changes(self, connection: Any) -> None:
        await connection.add_listener(_CHANGES_CHANNEL, self._hear)
        self._notify_watchers(None)

    @staticmethod
    async def _drop(connection: Any) -> None:
        with suppress(*OUT_OF_REACH, asyncpg.PostgresError):
            await connection.close(timeout=2)

    def _wake(self, *_: Any) -> None:
        for listener in self._listeners:
            listener()

    def _hear(self, _connection: Any, _process: int, _channel: str, payload: object) -> None:
        self._notify_watchers(frozenset(map(int, str(payload).split(","))) if payload else None)

    def _notify_watchers(self, changed: frozenset[int] | None) -> None:
        for watcher in self._watchers:
            watcher(changed)
