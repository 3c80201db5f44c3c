"""Sessions: who has signed in."""

from loadbell.accounts.credentials import Prefix, hash_credential
from loadbell.domain.errors import Forbidden, Unauthenticated
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import SignedIn
from loadbell.store.db import Transaction
from loadbell.store.sessions import find_session
from loadbell.store.tokens import find_token

_USE_IS_NOTED_EACH: Micros = 60 * SECOND


async def authenticate_session(
    tx: Transaction, session: str | None, now: Micros, *, address: str | None = None
) -> SignedIn:
    """Who has signed in with ``session``; ``address`` is where this request came from.

    Raises:
        Unauthenticated: there is no session, or it is unknown or over.
        Forbidden: an API token was sent instead; it may not touch its user's account.
    """
    if not session:
        raise Unauthenticated("This needs a session. Sign in with POST /api/v1/sessions.")
    hashed = hash_credential(session)
    if session.startswith(Prefix.TOKEN):
        token = await find_token(tx, hashed)
        if token is not None and (token.expires_at is None or token.expires_at > now):
            raise Forbidden("An API token may not touch its user's account. Sign in with POST /api/v1/sessions.")
    found = await find_session(tx, hashed)
    if found is None:
        raise Unauthenticated("This session is not known here. Sign in with POST /api/v1/sessions.")
    if found.expires_at <= now:
        raise Unauthenticated("This session is over. Sign in again with POST /api/v1/sessions.")
    return SignedIn(found.user_id, found.id, address, use_is_due=now - found.last_used_at >= _USE_IS_NOTED_EACH)
