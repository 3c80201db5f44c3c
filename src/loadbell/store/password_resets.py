"""Password reset links, stored by hash."""

from dataclasses import dataclass

from loadbell.domain.ids import Micros
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement, insert_into
from loadbell.store.schema import password_resets

_INSERT = Statement(insert_into(password_resets, "hash", "user_id", "created_at", "expires_at"))
_FIND = Statement(
    "SELECT u.id, u.email FROM password_resets r JOIN users u ON u.id = r.user_id "
    "WHERE r.hash = :hash AND r.expires_at > :now"
)
_TAKE = Statement("DELETE FROM password_resets WHERE hash = :hash AND expires_at > :now RETURNING user_id")
_DELETE = Statement("DELETE FROM password_resets WHERE user_id = :user_id")


@dataclass(frozen=True)
class PasswordReset:
    """The user whose password a link resets."""

    user_id: int
    email: str


async def insert_reset(tx: Transaction, *, user_id: int, reset_hash: str, expires_at: Micros) -> None:
    """Adds a link by its hash."""
    await tx.run(_INSERT, hash=reset_hash, user_id=user_id, created_at=tx.now, expires_at=expires_at)


async def find_reset(tx: Transaction, reset_hash: str) -> PasswordReset | None:
    """Returns the user of the link with that hash, if it hasn't expired."""
    row = await tx.first(_FIND, hash=reset_hash, now=tx.now)
    return None if row is None else PasswordReset(row["id"], row["email"])


async def take_reset(tx: Transaction, reset_hash: str) -> int | None:
    """Uses up the link with that hash and returns its user's id. Of two concurrent callers, only one gets it."""
    row = await tx.first(_TAKE, hash=reset_hash, now=tx.now)
    return None if row is None else int(row["user_id"])


async def delete_resets(tx: Transaction, user_id: int) -> None:
    """Deletes every link of a user, expired ones too."""
    await tx.run(_DELETE, user_id=user_id)
