"""
Sessions, stored by hash. An ended session is kept for a while, as a place that its user has signed in from.

A mark on the user ends all earlier sessions except, optionally, one. So ending them takes the same time however many
there are; the rows are deleted later, a few at each sign-in.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from loadbell.domain.ids import MAX_ID, Micros
from loadbell.domain.orgs import Role
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, delete_some, insert_into
from loadbell.store.schema import sessions

MAX_COUNTED = 200
"""Most ended sessions that are counted; without a limit, counting would take longer the more there are."""

MAX_KNOWN = 1_000
"""How many of a user's newest sessions :func:`list_addresses` reads."""

_DELETE_BATCH_SIZE = 200  # per sign-in
_INSERT = Statement(
    insert_into(sessions, "user_id", "hash", "address", "agent", "created_at", "last_used_at", "expires_at").returning(
        sessions.c.id
    )
)
_LEFT = "(s.id > u.sessions_ended_to OR s.id = u.session_kept)"  # not ended together with all others
_OF_USERS = "FROM sessions s JOIN users u ON u.id = s.user_id "
_OPEN = f"{_OF_USERS}WHERE s.user_id = :user_id AND s.expires_at > :now AND {_LEFT} "
_SELECT = (
    "SELECT s.id, s.user_id, s.address, s.agent, s.created_at, s.last_used_at, "
    f"CASE WHEN {_LEFT} THEN s.expires_at ELSE 0 END AS expires_at "
)
_FIND = Statement(f"{_SELECT} {_OF_USERS} WHERE s.hash = :hash")
_LIST = Statement(f"{_SELECT} {_OPEN} AND s.id < :before ORDER BY s.id DESC LIMIT :limit")
_TOUCH = Statement("UPDATE sessions SET last_used_at = :now WHERE id = :id AND last_used_at < :now")
_END = Statement(f"UPDATE sessions SET expires_at = :now WHERE id IN (SELECT s.id {_OPEN} AND s.id = :id)")
_COUNT = Statement(
    "SELECT (SELECT count(*) FROM (SELECT s.id FROM sessions s WHERE s.user_id = u.id AND s.id > u.sessions_ended_to "
    "AND s.id <> :but AND s.expires_at > :now LIMIT :limit) AS later) + (SELECT count(*) FROM sessions s WHERE "
    "s.id = u.session_kept AND s.id <= u.sessions_ended_to AND s.id <> :but AND s.expires_at > :now) AS count "
    "FROM users u WHERE u.id = :user_id"
)
_END_ALL = Statement(
    "UPDATE users SET session_kept = :kept, sessions_ended_to = "
    "(SELECT coalesce(max(id), 0) FROM sessions WHERE user_id = :user_id) WHERE id = :user_id"
)
_ADDRESSES = Statement(
    "SELECT DISTINCT address FROM (SELECT address FROM sessions WHERE user_id = :user_id AND created_at > :since "
    "ORDER BY id DESC LIMIT :limit) AS newest"
)
_GET_RIGHTS = Statement(
    f"SELECT s.id AS id, m.role AS role, assigned.project_id AS project_id {_OF_USERS}"
    "JOIN members m ON m.user_id = s.user_id AND m.organization_id = :organization_id "
    "LEFT JOIN (SELECT a.user_id, a.project_id FROM assignments a JOIN projects p ON p.id = a.project_id "
    "WHERE p.organization_id = :organization_id AND p.deleted_at IS NULL) AS assigned "
    "ON assigned.user_id = s.user_id AND m.role = 'member' "
    f"WHERE s.expires_at > :now AND {_LEFT} AND s.id IN LIST(:ids, bigint)"
)
_FORGET = Statement(
    *delete_some("sessions", "FROM sessions WHERE user_id = :user_id AND created_at <= :until ORDER BY id LIMIT :limit")
)


@dataclass(frozen=True)
class SessionRow:
    """A session as stored, without its hash."""

    id: int
    user_id: int
    address: str | None  #: where the user signed in from
    agent: str | None  #: the User-Agent that signed in
    created_at: Micros
    last_used_at: Micros  #: to the minute
    expires_at: Micros  #: the session is over from then on; 0 if all of the user's sessions were ended


async def insert_session(  # noqa: PLR0913 - one argument for each column
    tx: Transaction, *, user_id: int, session_hash: str, address: str | None, agent: str | None, expires_at: Micros
) -> int:
    """Adds a session by its hash and returns its id."""
    row = await tx.first(
        _INSERT,
        user_id=user_id,
        hash=session_hash,
        address=address,
        agent=agent,
        created_at=tx.now,
        last_used_at=tx.now,
        expires_at=expires_at,
    )
    assert row is not None
    return int(row["id"])


async def find_session(tx: Transaction, session_hash: str) -> SessionRow | None:
    """Returns the session with that hash, expired or not."""
    row = await tx.first(_FIND, hash=session_hash)
    return None if row is None else read_row(SessionRow, row)


async def list_sessions_of(tx: Transaction, user_id: int, *, before: int | None, limit: int) -> Sequence[SessionRow]:
    """Returns the user's active sessions with an id below ``before``, newest first."""
    values = {"before": MAX_ID if before is None else before, "limit": limit}
    return [read_row(SessionRow, row) for row in await tx.all(_LIST, user_id=user_id, now=tx.now, **values)]


async def note_session_use(tx: Transaction, session_id: int) -> None:
    """Records that the session was used now."""
    await tx.run(_TOUCH, id=session_id, now=tx.now)


async def expire_session(tx: Transaction, user_id: int, session_id: int) -> bool:
    """Ends one of the user's sessions; returns whether it was active."""
    return await tx.run(_END, user_id=user_id, id=session_id, now=tx.now) > 0


async def expire_sessions(tx: Transaction, user_id: int, *, but: int | None = None) -> int:
    """Ends all sessions of the locked user except ``but``; returns how many, counting up to ``MAX_COUNTED`` + 1."""
    row = await tx.first(_COUNT, user_id=user_id, but=but or 0, now=tx.now, limit=MAX_COUNTED + 1)
    assert row is not None
    await tx.run(_END_ALL, user_id=user_id, kept=but)
    return int(row["count"])


async def get_rights(
    tx: Transaction, organization_id: int, session_ids: Collection[int]
) -> dict[int, tuple[Role, frozenset[int]]]:
    """Returns role and assigned projects by session; leaves out ended sessions and users outside the organization."""
    rights: dict[int, tuple[Role, frozenset[int]]] = {}
    for row in await tx.all(_GET_RIGHTS, organization_id=organization_id, ids=session_ids, now=tx.now):
        _, projects = rights.get(row["id"], (None, frozenset()))
        seen = projects if row["project_id"] is None else projects | {row["project_id"]}
        rights[row["id"]] = (Role(row["role"]), seen)
    return rights


async def list_addresses(tx: Transaction, user_id: int, since: Micros) -> Sequence[str | None]:
    """Returns where the user signed in from after ``since``, in the last ``MAX_KNOWN`` sessions."""
    return [row["address"] for row in await tx.all(_ADDRESSES, user_id=user_id, since=since, limit=MAX_KNOWN)]


async def delete_old_sessions(tx: Transaction, user_id: int, until: Micros) -> None:
    """Deletes some of the user's sessions that began at or before ``until``, oldest first."""
    await tx.run(_FORGET, user_id=user_id, until=until, limit=_DELETE_BATCH_SIZE)
