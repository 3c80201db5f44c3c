"""Signing in with a password. For the rate limits see ``docs/decisions/0017-sign-in.md``."""

from contextlib import suppress

from loadbell.accounts.passwords import Passwords
from loadbell.accounts.rate_limit import Bucket, network_of, return_tokens, take_tokens
from loadbell.accounts.sessions import SESSION_LIFETIME, NewSession, start_session
from loadbell.domain.errors import RateLimited, Unauthenticated
from loadbell.domain.ids import SECOND
from loadbell.domain.token_bucket import TokenBucket
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.sessions import list_addresses
from loadbell.store.users import UserRow, find_user_by_email, lock_user, set_password

PER_NETWORK_AND_USER = TokenBucket(60 * SECOND, 5)
PER_NETWORK = TokenBucket(6 * SECOND, 50)
PER_USER = TokenBucket(60 * SECOND, 100)

_WRONG_CREDENTIALS = "The e-mail address or the password is wrong. Correct it, or have the password reset."


async def verify_password(
    database: Database,
    passwords: Passwords,
    email: str,
    password: str,
    *,
    address: str | None,
) -> UserRow | None:
    """Returns the user of ``email``; None if the password is wrong or there is no such user.

    Raises:
        RateLimited: there were too many attempts, from ``address`` or for this user; or too many are being compared.
    """
    email, here = email.lower(), network_of(address)
    turns = [Bucket(PER_NETWORK_AND_USER, ("person", here, email)), Bucket(PER_NETWORK, ("place", here))]

    async def take(tx: Transaction) -> tuple[UserRow | None, list[Bucket]]:
        user = await find_user_by_email(tx, email)
        # Also without a user, so that it takes as long.
        items = await list_addresses(tx, 0 if user is None else user.id, tx.now - SESSION_LIFETIME)
        asked = [*turns]
        if here not in map(network_of, items):
            asked.append(Bucket(PER_USER, ("email", email)))
        await take_tokens(tx, asked)
        return user, asked

    user, taken = await database.write(take)
    try:
        good = await passwords.matches(None if user is None else user.password_hash, password)
    except RateLimited:  # nothing was guessed
        await database.write(return_tokens, taken)
        raise
    if not good:
        return None
    await database.write(return_tokens, taken)
    return user


async def sign_in(  # noqa: PLR0913 - the form, and the client
    database: Database,
    passwords: Passwords,
    email: str,
    password: str,
    *,
    address: str | None,
    agent: str | None,
    former: str | None,
) -> NewSession:
    """Starts a session of the user of ``email``; ends the request's session ``former``.

    Raises:
        Unauthenticated: the address is unknown or the password wrong; it never says which.
        RateLimited: as :func:`verify_password`.
    """
    user = await verify_password(database, passwords, email, password, address=address)
    if user is None:
        raise Unauthenticated(_WRONG_CREDENTIALS)
    user_id, proven, renewed = user.id, user.password_hash, None
    if passwords.is_outdated(proven):
        with suppress(RateLimited):  # the next sign-in does it
            renewed = await passwords.hash(password)

    async def start(tx: Transaction) -> NewSession:
        held = await lock_user(tx, user_id)
        if held is None or held.password_hash != proven:  # it was changed during the comparison
            raise Unauthenticated(_WRONG_CREDENTIALS)
        if renewed is not None:
            await set_password(tx, user_id, renewed)
        return await start_session(tx, user_id, address=address, agent=agent, former=former)

    return await database.write(start)
