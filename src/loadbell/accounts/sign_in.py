"""Signing in: who knows the password. See ``docs/decisions/0017-sign-in.md`` for how often it may be tried."""

from contextlib import suppress

from loadbell.accounts.attempts import Turn, give_turns_back, place, take_turns
from loadbell.accounts.passwords import Passwords
from loadbell.accounts.sessions import SESSION_LASTS, NewSession, start_session
from loadbell.domain.errors import RateLimited, Unauthenticated
from loadbell.domain.ids import SECOND
from loadbell.domain.pace import Pace
from loadbell.store.db import Database, Transaction
from loadbell.store.sessions import addresses_since
from loadbell.store.users import UserRow, find_user_by_email, lock_user, set_password

FROM_ONE_PLACE_AS_ONE_PERSON = Pace(60 * SECOND, 5)
FROM_ONE_PLACE = Pace(6 * SECOND, 50)
AS_ONE_PERSON = Pace(60 * SECOND, 100)

_WRONG = "The e-mail address or the password is wrong. Correct it, or have the password reset."


async def prove_user(
    database: Database,
    passwords: Passwords,
    email: str,
    password: str,
    *,
    address: str | None,
) -> UserRow | None:
    """The user of ``email`` if ``password`` is the right one; None if it is wrong or there is no such user.

    Raises:
        RateLimited: it was tried too often, from ``address`` or for this user; or too many are being compared.
    """
    email, here = email.lower(), place(address)
    turns = [Turn(FROM_ONE_PLACE_AS_ONE_PERSON, ("person", here, email)), Turn(FROM_ONE_PLACE, ("place", here))]

    async def take(tx: Transaction) -> tuple[UserRow | None, list[Turn]]:
        user = await find_user_by_email(tx, email)
        # Asked for nobody, too, so that it takes as long.
        known = await addresses_since(tx, 0 if user is None else user.id, tx.now - SESSION_LASTS)
        asked = [*turns]
        if here not in map(place, known):
            asked.append(Turn(AS_ONE_PERSON, ("email", email)))
        await take_turns(tx, asked)
        return user, asked

    user, taken = await database.write(take)
    try:
        good = await passwords.matches(None if user is None else user.password_hash, password)
    except RateLimited:  # nothing was guessed
        await database.write(lambda tx: give_turns_back(tx, taken))
        raise
    if not good:
        return None
    await database.write(lambda tx: give_turns_back(tx, taken))
    return user


async def sign_in(  # noqa: PLR0913 - who says what, from where
    database: Database,
    passwords: Passwords,
    email: str,
    password: str,
    *,
    address: str | None,
    agent: str | None,
    former: str | None,
) -> NewSession:
    """A new session of the user of ``email``; ends the session ``former`` that came with the request.

    Raises:
        Unauthenticated: the address is unknown or the password wrong; nobody learns which.
        RateLimited: as :func:`prove_user`.
    """
    user = await prove_user(database, passwords, email, password, address=address)
    if user is None:
        raise Unauthenticated(_WRONG)
    user_id, proven, renewed = user.id, user.password_hash, None
    if passwords.is_outdated(proven):
        with suppress(RateLimited):  # the next sign-in does it
            renewed = await passwords.hash(password)

    async def start(tx: Transaction) -> NewSession:
        held = await lock_user(tx, user_id)
        if held is None or held.password_hash != proven:  # it was changed while it was compared
            raise Unauthenticated(_WRONG)
        if renewed is not None:
            await set_password(tx, user_id, renewed)
        return await start_session(tx, user_id, address=address, agent=agent, former=former)

    return await database.write(start)
