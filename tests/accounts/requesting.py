"""Use cases as a context calls them: by a token, in one transaction that holds the organization."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from loadbell.accounts.authentication import Lock, authenticate
from loadbell.domain.orgs import Principal, Scope
from loadbell.domain.runs import Trigger
from loadbell.store.engine.db import Transaction
from tests.support.stores import Site
from tests.support.tokens import given_token

T = TypeVar("T")


async def authorize(site: Site, who: Principal, *, project_id: int | None = None) -> str:
    """A manage token of this person."""
    return await site.do(
        given_token,
        organization_id=who.organization_id,
        user_id=who.user_id,
        name="t",
        scope=Scope.MANAGE,
        trigger=Trigger.UNKNOWN,
        expires_at=None,
        project_id=project_id,
    )


async def send(
    site: Site, token: str, use_case: Callable[..., Coroutine[Any, Any, T]], *args: Any, lock: Lock, **given: Any
) -> T:
    """What the use case gives to the bearer of ``token``."""

    async def work(tx: Transaction) -> T:
        principal = await authenticate(tx, token, lock=lock)
        return await site.call(use_case, tx, principal, *args, **given)

    return await site.database.write(work)
