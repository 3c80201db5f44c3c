"""
How a transaction is run, on either database.

A *unit of work* is a coroutine function that takes a :class:`Transaction` and awaits nothing else. On PostgreSQL it
runs in the event loop on an asyncpg connection. On SQLite it is driven to its end inside the one writer thread (or a
reader thread), where awaiting the transaction never suspends. So every store function and every use case is written
once, and no connection can be held while something else is awaited: on SQLite such a unit is refused at once.

A unit of work may be run again when the database asks for it (deadlock), so it changes nothing but the database.

SQLite's writer takes everything that is waiting into one ``BEGIN IMMEDIATE … COMMIT`` (group commit) with a savepoint
for each unit: one that fails rolls back alone, a failed COMMIT refuses all of its group. See
``docs/decisions/0002-store-and-dialects.md``.
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
    """One row of an answer, by column name."""

    def __getitem__(self, name: str, /) -> Any:
        """The value of the column ``name``."""
        ...


class Transaction(ABC):
    """What a unit of work may await. Nothing of it outlives the unit."""

    dialect: ClassVar[Dialect]
    """The database it runs on."""

    def __init__(self, box: SecretBox, now: Micros, entropy: Entropy) -> None:
        self.now = now  #: the present time: when this unit of work began, the same until it ends
        self.random = entropy  #: gives so many random bytes, good enough for secrets
        self.wakes = False
        self.organizations: set[int] = set()
        self._box = box

    @abstractmethod
    async def all(self, statement: Statement, /, **values: Any) -> Sequence[Row]:
        """Every row that ``statement`` gives."""

    @abstractmethod
    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        """The first row that ``statement`` gives, or None."""

    @abstractmethod
    async def run(self, statement: Statement, /, **values: Any) -> int:
        """Runs ``statement`` and gives the number of rows it changed."""

    @abstractmethod
    async def run_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]], /) -> None:
        """Runs ``statement`` once for each of ``rows``."""

    def new_uuid(self) -> UUID:
        """An id for something that happens now."""
        return new_uuid(self.now, self.random)

    def seal(self, clear: str) -> str:
        """``clear`` encrypted for keeping at rest."""
        return self._box.seal(clear)

    def unseal(self, sealed: str) -> str:
        """The clear text of what :meth:`seal` gave."""
        return self._box.unseal(sealed)

    def derive(self, purpose: str) -> bytes:
        """32 bytes that every process of this installation gets for ``purpose``, and nobody without its key."""
        return self._box.derive(purpose)

    def wake_workers(self) -> None:
        """Workers of every process look for due deliveries as soon as this transaction has committed."""
        self.wakes = True

    def changed(self, organization_id: int) -> None:
        """Whoever watches changes, in any process, is told of the organization once this transaction has committed."""
        self.organizations.add(organization_id)


Work = Callable[Concatenate[Transaction, P], Coroutine[Any, Any, T]]
Watcher = Callable[[frozenset[int] | None], None]
"""Is told which organizations have changed; None: any may have, for something may have been missed."""


class Database(Protocol):
    """A store that is open. Every method raises ``Unavailable`` when the database can't be reached or written."""

    @property
    def dialect(self) -> Dialect:
        """The database behind it."""
        ...

    @property
    def clock(self) -> Clock:
        """Tells the present time, to every unit of work and around them."""
        ...

    @property
    def entropy(self) -> Entropy:
        """Gives random bytes, to every unit of work and around them."""
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
        """From its return on, ``watcher`` is called in the event loop after each commit that changed organizations."""
        ...

    async def enlist_worker(self) -> int:
        """Makes this process's worker known as alive, until it ends in whatever way; gives its number."""
        ...

    async def close(self) -> None:
        """Finishes what was accepted, then lets go of the database."""
        ...


def system_clock() -> Micros:
    """The present instant by the system's clock."""
    return time.time_ns() // 1000


Opener = Callable[[], Awaitable[Database]]
