"""Users: people with an e-mail address, a name and a password hash."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadbell.domain.errors import Conflict
from loadbell.domain.ids import Micros
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement

_SELECT = "SELECT id, email, name, password_hash, created_at FROM users "
_INSERT = Statement(
    "INSERT INTO users (email, name, password_hash, created_at) VALUES (:email, :name, :password_hash, :now) "
    "ON CONFLICT (email) DO NOTHING RETURNING id"
)
_FIND = Statement(_SELECT + "WHERE email = :email")
_GET = Statement(_SELECT + "WHERE id = :id")
_LOCK = Statement(_SELECT + "WHERE id = :id FOR NO KEY UPDATE")
_ALL = Statement(_SELECT + "ORDER BY email")
_SET_PASSWORD = Statement("UPDATE users SET password_hash = :password_hash WHERE id = :id")
_SET_NAME = Statement("UPDATE users SET name = :name WHERE id = :id")


@dataclass(frozen=True)
class UserRow:
    """A user as stored. The hash is only for comparing and is never shown."""

    id: int
    email: str  #: in lower case
    name: str
    password_hash: str
    created_at: Micros


async def insert_user(tx: Transaction, *, email: str, name: str, password_hash: str) -> int:
    """Adds a user and returns its id; ``email`` is stored in lower case.

    Raises:
        Conflict: a user has that address.
    """
    row = await tx.first(_INSERT, email=email.lower(), name=name, password_hash=password_hash, now=tx.now)
    if row is None:
        raise Conflict("A user with this e-mail address was just added. Try again.")
    return int(row["id"])


async def find_user_by_email(tx: Transaction, email: str) -> UserRow | None:
    """Returns the user with that address, in any capitalization."""
    row = await tx.first(_FIND, email=email.lower())
    return None if row is None else read_row(UserRow, row)


async def get_user(tx: Transaction, user_id: int) -> UserRow | None:
    """Returns the user with that id."""
    row = await tx.first(_GET, id=user_id)
    return None if row is None else read_row(UserRow, row)


async def lock_user(tx: Transaction, user_id: int) -> UserRow | None:
    """Like :func:`get_user`, and locks the user's password and name until this transaction ends."""
    row = await tx.first(_LOCK, id=user_id)
    return None if row is None else read_row(UserRow, row)


async def list_users(tx: Transaction) -> Sequence[UserRow]:
    """Returns every user of the installation, by e-mail address. For the operator only, never over HTTP."""
    return [read_row(UserRow, row) for row in await tx.all(_ALL)]


async def set_password(tx: Transaction, user_id: int, password_hash: str) -> None:
    """Replaces the user's password hash."""
    await tx.run(_SET_PASSWORD, id=user_id, password_hash=password_hash)


async def set_name(tx: Transaction, user_id: int, name: str) -> None:
    """Replaces the user's name."""
    await tx.run(_SET_NAME, id=user_id, name=name)
