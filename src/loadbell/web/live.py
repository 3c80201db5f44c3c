"""
Live pages: what changes is rendered once for everybody who looks at the same thing, and pushed as server-sent events.

A *view* is a part of a page as everybody with the same rights sees it. While somebody follows it, it is rendered anew
when its organization has changed, at most once a second. The transaction that renders it also finds out who of the
followers may still see it: a stream ends for whoever has signed out, was removed or has other rights by now, and the
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
from loadbell.store.db import Database, Transaction
from loadbell.store.unit_of_work import Installation, UnitOfWork
from loadbell.web.rendering import HEADERS

log = structlog.get_logger()

Render = Callable[..., Coroutine[Any, Any, str]]
"""Makes the text of a view of a ``UnitOfWork[Principal]`` and the view's ``args``."""

_AT_ONCE = 2  # renderings; more would take the database's readers from those who wait for an answer
_IN_A_ROW = 8  # pages that are sent something before others have their turn: 500 at once take tens of milliseconds
_BREATH_SECONDS = 0.004  # and how long that turn is: 500 pages are told within a third of a second
_LINE_END = re.compile(r"\r\n|\r|\n")
_COMMENT = b":\n\n"
_HEADERS = {**HEADERS, "X-Accel-Buffering": "no"}  # a proxy must not wait until it has more


@dataclass(frozen=True)
class Limits:
    """How much of a process live pages may take; times in seconds."""

    streams: int = 2_000
    streams_of_session: int = 20
    between: float = 1.0  #: two renderings of a view
    comment_every: float = 25.0  #: so that proxies keep an idle stream, and one whose client is gone is noticed
    lasts: float = 3_600.0  #: a stream; the page connects again


@dataclass(frozen=True)
class View:
    """A part of a page; its text depends on nothing but this and the database."""

    name: str  #: of the event that carries it
    principal: Principal  #: nobody in particular with the rights of those who look
    args: tuple[Hashable, ...]  #: of ``render``
    render: Render

    @classmethod
    def of(cls, name: str, principal: Principal, args: tuple[Hashable, ...], render: Render) -> "View":
        """What ``principal`` sees, and everybody else with the same role and projects."""
        return cls(name, replace(principal, user_id=0, address=None), args, render)


class Follower:
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
            raise self._why or Unavailable("This page has changed meanwhile. Load it again.")

    async def frames(self, limits: Limits) -> AsyncIterator[bytes]:
        """What goes over the wire."""
        clock = asyncio.get_running_loop().time
        until = clock() + limits.lasts
        while not self._ended and (left := until - clock()) > 0:
            try:
                async with asyncio.timeout(min(left, limits.comment_every)):
                    await self._news.wait()
            except TimeoutError:
                yield _COMMENT
                continue
            self._news.clear()
            if self._next is not None and not self._ended:
                self._sent, self._next = self._next, None
                yield self._sent


class _Showing:
    """A view while somebody follows it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.followers: set[Follower] = set()
        self.due = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._text: str | None = None
        self._frame = b""

    async def show(self, text: str, to: Sequence[Follower]) -> None:
        """Sends ``text`` to those of ``to`` who have not got it. Who joined meanwhile gets the next one."""
        if text != self._text:
            self._text, self._frame = text, event(self.view.name, text)
        for start in range(0, len(to), _IN_A_ROW):
            for follower in to[start : start + _IN_A_ROW]:
                follower.show(self._frame)
            await asyncio.sleep(_BREATH_SECONDS)


class Live:
    """All live pages of this process, between :meth:`start` and :meth:`stop`."""

    def __init__(self, database: Database, installation: Installation, limits: Limits | None = None) -> None:
        self._database = database
        self._installation = installation
        self._limits = limits or Limits()
        self._showing: dict[int, dict[View, _Showing]] = {}  # by organization
        self._of_session: Counter[int] = Counter()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._stopped = False

    async def start(self) -> None:
        """From now on changes are seen."""
        await self._database.watch_changes(self._changed)

    async def stop(self) -> None:
        """Ends every stream at once, and lets no other begin."""
        self._stopped = True
        tasks = []
        for showing in self._all():
            for follower in showing.followers:
                follower.end(_stopping())
            if showing.task is not None:
                showing.task.cancel()
                tasks.append(showing.task)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def follow(self, view: View, session_id: int) -> Stream:
        """The answer that sends ``view`` as it is now and whenever it has changed, as long as the session may see it.

        Raises:
            Unavailable: there are too many streams, the database is away or the process stops.
            Refused: the view can't be shown to whoever asks.
        """
        if self._stopped:
            raise _stopping()
        if self._of_session.total() >= self._limits.streams:
            raise Unavailable(
                "Too many pages are open here just now. This one shows no changes until you load it again."
            )
        if self._of_session[session_id] >= self._limits.streams_of_session:
            raise Unavailable(
                "You have too many pages open. Close some; this one shows no changes until you load it again."
            )
        follower = Follower(session_id)
        showing = self._join(view, follower)
        try:
            await follower.begin()
        except BaseException:
            self._leave(showing, follower)
            raise
        return Stream(
            follower.frames(self._limits),
            media_type="text/event-stream",
            headers=_HEADERS,
            background=BackgroundTask(self._left, showing, follower),  # run however the response ended
        )

    def _all(self) -> list[_Showing]:
        return [showing for views in self._showing.values() for showing in views.values()]

    def _changed(self, organizations: frozenset[int] | None) -> None:
        if organizations is None:
            concerned = self._all()
        else:
            concerned = [showing for one in organizations for showing in self._showing.get(one, {}).values()]
        for showing in concerned:
            showing.due.set()

    def _join(self, view: View, follower: Follower) -> _Showing:
        views = self._showing.setdefault(view.principal.organization_id, {})
        showing = views.get(view)
        if showing is None:
            showing = views[view] = _Showing(view)
            showing.task = asyncio.create_task(self._keep_showing(showing), name=f"live-{view.name}")
        showing.followers.add(follower)
        self._of_session[follower.session_id] += 1
        showing.due.set()  # it may have changed between the page and its stream
        return showing

    def _leave(self, showing: _Showing, follower: Follower) -> None:
        showing.followers.discard(follower)
        self._of_session[follower.session_id] -= 1
        if not self._of_session[follower.session_id]:
            del self._of_session[follower.session_id]
        if not showing.followers:
            organization_id = showing.view.principal.organization_id
            views = self._showing[organization_id]
            del views[showing.view]
            if not views:
                del self._showing[organization_id]
            if showing.task is not None:
                showing.task.cancel()

    async def _left(self, showing: _Showing, follower: Follower) -> None:
        self._leave(showing, follower)

    async def _keep_showing(self, showing: _Showing) -> None:
        while True:
            await showing.due.wait()
            showing.due.clear()
            try:
                async with self._slots:
                    await self._show(showing)
            except Unavailable as error:
                log.warning("A live page could not be brought up to date; it will be tried again", error=str(error))
                showing.due.set()
            except Exception as error:
                if not isinstance(error, Refused):  # as when a run was deleted: the page says so when it connects again
                    log.exception("A live page could not be rendered", view=showing.view.name)
                for follower in showing.followers:
                    follower.end(error)
            await asyncio.sleep(self._limits.between)

    async def _show(self, showing: _Showing) -> None:
        """Renders the view for those who may still see it, and ends the streams of the others."""
        view = showing.view
        followers = list(showing.followers)
        sessions = {follower.session_id for follower in followers}
        allowed, text = await self._database.read(lambda tx: self._render(tx, view, sessions))
        for follower in followers:
            if follower.session_id not in allowed:
                follower.end()
        if text is not None:
            await showing.show(text, [follower for follower in followers if follower.session_id in allowed])

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


def _stopping() -> Unavailable:
    return Unavailable("loadbell is stopping. Load the page again in a moment.")
