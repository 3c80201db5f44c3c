"""The audit log: who changed what, when and from where. Append only.

An entry belongs to an organization, or to the account of a user alone. Its changes hold no secret.
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
"""How many entries one look at the log passes at most: what filters leave of them may be few, or none."""


@dataclass(frozen=True)
class Entry:
    """What was done, by whom, from where. Who changed it: None stands for loadbell itself or its operator."""

    id: int
    user_id: int | None
    email: str | None  #: the user's, also when he has left the organization
    token_id: int | None
    address: str | None
    action: str
    subject: str
    changes: dict[str, Any]
    created_at: Micros


@dataclass(frozen=True)
class Filters:
    """Which entries; None: all. ``since`` is included, ``until`` is not."""

    user_id: int | None = None
    action: str | None = None
    since: Micros | None = None
    until: Micros | None = None


async def list_entries(
    tx: Transaction, organization_id: int, filters: Filters, *, before: int | None, limit: int
) -> tuple[list[Entry], int | None]:
    """Up to ``limit`` entries of the organization, newest first, with an id below ``before``.

    With them comes the ``before`` of the next look; None: there is nothing more. A look passes ``MAX_SCANNED`` entries
    at most, so with filters that few of them meet it may give fewer than ``limit``, even none, and go on.
    """
    values = _parameters(asdict(filters))
    return await _list_page(tx, {"organization_id": organization_id}, values, before=before, limit=limit)


async def list_account_entries(
    tx: Transaction, user_id: int, *, before: int | None, limit: int
) -> tuple[list[Entry], int | None]:
    """As :func:`list_entries`, of what concerns the account of a user and no organization.

    What the operator did to it is in it, too: a look passes ``MAX_SCANNED`` entries that name no user at most.
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
    """For the operator alone: up to ``limit`` entries with an id below ``before``, newest first.

    They are of one organization, deleted or not; with None of all of them, and of accounts. Each comes behind the id of
    its organization, which an entry about an account has not. Those of a user have with them what the operator did to
    the user's account.
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
    """Notes that ``principal`` did ``action`` to ``subject``; ``changes`` hold no secret."""
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
    """Notes that loadbell itself did ``action`` to ``subject``: there is no user and no token in the entry."""
    await _append(tx, action, subject, changes, organization_id=organization_id)


async def append_account_entry(
    tx: Transaction, user_id: int, address: str | None, action: str, changes: dict[str, Any]
) -> None:
    """Notes that a user, from ``address`` (None: on the server itself), did ``action`` to the own account."""
    await _append(tx, action, _account(user_id), changes, user_id=user_id, address=address)


async def append_operator_entry(tx: Transaction, user_id: int, action: str, changes: dict[str, Any]) -> None:
    """Notes that the operator, on the server, did ``action`` to a user's account: it does not name the user as doer."""
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
    """The id of the last entry that a look passes, if it does not come to the end: found in an index alone."""
    return Statement(
        sa.select(audit_entries.c.id)
        .where(audit_entries.c[whose] == sa.bindparam(whose), audit_entries.c.id < sa.bindparam("before"))
        .order_by(audit_entries.c.id.desc())
        .limit(1)
        .offset(MAX_SCANNED - 1)
    )


@cache
def _page(whose: str, filters: frozenset[str]) -> Statement:
    """The list statement of one kind of log for this set of filters, compiled once."""
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
    """The operator's list statement for this set of filters, compiled once."""
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
    """The newest entries of no organization that meet ``conditions``, found in the index of users."""
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
    """What an entry about an account is about."""
    return f"user {user_id}"


def _parameters(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}
