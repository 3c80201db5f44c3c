"""
The first start: while there is no account, the first visitor creates the first owner and organization.

If others can reach the server, the visitor also needs a code that only its operator can read, on the terminal or in the
log of ``serve``. It is derived from the secret key, so every process of an installation has the same one.
"""

import base64
import hmac
from dataclasses import dataclass, field

from loadbell.accounts.invitations import Browser
from loadbell.accounts.organizations import check_setup, make_first_owner
from loadbell.accounts.passwords import Passwords
from loadbell.accounts.rate_limit import Bucket, network_of, return_tokens, take_tokens
from loadbell.accounts.sessions import NewSession, start_session
from loadbell.domain.errors import Conflict, FieldError, Invalid
from loadbell.domain.ids import SECOND
from loadbell.domain.token_bucket import TokenBucket
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.organizations import has_user

CODES_PER_NETWORK = TokenBucket(60 * SECOND, 5)

_GROUP = 4
_GROUPS = 3  # 60 bits: can't be guessed at the limited rate, and short enough to type


@dataclass(frozen=True)
class FirstOwner:
    """The input for the first owner. ``code`` None: none is required."""

    organization: str
    name: str
    email: str
    password: str = field(repr=False)
    code: str | None = field(repr=False)


async def is_first_start(tx: Transaction) -> bool:
    """Whether there is no account yet."""
    return not await has_user(tx)


async def setup_code(tx: Transaction) -> str | None:
    """Returns the code for the first visitor; None if there is an account already."""
    return _code(tx) if await is_first_start(tx) else None


async def set_up_and_sign_in(
    database: Database,
    passwords: Passwords,
    first_owner: FirstOwner,
    *,
    address: str | None,
    browser: Browser,
) -> NewSession:
    """Creates the first owner, organization and default project, and signs in. Of two concurrent calls one wins.

    Raises:
        Conflict: this installation has been set up already.
        Invalid: the code or another field is wrong.
        RateLimited: codes were tried too often from that address, or too many passwords are being hashed.
    """
    if first_owner.code is not None:
        await _check_code(database, first_owner.code, address=address)
    check_setup(first_owner.organization, first_owner.email, first_owner.password, first_owner.name)
    if not await database.read(is_first_start):  # before the slow work
        raise Conflict("loadbell is already set up.")
    password_hash = await passwords.hash(first_owner.password)

    async def make(tx: Transaction) -> NewSession:
        owner, _ = await make_first_owner(
            tx,
            organization=first_owner.organization,
            email=first_owner.email,
            name=first_owner.name,
            password_hash=password_hash,
            address=address,
        )
        return await start_session(tx, owner.user_id, address=address, agent=browser.agent, former=browser.former)

    return await database.write(make)


async def _check_code(database: Database, code: str, *, address: str | None) -> None:
    buckets = [Bucket(CODES_PER_NETWORK, ("setup", network_of(address)))]

    async def take(tx: Transaction) -> str | None:
        right = await setup_code(tx)
        if right is not None:
            await take_tokens(tx, buckets)
        return right

    right = await database.write(take)
    if right is None:
        raise Conflict("loadbell is already set up.")
    if not hmac.compare_digest(_normalize_code(code).encode(), _normalize_code(right).encode()):
        raise Invalid(FieldError("code", "wrong code; copy it from the output of loadbell serve"))
    await database.write(return_tokens, buckets)


def _code(tx: Transaction) -> str:
    letters = base64.b32encode(tx.derive("first start")).decode("ascii")
    return "-".join(letters[at : at + _GROUP] for at in range(0, _GROUP * _GROUPS, _GROUP))


def _normalize_code(code: str) -> str:
    """Normalizes a typed code: lower case, dashes and spaces don't matter."""
    return "".join(filter(str.isalnum, code)).upper()
