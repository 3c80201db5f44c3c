"""Sessions: users who have signed in, and their roles in organizations."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from loadbell.accounts.credentials import Prefix, hash_credential, make_credential
from loadbell.domain.errors import NotFound
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Principal, Role, SignedIn
from loadbell.store.audit import append_account_entry
from loadbell.store.engine.db import Transaction
from loadbell.store.sessions import (
    MAX_COUNTED,
    SessionRow,
    delete_old_sessions,
    expire_session,
    expire_sessions,
    find_session,
    get_rights,
    insert_session,
    list_sessions_of,
)
from loadbell.store.unit_of_work import UnitOfWork

SESSION_LIFETIME: Micros = 30 * 86_400 * SECOND
"""From the sign-in, regardless of use."""

_MAX_AGENT_LENGTH = 200


@dataclass(frozen=True)
class NewSession:
    """A new session; ``session`` is its credential, shown only once."""

    id: int
    session: str
    user_id: int
    created_at: Micros
    expires_at: Micros


@dataclass(frozen=True)
class SessionState:
    """A user's rights in an organization; ``projects`` are as in :class:`Principal`."""

    role: Role
    projects: frozenset[int] | None

    @classmethod
    def of(cls, principal: Principal) -> "SessionState":
        """Returns the state of ``principal``."""
        return cls(principal.role, principal.projects)


async def start_session(
    tx: Transaction, user_id: int, *, address: str | None, agent: str | None, former: str | None
) -> NewSession:
    """Starts a session of an authenticated user; the session of the credential ``former``, of any user, ends.

    ``agent`` is the User-Agent; 200 printable characters of it are stored.
    """
    ended = None if former is None else await find_session(tx, hash_credential(former))
    if ended is not None and await expire_session(tx, ended.user_id, ended.id):
        await append_account_entry(tx, ended.user_id, address, "session.ended", {"session_id": ended.id})
    await delete_old_sessions(tx, user_id, tx.now - SESSION_LIFETIME)
    session = make_credential(Prefix.SESSION, tx.random)
    text = "".join(filter(str.isprintable, agent or ""))[:_MAX_AGENT_LENGTH]
    expires_at = tx.now + SESSION_LIFETIME
    session_id = await insert_session(
        tx,
        user_id=user_id,
        session_hash=hash_credential(session),
        address=address,
        agent=text or None,
        expires_at=expires_at,
    )
    await append_account_entry(tx, user_id, address, "account.signed_in", {"session_id": session_id})
    return NewSession(session_id, session, user_id, tx.now, expires_at)


async def get_session_states(
    tx: Transaction, organization_id: int, session_ids: Collection[int]
) -> dict[int, SessionState]:
    """As :func:`authorize`, for many sessions in one read; sessions that are no longer valid are left out."""
    rights = await get_rights(tx, organization_id, session_ids)
    return {
        session_id: SessionState(role, projects if role is Role.MEMBER else None)
        for session_id, (role, projects) in rights.items()
    }


async def list_sessions(unit: UnitOfWork[SignedIn], *, before: int | None, limit: int) -> Sequence[SessionRow]:
    """Returns up to ``limit`` of the user's active sessions with an id below ``before``, newest first."""
    return await list_sessions_of(unit.tx, unit.principal.user_id, before=before, limit=limit)


async def end_session(unit: UnitOfWork[SignedIn], session_id: int) -> None:
    """Ends one of the user's sessions. Ending the current one signs the user out.

    Raises:
        NotFound: the caller has no such session, or it has ended.
    """
    if not await expire_session(unit.tx, unit.principal.user_id, session_id):
        raise NotFound(f"There is no session {session_id}.")
    await append_account_entry(
        unit.tx, unit.principal.user_id, unit.principal.address, "session.ended", {"session_id": session_id}
    )


async def end_all_sessions(tx: Transaction, user_id: int, *, but: int | None = None) -> int | str:
    """Ends all sessions of the user except ``but``. Returns how many, or that there were more than are counted.

    The caller must have locked the user, and writes the reason to the audit log.
    """
    ended = await expire_sessions(tx, user_id, but=but)
    return ended if ended <= MAX_COUNTED else f"more than {MAX_COUNTED}"
