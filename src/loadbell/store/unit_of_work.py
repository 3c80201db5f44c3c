"""
The unit of work: what a use case is given.

A use case is ``async def verb(unit, …)``. It runs inside one transaction on behalf of somebody, and everything that it
depends on beside its own arguments is here: the rows, who asks, the present time, chance, and what the operator has
decided. Store functions, and use cases that nobody asks for (the watchdog's), take the transaction alone. See
``docs/decisions/0029-unit-of-work.md``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlsplit
from uuid import UUID

from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Principal, SignedIn, Visitor
from loadbell.domain.quotas import Quotas
from loadbell.outbound.addresses import AddressPolicy
from loadbell.store.engine.db import Transaction

PrincipalT = TypeVar("PrincipalT", Principal, SignedIn, Visitor)
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Installation:
    """What the operator's settings decide for use cases."""

    base_url: str  #: where people reach this server, without a slash at its end
    policy: AddressPolicy = field(default_factory=AddressPolicy)  #: where messages may go
    default_watchdog: Micros = 120 * SECOND
    quotas: Quotas = field(default_factory=Quotas)
    sends_mail: bool = False  #: the operator named a mail server

    @property
    def root(self) -> str:
        """The path under which people reach this server, before every path of ours: empty, or ``/loadbell``."""
        return urlsplit(self.base_url).path


@dataclass(frozen=True)
class UnitOfWork(Generic[PrincipalT]):
    """One transaction on behalf of ``principal``."""

    tx: Transaction
    principal: PrincipalT
    installation: Installation
    is_exclusive: bool = False  #: nobody else writes in the principal's organization until it ends

    @property
    def now(self) -> Micros:
        """The present time: when this unit of work began, the same until it ends."""
        return self.tx.now

    def random(self, length: int, /) -> bytes:
        """So many random bytes, good enough for secrets."""
        return self.tx.random(length)

    def on_behalf_of(self, principal: Principal, *, is_exclusive: bool = False) -> "UnitOfWork[Principal]":
        """The same transaction for somebody else, such as a person as the member of one organization."""
        return UnitOfWork(self.tx, principal, self.installation, is_exclusive)

    def new_uuid(self) -> UUID:
        """An id for something that happens now."""
        return self.tx.new_uuid()


def exclusive(use_case: F) -> F:
    """Marks a use case before which the whole organization is locked: it changes what others decide by (rights, rooms).

    Every other use case that writes locks the organization together with the others. What calls an exclusive use case
    is marked itself, else the call fails: that is a mistake in our code, found by the first test of it.
    """

    @wraps(use_case)
    async def guarded(unit: UnitOfWork[Any], *arguments: Any, **named: Any) -> Any:
        if not unit.is_exclusive:
            raise RuntimeError(f"{use_case.__qualname__} is exclusive; mark what calls it as exclusive, too")
        return await use_case(unit, *arguments, **named)

    guarded.is_exclusive = True  # type: ignore[attr-defined]  # functions take attributes; their type says nothing of it
    return cast(F, guarded)


def is_exclusive(use_case: Callable[..., Any]) -> bool:
    """Whether ``use_case`` is marked as :func:`exclusive`."""
    return getattr(use_case, "is_exclusive", False)
