"""Reading the audit log."""

from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Action, Principal, SignedIn
from loadbell.store import audit as store
from loadbell.store.audit import Entry, Filters
from loadbell.store.unit_of_work import UnitOfWork


async def list_entries(  # noqa: PLR0913 - one argument for each filter
    unit: UnitOfWork[Principal],
    organization_id: int,
    *,
    user_id: int | None = None,
    action: str | None = None,
    since: Micros | None = None,
    until: Micros | None = None,
    before: int | None,
    limit: int,
) -> tuple[list[Entry], int | None]:
    """Returns up to ``limit`` matching entries of the organization, newest first, and the id for the next call.

    ``since`` is included, ``until`` is not. There may be fewer, even none, before the end: a call checks
    ``store.audit.LOOKED_AT`` entries at most.

    Raises:
        NotFound: the organization isn't the caller's.
        Forbidden: the caller may not read its log.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.READ_AUDIT)
    filters = Filters(user_id, action, since, until)
    return await store.list_entries(unit.tx, organization_id, filters, before=before, limit=limit)


async def list_account_entries(
    unit: UnitOfWork[SignedIn], *, before: int | None, limit: int
) -> tuple[list[Entry], int | None]:
    """As :func:`list_entries`, for the user's own account: sign-ins, passwords, sessions."""
    return await store.list_account_entries(unit.tx, unit.principal.user_id, before=before, limit=limit)
