"""Forgotten passwords: an e-mailed link to set a new one, which works once and expires in one hour."""

import asyncio

from loadbell.accounts.credentials import Prefix, hash_credential, make_credential
from loadbell.accounts.mail import queue_mail
from loadbell.accounts.passwords import Passwords, check_password
from loadbell.accounts.rate_limit import Bucket, network_of, take_tokens
from loadbell.accounts.sessions import SESSION_LIFETIME, end_all_sessions
from loadbell.domain.errors import Conflict, NotFound
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.token_bucket import TokenBucket
from loadbell.store import password_resets as store
from loadbell.store.audit import append_account_entry
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.sessions import list_addresses
from loadbell.store.unit_of_work import Installation
from loadbell.store.users import UserRow, find_user_by_email, lock_user, set_password

LIFETIME: Micros = 3600 * SECOND
MIN_ANSWER_S = 0.25
"""The least response time, so that it doesn't show whether an address is known."""

PER_NETWORK_AND_USER = TokenBucket(300 * SECOND, 3)
PER_NETWORK = TokenBucket(60 * SECOND, 20)
PER_USER = TokenBucket(600 * SECOND, 10)


async def request_reset(
    database: Database,
    email: str,
    *,
    address: str | None,
    installation: Installation,
) -> None:
    """Mails a link to the user of ``email``, which replaces older ones. It never shows whether there is such a user.

    Raises:
        Conflict: this server sends no mail.
        RateLimited: there were too many requests, from ``address`` or for this user.
    """
    if not installation.sends_mail:
        raise Conflict("This server can't send e-mail. Ask its operator to run: loadbell users reset-password EMAIL")
    email = email.lower()

    async def ask(tx: Transaction) -> None:
        user = await find_user_by_email(tx, email)
        items = await list_addresses(tx, 0 if user is None else user.id, tx.now - SESSION_LIFETIME)
        await take_tokens(tx, _buckets(email, address, known=network_of(address) in map(network_of, items)))
        if user is not None:
            await _send_link(tx, user, address, base_url=installation.base_url)

    loop = asyncio.get_running_loop()
    answer_at = loop.time() + MIN_ANSWER_S
    await database.write(ask)
    await asyncio.sleep(answer_at - loop.time())


async def find_reset(tx: Transaction, token: str) -> str:
    """Returns the e-mail address of the user with the link ``token``, without using the link.

    Raises:
        NotFound: it is unknown, used, replaced or expired.
    """
    password_reset = await store.find_reset(tx, hash_credential(token))
    if password_reset is None:
        raise _invalid_link()
    return password_reset.email


async def complete_reset(
    database: Database,
    passwords: Passwords,
    token: str,
    password: str,
    *,
    address: str | None,
) -> int:
    """Sets a new password, once. Ends all of the user's sessions and removes all links. Returns the user's id.

    API tokens stay valid: programs use them.

    Raises:
        NotFound: the link is unknown, used, replaced or expired.
        Invalid: the password isn't allowed.
        RateLimited: too many passwords are being hashed.
    """
    await database.read(find_reset, token)  # before the slow hashing
    check_password(password)
    password_hash = await passwords.hash(password)

    async def accept(tx: Transaction) -> int:
        reset_hash = hash_credential(token)
        password_reset = await store.find_reset(tx, reset_hash)
        if password_reset is None:
            raise _invalid_link()
        await lock_user(tx, password_reset.user_id)  # before the link, in the same order as a request for another link
        user_id = await store.take_reset(tx, reset_hash)
        if user_id is None:
            raise _invalid_link()
        await set_password(tx, user_id, password_hash)
        await store.delete_resets(tx, user_id)
        ended = await end_all_sessions(tx, user_id)
        await append_account_entry(tx, user_id, address, "account.password_reset", {"sessions_ended": ended})
        return user_id

    return await database.write(accept)


def _buckets(email: str, address: str | None, *, known: bool) -> list[Bucket]:
    here = network_of(address)
    buckets = [
        Bucket(PER_NETWORK_AND_USER, ("reset person", here, email)),
        Bucket(PER_NETWORK, ("reset place", here)),
    ]
    # Other people's requests must not block a user at an address of earlier sign-ins.
    return buckets if known else [*buckets, Bucket(PER_USER, ("reset email", email))]


async def _send_link(tx: Transaction, user: UserRow, address: str | None, *, base_url: str) -> None:
    await lock_user(tx, user.id)  # of two concurrent requests, the later link replaces the other
    await store.delete_resets(tx, user.id)
    token = make_credential(Prefix.RESET, tx.random)
    await store.insert_reset(tx, user_id=user.id, reset_hash=hash_credential(token), expires_at=tx.now + LIFETIME)
    await queue_mail(
        tx,
        recipient=user.email,
        subject="Reset your loadbell password",
        body=(
            f"We received a request to reset the loadbell password for {user.email}.\n\n"
            f"Set a new password here:\n\n{base_url}/reset-password/{token}\n\n"
            "This link works once and expires in one hour. If it wasn't you, ignore this e-mail.\n"
        ),
        expires_at=tx.now + LIFETIME,
    )
    await append_account_entry(tx, user.id, address, "account.password_reset_asked", {})


def _invalid_link() -> NotFound:
    return NotFound("This link is no longer valid: it was used, replaced or has expired. Request a new one.")
