"""Quotas of organizations, counted under a lock, so that two concurrent requests can't both take the last place."""

from loadbell.domain.errors import Conflict
from loadbell.domain.quotas import QuotaName, organization_quota_error, quota_error
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement
from loadbell.store.users import lock_user

# NO KEY: run reports, whose rows refer to the organization, don't wait for this lock.
_LOCK = Statement("SELECT id FROM organizations WHERE id = :organization_id FOR NO KEY UPDATE")
_OF = "SELECT count(*) AS count FROM {} WHERE organization_id = :organization_id"
_OPEN_INVITATIONS = _OF.format("invitations") + " AND expires_at > :now"
_COUNTS: dict[QuotaName, Statement] = {
    "channels": Statement(_OF.format("channels")),
    "projects": Statement(_OF.format("projects") + " AND deleted_at IS NULL"),
    "tokens": Statement(_OF.format("tokens")),
    "invitations": Statement(_OPEN_INVITATIONS),
    "members": Statement(f"SELECT ({_OF.format('members')}) + ({_OPEN_INVITATIONS}) AS count"),
}
_OWNED = Statement("SELECT count(*) AS count FROM members WHERE user_id = :user_id AND role = 'owner'")
_NEEDS_NOW = {"invitations", "members"}


async def require_quota(tx: Transaction, organization_id: int, name: QuotaName, most: int) -> None:
    """Checks that the organization may have one more; nobody else adds to it until this transaction ends.

    Raises:
        Conflict: it has as many as this server allows; says which, how many, and who can raise the limit.
    """
    await tx.all(_LOCK, organization_id=organization_id)
    values = {"now": tx.now} if name in _NEEDS_NOW else {}
    row = await tx.first(_COUNTS[name], organization_id=organization_id, **values)
    assert row is not None
    if row["count"] >= most:
        raise Conflict(quota_error(name, most))


async def require_organization_quota(tx: Transaction, user_id: int, most: int) -> None:
    """Checks that the user may own one more organization; locks the user until this transaction ends.

    Raises:
        Conflict: the user owns as many as this server allows.
    """
    await lock_user(tx, user_id)
    row = await tx.first(_OWNED, user_id=user_id)
    assert row is not None
    if row["count"] >= most:
        raise Conflict(organization_quota_error(most))
