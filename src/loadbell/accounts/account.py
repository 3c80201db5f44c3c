"""Use cases on the user's own account: organizations, name and password."""

from dataclasses import dataclass

from loadbell.accounts.passwords import Passwords, check_password
from loadbell.accounts.sessions import end_all_sessions
from loadbell.accounts.sign_in import verify_password
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Role, SignedIn
from loadbell.store.audit import append_account_entry, append_operator_entry
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.organizations import list_memberships
from loadbell.store.password_resets import delete_resets
from loadbell.store.unit_of_work import UnitOfWork
from loadbell.store.users import find_user_by_email, get_user, lock_user, set_name, set_password


@dataclass(frozen=True)
class Membership:
    """An organization and the user's role in it."""

    organization_id: int
    name: str
    role: Role


@dataclass(frozen=True)
class Account:
    """A user's own account."""

    user_id: int
    email: str
    name: str
    created_at: Micros
    organizations: tuple[Membership, ...]  #: by name


async def get_account(unit: UnitOfWork[SignedIn]) -> Account:
    """Returns the user's account."""
    user = await get_user(unit.tx, unit.principal.user_id)
    assert user is not None, "a session ends with its user"
    memberships = [Membership(*one) for one in await list_memberships(unit.tx, unit.principal.user_id)]
    return Account(user.id, user.email, user.name, user.created_at, tuple(memberships))


async def rename(unit: UnitOfWork[SignedIn], name: str) -> Account:
    """Changes the user's name; ``name`` has 1 to 200 characters."""
    user = await lock_user(unit.tx, unit.principal.user_id)
    assert user is not None, "a session ends with its user"
    if user.name != name:
        await set_name(unit.tx, unit.principal.user_id, name)
        changes = {"name": {"before": user.name, "after": name}}
        await append_account_entry(unit.tx, unit.principal.user_id, unit.principal.address, "account.renamed", changes)
    return await get_account(unit)


async def change_password(database: Database, passwords: Passwords, who: SignedIn, current: str, new: str) -> None:
    """Changes the user's password and ends all other sessions.

    Raises:
        Invalid: the new password isn't allowed, or ``current`` is wrong.
        RateLimited: passwords were tried too often.
        Conflict: it was changed by another request at the same time.
    """
    check_password(new, "new_password")
    user = await database.read(get_user, who.user_id)
    assert user is not None, "a session ends with its user"
    proven = await verify_password(database, passwords, user.email, current, address=who.address)
    if proven is None:
        raise Invalid(FieldError("current_password", "this isn't your current password"))
    password_hash = await passwords.hash(new)

    async def change(tx: Transaction) -> None:
        held = await lock_user(tx, who.user_id)
        if held is None or held.password_hash != proven.password_hash:
            raise Conflict("Another request just changed your password. Sign in with the new one.")
        await set_password(tx, who.user_id, password_hash)
        await delete_resets(tx, who.user_id)
        ended = await end_all_sessions(tx, who.user_id, but=who.session_id)
        changes = {"sessions_ended": ended}
        await append_account_entry(tx, who.user_id, who.address, "account.password_changed", changes)

    await database.write(change)


async def reset_password(tx: Transaction, email: str, password_hash: str) -> int | str:
    """Replaces a user's password as the operator, and ends all sessions. Returns how many. API tokens stay valid.

    Raises:
        NotFound: no user has that address.
    """
    user = await find_user_by_email(tx, email)
    if user is None:
        raise NotFound(f"There is no user {email}. `loadbell users list` shows all users.")
    await lock_user(tx, user.id)
    await set_password(tx, user.id, password_hash)
    await delete_resets(tx, user.id)
    ended = await end_all_sessions(tx, user.id)
    await append_operator_entry(tx, user.id, "account.password_reset", {"sessions_ended": ended})
    return ended
