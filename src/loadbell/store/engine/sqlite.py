"""SQLite: one writer thread with group commit, a few reader threads, one process."""

import asyncio
import fcntl
import os
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import structlog

from loadbell.domain.errors import Unavailable
from loadbell.domain.ids import Clock, Entropy, Micros
from loadbell.store.engine.db import Row, Transaction, Watcher, Work, system_clock
from loadbell.store.engine.problems import Unreachable, WrongState
from loadbell.store.engine.secrets import SecretBox
from loadbell.store.engine.sqlite_trouble import describe_storage_error, is_storage_error
from loadbell.store.engine.statements import Statement

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger()

_READERS = 2
_MAX_GROUP_SIZE = 512
_BUSY_SECONDS = 5.0
_LOG_EVERY_SECONDS = 10.0


class FileLock:
    """Makes this the only process on a database file: an flock on ``<real path>.lock``, not inherited.

    Raises:
        WrongState: another process holds it, or the folder can't be written.
    """

    def __init__(self, database: Path) -> None:
        self.path = Path(f"{os.path.realpath(database)}.lock")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise WrongState(
                f"The database folder {self.path.parent} can't be used: {error.strerror}. "
                "Check its owner and mode, or set LOADBELL_DATA_DIR."
            ) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise WrongState(
                f"Another loadbell process{f' (pid {holder})' if holder else ''} uses {database}. "
                "SQLite serves one process: stop that one first, or use PostgreSQL for several."
            ) from None
        with suppress(OSError):  # the number is only informative; on a full disk the lock holds without it
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(os.getpid()).encode("ascii"), 0)

    def release(self) -> None:
        """Releases the lock."""
        os.close(self._descriptor)


@dataclass
class _Job:
    work: Work[[], Any]
    future: asyncio.Future[Any]
    wakes: bool = False
    changed: Collection[int] = ()
    result: Any = None
    error: Exception | None = None


class _SqliteTransaction(Transaction):
    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection, box: SecretBox, now: Micros, entropy: Entropy) -> None:
        super().__init__(box, now, entropy)
        self._connection = connection

    async def all(self, statement: Statement, /, **values: Any) -> Sequence[Row]:
        sql, bound = statement.for_sqlite(values)
        return self._connection.execute(sql, bound).fetchall()

    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        sql, bound = statement.for_sqlite(values)
        rows: list[Row] = self._connection.execute(sql, bound).fetchall()
        return rows[0] if rows else None

    async def run(self, statement: Statement, /, **values: Any) -> int:
        sql, bound = statement.for_sqlite(values)
        return self._connection.execute(sql, bound).rowcount

    async def run_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]], /) -> None:
        if rows:
            sql, bound = statement.for_sqlite(rows[0])
            self._connection.executemany(sql, [{**bound, **row} for row in rows])


class SqliteDatabase:
    """The store in one file. Holds its :class:`FileLock`, if any, until closed."""

    dialect: Literal["sqlite"] = "sqlite"

    def __init__(self, path: Path, lock: FileLock | None, box: SecretBox) -> None:
        self._path = path
        self._lock = lock
        self._box = box
        self.clock: Clock = system_clock  #: tests set their own
        self.entropy: Entropy = os.urandom  #: as well
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._listeners: list[Callable[[], None]] = []
        self._watchers: list[Watcher] = []
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="sqlite-reader")
        self._read_connections: list[sqlite3.Connection] = []
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._logged: dict[str, float] = {}
        self._worker = secrets.randbelow(2**31 - 1) + 1
        connection = connect(path)
        self._writer = threading.Thread(target=self._write_loop, args=(connection,), name="sqlite-writer", daemon=True)
        self._writer.start()

    async def write(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise Unavailable("loadbell is stopping. Send the request again in a moment.")
        job = _Job(lambda tx: work(tx, *args, **kwargs), self._loop.create_future())
        self._jobs.put(job)
        result: T = await job.future
        return result

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise Unavailable("loadbell is stopping. Send the request again in a moment.")
        return await self._loop.run_in_executor(self._readers, self._read, lambda tx: work(tx, *args, **kwargs))

    def on_wake(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    async def watch_changes(self, watcher: Watcher) -> None:
        self._watchers.append(watcher)

    async def enlist_worker(self) -> int:
        """Returns a random number (a container's pid repeats); by the file lock, every other worker is dead."""
        return self._worker

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        await self._loop.run_in_executor(None, self._writer.join)
        self._readers.shutdown(wait=True)
        for connection in self._read_connections:
            connection.close()
        if self._lock is not None:
            self._lock.release()

    def _read(self, work: Work[[], T]) -> T:
        try:
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = _connect(self._path)
                connection.execute("PRAGMA query_only = ON")
                self._local.connection = connection
                self._read_connections.append(connection)
            connection.execute("BEGIN")
            try:
                return _drive(work(_SqliteTransaction(connection, self._box, self.clock(), self.entropy)))
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            if not is_storage_error(error):
                raise
            raise self._unavailable(error) from error

    def _write_loop(self, connection: sqlite3.Connection) -> None:
        closing = False
        while not closing:
            group: list[_Job] = []
            job = self._jobs.get()
            while job is not None:
                group.append(job)
                if len(group) == _MAX_GROUP_SIZE:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            closing = job is None
            if group:
                self._commit_group(connection, group)
                self._loop.call_soon_threadsafe(self._resolve, group)
        connection.close()

    def _commit_group(self, connection: sqlite3.Connection, group: list[_Job]) -> None:
        """Runs each unit behind its own savepoint and commits once; a lost transaction refuses the whole group."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._run_job(connection, job)
                if not connection.in_transaction:  # a full disk makes SQLite roll everything back by itself
                    raise job.error or sqlite3.OperationalError("the transaction was lost")  # noqa: TRY301 - one place handles a lost group
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing of the group was saved
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            refusal = self._unavailable(error)
            log.error("The database refused a commit", error=str(error), reports=len(group))
            for job in group:
                job.error = refusal
                job.wakes, job.changed = False, ()

    def _run_job(self, connection: sqlite3.Connection, job: _Job) -> None:
        transaction = _SqliteTransaction(connection, self._box, self.clock(), self.entropy)
        connection.execute("SAVEPOINT unit")
        try:
            job.result = _drive(job.work(transaction))
            job.wakes, job.changed = transaction.wakes, transaction.organizations
        except Exception as error:  # noqa: BLE001 - a unit's error is its caller's, never the writer's end
            job.error = self._unavailable(error) if is_storage_error(error) else error
            if connection.in_transaction:
                connection.execute("ROLLBACK TO unit")
        if connection.in_transaction:
            connection.execute("RELEASE unit")

    def _unavailable(self, error: Exception) -> Unavailable:
        """Returns the caller's error; logs the operator's version, at most once in 10 s."""
        if isinstance(error, Unavailable):
            return error
        trouble = describe_storage_error(self._path, error)
        now = time.monotonic()
        if now - self._logged.get(trouble.for_operator, -_LOG_EVERY_SECONDS) >= _LOG_EVERY_SECONDS:
            self._logged[trouble.for_operator] = now
            log.error(trouble.for_operator)
        return Unavailable(trouble.for_everybody, trouble.for_operator)

    def _resolve(self, group: list[_Job]) -> None:
        for job in group:
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if any(job.wakes for job in group):
            for listener in self._listeners:
                listener()
        if self._watchers:
            changed = frozenset(organization for job in group for organization in job.changed)
            for watcher in self._watchers if changed else ():
                watcher(changed)


def connect(path: Path) -> sqlite3.Connection:
    """Opens a connection in manual transaction mode: WAL, every commit on disk before it returns, foreign keys on.

    Raises:
        Unreachable: the file can't be opened or isn't a database.
    """
    try:
        return _connect(path)
    except sqlite3.Error as error:
        raise Unreachable(describe_storage_error(path, error).for_operator) from None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")
    return connection


def _drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a unit of work to its end in this thread."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a unit of work awaited something other than its transaction")
