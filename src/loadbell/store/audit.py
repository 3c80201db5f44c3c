"""The audit log: who changed what, when and from where. Append only.

An entry belongs to an organization, or only to a user's account. Its changes contain no secrets.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from loadbell.domain.ids import MAX_ID, Micros
from loadbell.domain.orgs import Principal
from loadbell.store.engine.db import Row, Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, insert_into
from loadbell.store.schema import audit_entries, users

_INSERT = Statement(
    insert_into(
        audit_entries, "organization_id", "user_id", "token_id", "action", "subject", "changes", "created_at", "address"
    )
)
_CONDITIONS = {
    "since": audit_entries.c.created_at >= sa.bindparam("since"),
    "until": audit_entries.c.created_at < sa.bindparam("until"),
    **{name: audit_entries.c[name] == sa.bindparam(name) for name in ("organization_id", "user_id", "action")},
}

MAX_SCANNED = 20_000


@dataclass(frozen=True)
class Entry:
    """One change. ``user_id`` None: loadbell itself or its operator made it."""

    id: int
    user_id: int | None
    email: str | None  #: the user's, even after leaving the organization
    token_id: int | None
    address: str | None
    action: str
    subject: str
    changes: dict[str, Any]
    created_at: Micros


@dataclass(frozen=True)
class Filters:
    """Filters of entries; None: all. ``since`` is inclusive, ``until`` exclusive."""

    user_id: int | None = None
    action: str | None = None
    since: Micros | None = None
    until: Micros | None = None


async def list_entries(
    tx: Transaction, organization_id: int, filters: Filters, *, before: int | None, limit: int
) -> tuple[list[Entry], int | None]:
    """Returns up to ``limit`` of the organization's matching entries, newest first, with ids below ``before``.

    Also returns the ``before`` of the next query; None at the end. One query scans at most ``MAX_SCANNED`` entries, so
    it may return fewer than ``limit``, even none, before the end.
    """
    values = _parameters(asdict(filters))
    return await _list_page(tx, {"organization_id": organization_id}, values, before=before, limit=limit)


async def list_account_entries(
    tx: Transaction, user_id: int, *, before: int | None, limit: int
) -> tuple[list[Entry], int | None]:
    """Like :func:`list_entries`, for entries about a user's account that belong to no organization.

    Includes the operator's changes to it: one query also scans at most ``MAX_SCANNED`` entries without a user.
    """
    start = MAX_ID if before is None else before
    own = await tx.first(_last_scanned_id("user_id"), user_id=user_id, before=start)
    nobodys = await tx.first(_LAST_OF_NOBODY, before=start)
    after = max((int(last["id"]) for last in (own, nobodys) if last is not None), default=0)
    rows = await tx.all(
        _ACCOUNT_PAGE, user_id=user_id, subject=_account(user_id), before=start, after=after, limit=limit + 1
    )
    return _trim(rows, limit, after)


async def list_full_log(
    tx: Transaction, organization_id: int | None, filters: Filters, *, before: int | None, limit: int
) -> list[tuple[int | None, Entry]]:
    """Returns up to ``limit`` entries with ids below ``before``, newest first. For the operator only.

    They are those of one organization, deleted or not; with None, of all organizations and accounts. Each comes with
    its organization's id; None for an account. A filter by user includes the operator's changes to the user's account.
    """
    values = _parameters({"organization_id": organization_id, **asdict(filters)})
    if filters.user_id is not None:
        values["subject"] = _account(filters.user_id)
    start = MAX_ID if before is None else before
    rows = await tx.all(_full_page(frozenset(values)), **values, before=start, limit=limit)
    return [(row["organization_id"], read_row(Entry, row)) for row in rows]


async def append_entry(
    tx: Transaction, principal: Principal, action: str, subject: str, changes: dict[str, Any]
) -> None:
    """Records that ``principal`` did ``action`` to ``subject``; ``changes`` must contain no secrets."""
    await _append(
        tx,
        action,
        subject,
        changes,
        organization_id=principal.organization_id,
        user_id=principal.user_id,
        token_id=principal.token_id,
        address=principal.address,
    )


async def append_system_entry(
    tx: Transaction, organization_id: int, action: str, subject: str, changes: dict[str, Any]
) -> None:
    """Records that loadbell itself did ``action`` to ``subject``, without a user or token."""
    await _append(tx, action, subject, changes, organization_id=organization_id)


async def append_account_entry(
    tx: Transaction, user_id: int, address: str | None, action: str, changes: dict[str, Any]
) -> None:
    """Records that a user did ``action`` to their own account, from ``address`` (None: on the server itself)."""
    await _append(tx, action, _account(user_id), changes, user_id=user_id, address=address)


async def append_operator_entry(tx: Transaction, user_id: int, action: str, changes: dict[str, Any]) -> None:
    """Records that the operator, on the server, did ``action`` to a user's account."""
    await _append(tx, action, _account(user_id), changes)


async def _append(  # noqa: PLR0913 - one argument for each column
    tx: Transaction,
    action: str,
    subject: str,
    changes: dict[str, Any],
    *,
    organization_id: int | None = None,
    user_id: int | None = None,
    token_id: int | None = None,
    address: str | None = None,
) -> None:
    if organization_id is not None:
        tx.changed(organization_id)
    await tx.run(
        _INSERT,
        organization_id=organization_id,
        user_id=user_id,
        token_id=token_id,
        action=action,
        subject=subject,
        changes=msgspec.json.encode(changes).decode(),
        created_at=tx.now,
        address=address,
    )


async def _list_page(
    tx: Transaction, log: dict[str, int], values: dict[str, Any], *, before: int | None, limit: int
) -> tuple[list[Entry], int | None]:
    (whose,) = log
    start = MAX_ID if before is None else before
    last = await tx.first(_last_scanned_id(whose), **log, before=start)
    after = 0 if last is None else int(last["id"])
    rows = await tx.all(_page(whose, frozenset(values)), **log, **values, before=start, after=after, limit=limit + 1)
    return _trim(rows, limit, after)


def _trim(rows: Sequence[Row], limit: int, after: int) -> tuple[list[Entry], int | None]:
    entries = [read_row(Entry, row) for row in rows]
    if len(entries) > limit:
        return entries[:limit], entries[limit - 1].id
    return entries, after or None


@cache
def _last_scanned_id(whose: str) -> Statement:
    """Returns the statement for the last id that one query scans, if there are more; it reads only an index."""
    return Statement(
        sa.select(audit_entries.c.id)
        .where(audit_entries.c[whose] == sa.bindparam(whose), audit_entries.c.id < sa.bindparam("before"))
        .order_by(audit_entries.c.id.desc())
        .limit(1)
        .offset(MAX_SCANNED - 1)
    )


@cache
def _page(whose: str, filters: frozenset[str]) -> Statement:
    return Statement(
        sa.select(audit_entries, users.c.email)
        .join(users, users.c.id == audit_entries.c.user_id, isouter=True)
        .where(
            audit_entries.c[whose] == sa.bindparam(whose),
            audit_entries.c.id < sa.bindparam("before"),
            audit_entries.c.id >= sa.bindparam("after"),
            *(_CONDITIONS[name] for name in sorted(filters)),
        )
        .order_by(audit_entries.c.id.desc())
        .limit(sa.bindparam("limit", type_=sa.Integer))
    )


@cache
def _full_page(filters: frozenset[str]) -> Statement:
    conditions = {name: _CONDITIONS[name] for name in sorted(filters - {"subject"})}
    if "subject" in filters:
        about = sa.and_(audit_entries.c.user_id.is_(None), audit_entries.c.subject == sa.bindparam("subject"))
        conditions["user_id"] = sa.or_(conditions["user_id"], about)
    return Statement(
        sa.select(audit_entries, users.c.email)
        .join(users, users.c.id == audit_entries.c.user_id, isouter=True)
        .where(audit_entries.c.id < sa.bindparam("before"), *conditions.values())
        .order_by(audit_entries.c.id.desc())
        .limit(sa.bindparam("limit", type_=sa.Integer))
    )


def _part_of_account(*conditions: sa.ColumnElement[bool]) -> sa.Subquery:
    """Returns the query for the newest account entries that meet ``conditions``; it uses the index on users."""
    return (
        sa.select(audit_entries)
        .where(
            *conditions,
            audit_entries.c.organization_id.is_(None),
            audit_entries.c.id < sa.bindparam("before"),
            audit_entries.c.id >= sa.bindparam("after"),
        )
        .order_by(audit_entries.c.id.desc())
        .limit(sa.bindparam("limit", type_=sa.Integer))
        .subquery()
    )


def _account_page() -> Statement:
    own = _part_of_account(audit_entries.c.user_id == sa.bindparam("user_id"))
    operators = _part_of_account(audit_entries.c.user_id.is_(None), audit_entries.c.subject == sa.bindparam("subject"))
    both = sa.union_all(sa.select(own), sa.select(operators)).subquery()
    return Statement(
        sa.select(both, users.c.email)
        .join(users, users.c.id == both.c.user_id, isouter=True)
        .order_by(both.c.id.desc())
        .limit(sa.bindparam("limit", type_=sa.Integer))
    )


_ACCOUNT_PAGE = _account_page()
_LAST_OF_NOBODY = Statement(
    sa.select(audit_entries.c.id)
    .where(audit_entries.c.user_id.is_(None), audit_entries.c.id < sa.bindparam("before"))
    .order_by(audit_entries.c.id.desc())
    .limit(1)
    .offset(MAX_SCANNED - 1)
)


def _account(user_id: int) -> str:
    return f"user {user_id}"


def _parameters(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}
