"""Sessions: kept as hashes, found by them."""

from dataclasses import dataclass

from loadbell.domain.ids import Micros
from loadbell.store.db import Transaction
from loadbell.store.schema import sessions
from loadbell.store.statements import Statement, insert_into

_INSERT = Statement(
    insert_into(sessions, "user_id", "hash", "address", "agent", "created_at", "last_used_at", "expires_at").returning(
        sessions.c.id
    )
)
_FIND = Statement("SELECT id, user_id, last_used_at, expires_at FROM sessions WHERE hash = :hash")
_TOUCH = Statement("UPDATE sessions SET last_used_at = :now WHERE id = :id AND last_used_at < :now")


@dataclass(frozen=True)
class SessionRow:
    """A session as it is found by its hash."""

    id: int
    user_id: int
    last_used_at: Micros
    expires_at: Micros


async def insert_session(  # noqa: PLR0913 - one argument for each column
    tx: Transaction,
    *,
    user_id: int,
    session_hash: str,
    address: str | None,
    agent: str | None,
    expires_at: Micros,
    now: Micros,
) -> int:
    """Adds a session of which only the hash is known; gives its id."""
    row = await tx.first(
        _INSERT,
        user_id=user_id,
        hash=session_hash,
        address=address,
        agent=agent,
        created_at=now,
        last_used_at=now,
        expires_at=expires_at,
    )
    assert row is not None
    return int(row["id"])


async def find_session(tx: Transaction, session_hash: str) -> SessionRow | None:
    """The session of that hash, expired or not."""
    row = await tx.first(_FIND, hash=session_hash)
    return None if row is None else SessionRow(row["id"], row["user_id"], row["last_used_at"], row["expires_at"])


async def note_session_use(tx: Transaction, session_id: int, now: Micros) -> None:
    """Keeps when the session was last used."""
    await tx.run(_TOUCH, id=session_id, now=now)
