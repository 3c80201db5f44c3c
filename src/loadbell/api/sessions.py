"""Sessions: signing in and out."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency

from loadbell.accounts import sessions
from loadbell.accounts.passwords import LONGEST_PASSWORD
from loadbell.accounts.sign_in import sign_in
from loadbell.api.answers import Page, Time, page
from loadbell.api.operations import Credential, Operation, described
from loadbell.domain.emails import LONGEST_EMAIL
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import SignedIn
from loadbell.entry.paging import PageQuery
from loadbell.entry.requests import PublicRequest, SessionRequest, answer
from loadbell.store.sessions import SessionRow
from loadbell.store.unit_of_work import UnitOfWork

Email = Annotated[str, msgspec.Meta(max_length=LONGEST_EMAIL)]
KnownPassword = Annotated[str, msgspec.Meta(max_length=LONGEST_PASSWORD)]
"""One that is compared, not kept: what it must look like is nobody's business then."""


class SignInBody(msgspec.Struct):
    """Who signs in."""

    email: Email
    password: KnownPassword


class CreatedSession(msgspec.Struct):
    """A session that has just begun; `session` is what to send as `Authorization: Bearer`, shown this once."""

    id: int
    session: str
    user_id: int
    created_at: Time
    expires_at: Time


class Session(msgspec.Struct):
    """A session that is not over. `current`: the one that asks. `agent`: the program that signed in, as it says."""

    id: int
    current: bool
    address: str | None
    agent: str | None
    created_at: Time
    last_used_at: Time
    expires_at: Time


class SessionPage(Page[Session]):
    """A page of sessions, newest first. `next_cursor` is null on the last one."""


@post(
    "/sessions",
    **described(
        Operation(
            "Sign in",
            {201: CreatedSession},
            body=SignInBody,
            credential=Credential.NONE,
            refusals=(401, 429),
        )
    ),
)
async def create_session(public: NamedDependency[PublicRequest]) -> Response[bytes]:
    """Begins a session of 30 days. If a session is sent along, it ends: the new one takes its place."""
    said = await public.body(SignInBody)
    context = public.context
    made = await sign_in(
        context.database,
        context.passwords,
        said.email,
        said.password,
        address=public.address,
        agent=public.header("user-agent"),
        former=public.credential(),
    )
    shown = CreatedSession(made.id, made.session, made.user_id, rfc3339(made.created_at), rfc3339(made.expires_at))
    return answer(HTTPStatus.CREATED, shown)


@get(
    "/sessions",
    **described(Operation("List your sessions", {200: SessionPage}, query=PageQuery, credential=Credential.SESSION)),
)
async def list_sessions(personal: NamedDependency[SessionRequest]) -> Response[bytes]:
    """Where you are signed in: your sessions that are not over, newest first."""

    async def work(unit: UnitOfWork[SignedIn]) -> SessionPage:
        wanted = personal.query(PageQuery)
        found = await sessions.list_sessions(unit, before=wanted.before_id(), limit=wanted.one_more)
        return page(SessionPage, found, wanted.limit, lambda one: _shown(one, unit.principal), lambda one: one.id)

    return answer(HTTPStatus.OK, await personal.read(work))


@delete(
    "/sessions/{session_id:str}",
    status_code=HTTPStatus.NO_CONTENT,
    **described(Operation("End a session", {204: None}, credential=Credential.SESSION, refusals=(404,))),
)
async def end_session(personal: NamedDependency[SessionRequest]) -> None:
    """Ends one of your sessions at once. Ending the one that asks is signing out."""

    async def work(unit: UnitOfWork[SignedIn]) -> None:
        await sessions.end_session(unit, personal.integer_id("session_id", "session"))

    await personal.write(work)


def _shown(found: SessionRow, who: SignedIn) -> Session:
    return Session(
        id=found.id,
        current=found.id == who.session_id,
        address=found.address,
        agent=found.agent,
        created_at=rfc3339(found.created_at),
        last_used_at=rfc3339(found.last_used_at),
        expires_at=rfc3339(found.expires_at),
    )


HANDLERS: list[Any] = [create_session, list_sessions, end_session]
