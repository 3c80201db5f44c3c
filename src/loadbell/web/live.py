"""
Live pages: what changes is rendered once for everybody who looks at the same thing, and pushed as server-sent events.

A *view* is a part of a page as everybody with the same rights sees it. While anyone follows it, it is rendered again
when its organization has changed, at most once a second. The transaction that renders it also finds out who of the
followers may still see it: a stream ends for anyone who has signed out, was removed or has other rights by now, and the
page that connects again learns the rest. Nothing is polled: where nothing happens, nothing is done. See
``docs/decisions/0020-live-pages.md``.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from litestar.background_tasks import BackgroundTask
from litestar.response import Stream

from loadbell.accounts.sessions import SessionState, get_session_states
from loadbell.domain.errors import Refused, Unavailable
from loadbell.domain.orgs import Principal
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.unit_of_work import Installation, UnitOfWork
from loadbell.web.rendering import HEADERS

log = structlog.get_logger()

Render = Callable[..., Coroutine[Any, Any, str]]
"""Makes the text of a view of a ``UnitOfWork[Principal]`` and the view's ``args``."""

_MAX_RENDERINGS = 2  # renderings; more would take the database's readers from those who wait for an answer
_MAX_SENDS_IN_A_ROW = (
    8  # pages that are sent something before others have their turn: 500 at once take tens of milliseconds
)
_PAUSE_S = 0.004  # and how long that turn is: 500 pages are updated within a third of a second
_LINE_END = re.compile(r"\r\n|\r|\n")
_COMMENT = b":\n\n"
_HEADERS = {**HEADERS, "X-Accel-Buffering": "no"}  # a proxy must not wait until it has more


@dataclass(frozen=True)
class StreamLimits:
    """How much of a process live pages may take; times in seconds."""

    max_streams: int = 2_000
    max_streams_per_session: int = 20
    min_interval_s: float = 1.0  #: two renderings of a view
    keepalive_interval_s: float = 25.0  #: so that proxies keep an idle stream, and one whose client is gone is noticed
    max_age_s: float = 3_600.0  #: a stream; the page connects again


@dataclass(frozen=True)
class View:
    """A part of a page; its text depends on nothing but this and the database."""

    name: str  #: of the event that carries it
    principal: Principal  #: no user, with the rights of those who look
    args: tuple[Hashable, ...]  #: of ``render``
    render: Render

    @classmethod
    def for_principal(cls, name: str, principal: Principal, args: tuple[Hashable, ...], render: Render) -> "View":
        """What ``principal`` sees, and everybody else with the same role and projects."""
        return cls(name, replace(principal, user_id=0, address=None), args, render)


class ClientStream:
    """One open page: it gets the latest text of its view, and what it was too slow for it never gets."""

    def __init__(self, session_id: int) -> None:
        self.session_id = session_id
        self._news = asyncio.Event()
        self._next: bytes | None = None
        self._sent: bytes | None = None
        self._ended = False
        self._why: Exception | None = None

    def show(self, frame: bytes) -> None:
        """Sends ``frame``, unless that is what the page shows already; one that still waits is forgotten."""
        self._next = None if frame is self._sent else frame
        self._news.set()

    def end(self, why: Exception | None = None) -> None:
        """Ends the stream; if it has not begun, with ``why``."""
        self._ended, self._why = True, why
        self._news.set()

    async def begin(self) -> None:
        """Returns when there is something to send.

        Raises:
            Exception: the reason why there will not be.
        """
        await self._news.wait()
        if self._ended:
            raise self._why or Unavailable("This page has changed. Reload it.")

    async def frames(self, limits: StreamLimits) -> AsyncIterator[bytes]:
        """What goes over the wire."""
        clock = asyncio.get_running_loop().time
        until = clock() + limits.max_age_s
        while not self._ended and (left := until - clock()) > 0:
            try:
                async with asyncio.timeout(min(left, limits.keepalive_interval_s)):
                    await self._news.wait()
            except TimeoutError:
                yield _COMMENT
                continue
            self._news.clear()
            if self._next is not None and not self._ended:
                self._sent, self._next = self._next, None
                yield self._sent


class _SharedView:
    """A view with at least one follower."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.followers: set[ClientStream] = set()
        self.due = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._text: str | None = None
        self._frame = b""

    async def show(self, text: str, to: Sequence[ClientStream]) -> None:
        """Sends ``text`` to those of ``to`` who have not got it. Who joined meanwhile gets the next one."""
        if text != self._text:
            self._text, self._frame = text, event(self.view.name, text)
        for start in range(0, len(to), _MAX_SENDS_IN_A_ROW):
            for client in to[start : start + _MAX_SENDS_IN_A_ROW]:
                client.show(self._frame)
            await asyncio.sleep(_PAUSE_S)


class Live:
    """All live pages of this process, between :meth:`start` and :meth:`stop`."""

    def __init__(self, database: Database, installation: Installation, limits: StreamLimits | None = None) -> None:
        self._database = database
        self._installation = installation
        self._limits = limits or StreamLimits()
        self._showing: dict[int, dict[View, _SharedView]] = {}  # by organization
        self._of_session: Counter[int] = Counter()
        self._slots = asyncio.Semaphore(_MAX_RENDERINGS)
        self._stopped = False

    async def start(self) -> None:
        """From now on changes are seen."""
        await self._database.watch_changes(self._on_changes)

    async def stop(self) -> None:
        """Ends every stream at once, and lets no other begin."""
        self._stopped = True
        tasks = []
        for shared in self._all_clients():
            for client in shared.followers:
                client.end(_shutting_down())
            if shared.task is not None:
                shared.task.cancel()
                tasks.append(shared.task)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stream(self, view: View, session_id: int) -> Stream:
        """The answer that sends ``view`` as it is now and whenever it has changed, as long as the session may see it.

        Raises:
            Unavailable: there are too many streams, the database is away or the process stops.
            Refused: the user may not see the view.
        """
        if self._stopped:
            raise _shutting_down()
        if self._of_session.total() >= self._limits.max_streams:
            raise Unavailable("Too many pages are open on this server. Reload this one to see changes.")
        if self._of_session[session_id] >= self._limits.max_streams_per_session:
            raise Unavailable("You have too many pages open. Close some, and reload this one to see changes.")
        client = ClientStream(session_id)
        shared = self._join(view, client)
        try:
            await client.begin()
        except BaseException:
            self._leave(shared, client)
            raise
        return Stream(
            client.frames(self._limits),
            media_type="text/event-stream",
            headers=_HEADERS,
            background=BackgroundTask(self._has_left, shared, client),  # run however the response ended
        )

    def _all_clients(self) -> list[_SharedView]:
        return [shared for views in self._showing.values() for shared in views.values()]

    def _on_changes(self, organizations: frozenset[int] | None) -> None:
        if organizations is None:
            concerned = self._all_clients()
        else:
            concerned = [shared for number in organizations for shared in self._showing.get(number, {}).values()]
        for shared in concerned:
            shared.due.set()

    def _join(self, view: View, client: ClientStream) -> _SharedView:
        views = self._showing.setdefault(view.principal.organization_id, {})
        shared = views.get(view)
        if shared is None:
            shared = views[view] = _SharedView(view)
            shared.task = asyncio.create_task(self._keep_rendering(shared), name=f"live-{view.name}")
        shared.followers.add(client)
        self._of_session[client.session_id] += 1
        shared.due.set()  # it may have changed between the page and its stream
        return shared

    def _leave(self, shared: _SharedView, client: ClientStream) -> None:
        shared.followers.discard(client)
        self._of_session[client.session_id] -= 1
        if not self._of_session[client.session_id]:
            del self._of_session[client.session_id]
        if not shared.followers:
            organization_id = shared.view.principal.organization_id
            views = self._showing[organization_id]
            del views[shared.view]
            if not views:
                del self._showing[organization_id]
            if shared.task is not None:
                shared.task.cancel()

    async def _has_left(self, shared: _SharedView, client: ClientStream) -> None:
        self._leave(shared, client)

    async def _keep_rendering(self, shared: _SharedView) -> None:
        while True:
            await shared.due.wait()
            shared.due.clear()
            try:
                async with self._slots:
                    await self._show(shared)
            except Unavailable as error:
                log.warning("A live page could not be brought up to date; it will be tried again", error=str(error))
                shared.due.set()
            except Exception as error:
                if not isinstance(error, Refused):  # as when a run was deleted: the page says so when it connects again
                    log.exception("A live page could not be rendered", view=shared.view.name)
                for client in shared.followers:
                    client.end(error)
            await asyncio.sleep(self._limits.min_interval_s)

    async def _show(self, shared: _SharedView) -> None:
        """Renders the view for those who may still see it, and ends the streams of the others."""
        view = shared.view
        followers = list(shared.followers)
        sessions = {client.session_id for client in followers}
        allowed, text = await self._database.read(self._render, view, sessions)
        for client in followers:
            if client.session_id not in allowed:
                client.end()
        if text is not None:
            await shared.show(text, [client for client in followers if client.session_id in allowed])

    async def _render(self, tx: Transaction, view: View, sessions: set[int]) -> tuple[set[int], str | None]:
        """Which of ``sessions`` may still see the view, and its text if any may."""
        standings = await get_session_states(tx, view.principal.organization_id, sessions)
        allowed = {session for session, standing in standings.items() if standing == SessionState.of(view.principal)}
        if not allowed:
            return allowed, None
        return allowed, await view.render(UnitOfWork(tx, view.principal, self._installation), *view.args)


def event(name: str, text: str) -> bytes:
    """A server-sent event: ``text`` as browsers take it, line by line."""
    data = "".join(f"data: {line}\n" for line in _LINE_END.split(text))
    return f"event: {name}\n{data}\n".encode()


def _shutting_down() -> Unavailable:
    return Unavailable("loadbell is stopping. Reload the page in a moment.")
