"""
The unit of work: the context of a use case. See ``docs/decisions/0029-unit-of-work.md``.

A use case is ``async def verb(unit, …)``. It runs in one transaction on behalf of somebody. The unit has everything
that it depends on besides its arguments: the rows, the caller, the time, randomness and the operator's settings. Store
functions, and use cases without a caller (the watchdog's), take only the transaction.
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
    """The operator's settings that use cases need."""

    base_url: str  #: this server's public URL, without a trailing slash
    policy: AddressPolicy = field(default_factory=AddressPolicy)  #: where messages may go
    default_watchdog: Micros = 120 * SECOND
    quotas: Quotas = field(default_factory=Quotas)
    sends_mail: bool = False  #: a mail server is configured

    @property
    def root(self) -> str:
        """The path of the public URL, before every path of ours: empty, or for example ``/loadbell``."""
        return urlsplit(self.base_url).path


@dataclass(frozen=True)
class UnitOfWork(Generic[PrincipalT]):
    """One transaction on behalf of ``principal``."""

    tx: Transaction
    principal: PrincipalT
    installation: Installation
    is_exclusive: bool = False  #: nobody else writes in the principal's organization meanwhile

    @property
    def now(self) -> Micros:
        """When this unit of work began; the same until it ends."""
        return self.tx.now

    def random(self, length: int, /) -> bytes:
        """Returns ``length`` random bytes, good enough for secrets."""
        return self.tx.random(length)

    def on_behalf_of(self, principal: Principal, *, is_exclusive: bool = False) -> "UnitOfWork[Principal]":
        """Returns the same transaction for another principal, such as a user as a member of one organization."""
        return UnitOfWork(self.tx, principal, self.installation, is_exclusive)

    def new_uuid(self) -> UUID:
        """Returns an id for something that happens now."""
        return self.tx.new_uuid()


def exclusive(use_case: F) -> F:
    """Marks a use case that needs the whole organization locked: it changes what others rely on (rights, quotas).

    Other use cases that write share the lock. A caller of an exclusive use case must be marked, too, or the call raises
    ``RuntimeError``: a mistake in our code.
    """

    @wraps(use_case)
    async def guarded(unit: UnitOfWork[Any], *arguments: Any, **named: Any) -> Any:
        if not unit.is_exclusive:
            raise RuntimeError(f"{use_case.__qualname__} is exclusive; mark what calls it as exclusive, too")
        return await use_case(unit, *arguments, **named)

    guarded.is_exclusive = True  # type: ignore[attr-defined]  # functions take attributes; their type says nothing of it
    return cast(F, guarded)


def is_exclusive(use_case: Callable[..., Any]) -> bool:
    """Returns whether ``use_case`` is marked as :func:`exclusive`."""
    return getattr(use_case, "is_exclusive", False)
