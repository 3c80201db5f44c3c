"""
The unit of work: what a use case is given.

A use case is ``async def verb(unit, …)``. It runs inside one transaction on behalf of somebody, and everything that it
depends on beside its own arguments is here: the rows, who asks, the present time, chance, and what the operator has
decided. Store functions, and use cases that nobody asks for (the watchdog's), take the transaction alone. See
``docs/decisions/0029-unit-of-work.md``.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Principal, SignedIn, Visitor
from loadbell.domain.quotas import Quotas
from loadbell.outbound.addresses import AddressPolicy
from loadbell.store.db import Transaction

Who = TypeVar("Who", Principal, SignedIn, Visitor)


@dataclass(frozen=True)
class Installation:
    """What the operator's settings decide for use cases."""

    base_url: str  #: where people reach this server, without a slash at its end
    policy: AddressPolicy = field(default_factory=AddressPolicy)  #: where messages may go
    default_watchdog: Micros = 120 * SECOND
    quotas: Quotas = field(default_factory=Quotas)
    sends_mail: bool = False  #: the operator named a mail server


@dataclass(frozen=True)
class UnitOfWork(Generic[Who]):
    """One transaction on behalf of ``principal``."""

    tx: Transaction
    principal: Who
    installation: Installation

    @property
    def now(self) -> Micros:
        """The present time: when this unit of work began, the same until it ends."""
        return self.tx.now

    def random(self, length: int, /) -> bytes:
        """So many random bytes, good enough for secrets."""
        return self.tx.random(length)

    def new_uuid(self) -> UUID:
        """An id for something that happens now."""
        return self.tx.new_uuid()
