"""
How a transaction runs, on either database. See ``docs/decisions/0002-store-and-dialects.md``.

A *unit of work* is a coroutine function that takes a :class:`Transaction` and awaits nothing else. On PostgreSQL it
runs in the event loop on an asyncpg connection. On SQLite it runs to its end in the one writer thread (or a reader
thread), where awaiting the transaction never suspends. So store functions and use cases are written once, and no
connection is held while something else is awaited: SQLite refuses such a unit at once.

A unit of work may run again after a deadlock, so it changes nothing but the database.

SQLite's writer puts everything that is waiting into one ``BEGIN IMMEDIATE … COMMIT`` (group commit) with a savepoint
for each unit: a failed unit rolls back alone, a failed COMMIT refuses the whole group.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, Concatenate, Literal, ParamSpec, Protocol, TypeVar
from uuid import UUID

from loadbell.domain.ids import Clock, Entropy, Micros, new_uuid
from loadbell.store.engine.secrets import SecretBox
from loadbell.store.engine.statements import Statement

Dialect = Literal["sqlite", "postgresql"]
P = ParamSpec("P")
T = TypeVar("T")


class Row(Protocol):
    """One row of a result, by column name."""

    def __getitem__(self, name: str, /) -> Any:
        """Returns the value of the column ``name``."""
        ...


class Transaction(ABC):
    """The only thing that a unit of work may await. It isn't used after the unit ends."""

    dialect: ClassVar[Dialect]

    def __init__(self, box: SecretBox, now: Micros, entropy: Entropy) -> None:
        self.now = now  #: when this unit of work began; the same until it ends
        self.random = entropy  #: returns that many random bytes, good enough for secrets
        self.wakes = False
        self.organizations: set[int] = set()
        self._box = box

    @abstractmethod
    async def all(self, statement: Statement, /, **values: Any) -> Sequence[Row]:
        """Returns every row of ``statement``."""

    @abstractmethod
    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        """Returns the first row of ``statement``, or None."""

    @abstractmethod
    async def run(self, statement: Statement, /, **values: Any) -> int:
        """Runs ``statement`` and returns the number of rows it changed."""

    @abstractmethod
    async def run_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]], /) -> None:
        """Runs ``statement`` once for each of ``rows``."""

    def new_uuid(self) -> UUID:
        """Returns an id for something that happens now."""
        return new_uuid(self.now, self.random)

    def seal(self, clear: str) -> str:
        """Returns ``clear`` encrypted for storage."""
        return self._box.seal(clear)

    def unseal(self, sealed: str) -> str:
        """Decrypts what :meth:`seal` returned."""
        return self._box.unseal(sealed)

    def derive(self, purpose: str) -> bytes:
        """Derives 32 bytes for ``purpose``: the same in every process of this installation, secret without its key."""
        return self._box.derive(purpose)

    def wake_workers(self) -> None:
        """Makes the workers of every process look for due deliveries once this transaction has committed."""
        self.wakes = True

    def changed(self, organization_id: int) -> None:
        """Reports the organization as changed to the watchers of every process, once this transaction has committed."""
        self.organizations.add(organization_id)


Work = Callable[Concatenate[Transaction, P], Coroutine[Any, Any, T]]
Watcher = Callable[[frozenset[int] | None], None]
"""Called with the organizations that changed; None: notifications may have been missed, so any may have changed."""


class Database(Protocol):
    """An open store. Every method raises ``Unavailable`` when the database can't be reached or written."""

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        ...

    @property
    def clock(self) -> Clock:
        """Returns the current time, inside units of work and outside."""
        ...

    @property
    def entropy(self) -> Entropy:
        """Returns random bytes, inside units of work and outside."""
        ...

    async def write(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs ``work(tx, *args, **kwargs)`` in a transaction; returns once it has been committed durably."""
        ...

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs ``work(tx, *args, **kwargs)``, which changes nothing, on one consistent snapshot."""
        ...

    def on_wake(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` in the event loop whenever a transaction that woke the workers has committed."""
        ...

    async def watch_changes(self, watcher: Watcher) -> None:
        """Calls ``watcher`` in the event loop after each commit that changed organizations, once this has returned."""
        ...

    async def enlist_worker(self) -> int:
        """Registers this process's worker as alive until the process ends, however it ends; returns its number."""
        ...

    async def close(self) -> None:
        """Finishes the accepted work, then closes the database."""
        ...


def system_clock() -> Micros:
    """Returns the current time of the system clock."""
    return time.time_ns() // 1000


Opener = Callable[[], Awaitable[Database]]
