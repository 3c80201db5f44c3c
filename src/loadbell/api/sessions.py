"""Sessions: signing in and out."""

from typing import Annotated, Any

import msgspec

from loadbell.accounts import sessions
from loadbell.accounts.passwords import MAX_PASSWORD_LENGTH
from loadbell.accounts.sign_in import sign_in
from loadbell.api.answers import Page, Time, page
from loadbell.api.routes import route
from loadbell.domain.emails import MAX_EMAIL_LENGTH
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import SignedIn
from loadbell.entry.paging import PageQuery
from loadbell.entry.requests import PublicRequest
from loadbell.store.sessions import SessionRow
from loadbell.store.unit_of_work import UnitOfWork

Email = Annotated[str, msgspec.Meta(max_length=MAX_EMAIL_LENGTH)]
KnownPassword = Annotated[str, msgspec.Meta(max_length=MAX_PASSWORD_LENGTH)]
"""One that is compared, not kept: what it must look like is nobody's business then."""


class SignInBody(msgspec.Struct):
    """The credentials to sign in with."""

    email: Email
    password: KnownPassword


class CreatedSession(msgspec.Struct):
    """A new session. Send `session` as `Authorization: Bearer`; it is shown only once."""

    id: int
    session: str
    user_id: int
    created_at: Time
    expires_at: Time


class Session(msgspec.Struct):
    """An active session. `current` is true for this request's session. `agent` is the User-Agent that signed in."""

    id: int
    current: bool
    address: str | None
    agent: str | None
    created_at: Time
    last_used_at: Time
    expires_at: Time


class SessionPage(Page[Session]):
    """A page of sessions, newest first. `next_cursor` is null on the last one."""


@route("POST", "/sessions", "Sign in", status=201, refusals=(401, 429))
async def create_session(request: PublicRequest, body: SignInBody) -> CreatedSession:
    """Starts a session of 30 days. If the request has a session, the new one replaces it."""
    context = request.context
    session = await sign_in(
        context.database,
        context.passwords,
        body.email,
        body.password,
        address=request.address,
        agent=request.header("user-agent"),
        former=request.credential(),
    )
    return CreatedSession(
        session.id, session.session, session.user_id, rfc3339(session.created_at), rfc3339(session.expires_at)
    )


@route("GET", "/sessions", "List your sessions")
async def list_sessions(unit: UnitOfWork[SignedIn], query: PageQuery) -> SessionPage:
    """Your active sessions, newest first."""
    listed = await sessions.list_sessions(unit, before=query.before_id(), limit=query.one_more)
    return page(
        SessionPage, listed, query.limit, lambda session: _to_json(session, unit.principal), lambda session: session.id
    )


@route("DELETE", "/sessions/{session_id}", "End a session", refusals=(404,))
async def end_session(unit: UnitOfWork[SignedIn], session_id: int) -> None:
    """Ends one of your sessions at once. Ending the current one signs you out."""
    await sessions.end_session(unit, session_id)


def _to_json(session: SessionRow, who: SignedIn) -> Session:
    return Session(
        id=session.id,
        current=session.id == who.session_id,
        address=session.address,
        agent=session.agent,
        created_at=rfc3339(session.created_at),
        last_used_at=rfc3339(session.last_used_at),
        expires_at=rfc3339(session.expires_at),
    )


HANDLERS: list[Any] = [create_session, list_sessions, end_session]
