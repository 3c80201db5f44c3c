"""REST v1 as a client meets it: the real application on a real port and a real store, in a thread of this process."""

import asyncio
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import uvicorn
from litestar import Request, Router
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler

from loadbell import api, sources, web
from loadbell.accounts.organizations import create_organization
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Principal, Role, Scope
from loadbell.domain.quotas import Quotas
from loadbell.domain.retry import RetrySchedule
from loadbell.domain.runs import Trigger
from loadbell.entry.asgi import PAGES, build_asgi
from loadbell.entry.hosts import build_hosts
from loadbell.entry.http_server import http_config
from loadbell.entry.requests import AppContext
from loadbell.notify.worker.loop import Worker
from loadbell.outbound.sender import Sender
from loadbell.sources.k6_cloud_v1 import accept_any_prefix
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.engine.statements import Statement
from loadbell.store.organizations import assign_project, insert_member, insert_project
from loadbell.store.users import insert_user
from loadbell.web.live import Live, StreamLimits
from loadbell.web.page import PageRequest, error_page
from tests.support.server import Client
from tests.support.stores import HOLD_FOR, INSTALLATION, LOOPBACK, PAUSE_AFTER, as_dict, open_store, unit_of
from tests.support.tokens import given_token

T = TypeVar("T")

SEND_TIMEOUT: Micros = 2 * SECOND
TABLES = {
    "organizations": "id", "users": "id", "members": "user_id", "projects": "id", "tokens": "id", "channels": "id",
    "tests": "id", "runs": "id", "events": "id", "deliveries": "id", "attempts": "delivery_id", "audit_entries": "id",
    "replays": "id", "idempotency_keys": "key", "sessions": "id", "password_resets": "hash", "invitations": "id",
    "assignments": "project_id, user_id", "mails": "id", "run_measurements": "run_id", "run_moves": "id",
    "sweeps": "id",
}  # fmt: skip
"""Every table in which a request could leave a trace, with a column to order it by."""


def clock() -> Micros:
    """The present instant."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Tenant:
    """An organization and its owner's manage token."""

    organization_id: int
    project_id: int
    user_id: int
    token: str


class ApiSite:
    """The served application with two organizations, ``ours`` and ``theirs``. Made by :func:`served`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, database: Database, url: str, *, settle: bool) -> None:
        self._loop = loop
        self.database = database
        self.url = url
        if not settle:
            return
        self.ours = self._tenant("Ours", "ann@example.org")
        self.theirs = self._tenant("Theirs", "bob@example.org")
        self.sql("DELETE FROM audit_entries")  # what follows is the test's own
        self.client = Client(url, self.ours.token)
        self.their_client = Client(url, self.theirs.token)
        self.nobody = Client(url, None)

    def do(self, work: Callable[[Transaction], Coroutine[Any, Any, T]]) -> T:
        """Runs a unit of work in the server's loop, beside its requests."""
        return asyncio.run_coroutine_threadsafe(self.database.write(work), self._loop).result(30)

    def sql(self, text: str, **values: Any) -> int:
        """Changes rows behind the back of the code under test."""
        return self.do(lambda tx: _run(tx, text, values))

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that is stored, but when tokens were last used: a refused request uses its token, too."""

        async def work(tx: Transaction) -> dict[str, list[tuple[Any, ...]]]:
            body: dict[str, list[tuple[Any, ...]]] = {}
            for table, column in TABLES.items():
                rows = await tx.all(Statement(f"SELECT * FROM {table} ORDER BY {column}"))
                body[table] = [
                    tuple(value for name, value in as_dict(row).items() if name != "last_used_at") for row in rows
                ]
            return body

        return self.do(work)

    def token(
        self,
        *,
        scope: Scope = Scope.MANAGE,
        role: Role | None = None,
        projects: tuple[int, ...] = (),
        trigger: Trigger = Trigger.UNKNOWN,
        expires_at: Micros | None = None,
    ) -> str:
        """A token of ours: the owner's, or that of a new person of ``role`` who is assigned to ``projects``."""

        async def work(tx: Transaction) -> str:
            user_id = self.ours.user_id
            if role is not None:
                user_id = await _person(tx, self.ours.organization_id, role)
                for project in projects:
                    await assign_project(tx, project, user_id)
            return await given_token(
                tx,
                organization_id=self.ours.organization_id,
                user_id=user_id,
                name="A token",
                scope=scope,
                trigger=trigger,
                expires_at=expires_at,
            )

        return self.do(work)

    def with_token(self, **properties: Any) -> Client:
        """A client with such a token."""
        return Client(self.url, self.token(**properties))

    def person(self, tenant: Tenant) -> int:
        """A new member of an organization, without a token; the user's id."""
        return self.do(lambda tx: _person(tx, tenant.organization_id, Role.MEMBER))

    def project(self) -> int:
        """A further project of ours."""
        return self.do(lambda tx: insert_project(tx, self.ours.organization_id, "Another"))

    def channel(self, url: str, client: Client | None = None, **given: Any) -> dict[str, Any]:
        """A new WebHook channel, of ours unless ``client`` is somebody else's."""
        tenant = self.theirs if client is self.their_client else self.ours
        body = {"kind": "webhook", "name": "receiver", "settings": {"url": url}, **given}
        made: dict[str, Any] = (client or self.client).ok(
            "POST", f"/organizations/{tenant.organization_id}/channels", body
        )
        return made

    def _tenant(self, name: str, email: str) -> Tenant:
        async def work(tx: Transaction) -> Tenant:
            user_id = await insert_user(tx, email=email, name=name, password_hash="-")
            owner = Principal(user_id, 0, Role.OWNER, Scope.MANAGE, 0, Trigger.UNKNOWN, None)
            organization = await create_organization(unit_of(tx, owner), name)
            return Tenant(organization.organization_id, organization.project_id, user_id, organization.token)

        return self.do(work)


async def _person(tx: Transaction, organization_id: int, role: Role) -> int:
    email = f"{os.urandom(8).hex()}@example.org"
    user_id = await insert_user(tx, email=email, name="Ann", password_hash="-")
    await insert_member(tx, organization_id, user_id, role)
    return user_id


def _no_names(host: str, _port: int) -> list[str]:
    """The only addresses that are reached are those in the URL itself, so nothing of a test leaves this machine."""
    raise OSError(f"{host} is not looked up in tests")


async def _run(tx: Transaction, text: str, values: dict[str, Any]) -> int:
    return await tx.run(Statement(text), **values)


def _beside(context: AppContext, live: Live, pages: Sequence[HTTPRouteHandler]) -> list[Router]:
    """``pages`` of a test, served as ours are."""

    def page(request: Request[Any, Any, Any]) -> PageRequest:
        return PageRequest(context, request, live)

    provided = {"page": Provide(page, sync_to_thread=False)}
    return [Router("/", route_handlers=pages, dependencies=provided, opt=PAGES)] if pages else []


def _worker(database: Database, sender: Sender, url: str) -> Worker:
    return Worker(
        database,
        sender,
        schedule=RetrySchedule.parse("50ms,50ms"),
        send_timeout=SEND_TIMEOUT,
        base_url=url,
        pause_after=PAUSE_AFTER,
        hold_for=HOLD_FOR,
        clock=clock,
        monotonic=lambda: time.monotonic_ns() // 1000,
        chance=lambda: 0.5,
    )


class _Threadless(uvicorn.Server):
    """uvicorn outside the main thread, where it can't have signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield


@contextmanager
def served(  # noqa: PLR0913, PLR0915 - one argument for each thing that a test may want otherwise; parts of one server
    store_url: str,
    *,
    with_worker: bool = True,
    settle: bool = True,
    sends_mail: bool = True,
    base_url: str | None = "https://loadbell.example.org",
    pages: Sequence[HTTPRouteHandler] = (),
    limits: StreamLimits | None = None,
    quotas: Quotas | None = None,
) -> Iterator[ApiSite]:
    """Serves the API on the migrated store at ``store_url``; ``settle`` makes two organizations in an empty one.

    With ``sends_mail`` mail is taken into the outbox, where it stays. Without a ``base_url`` it is the address that it
    listens on. ``pages`` are served beside ours, ``limits`` hold for live ones, ``quotas`` for
    each organization.
    """
    ready: queue.SimpleQueue[tuple[Database, str] | BaseException] = queue.SimpleQueue()
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        sender = Sender(policy=LOOPBACK, resolver=_no_names, timeout=SEND_TIMEOUT)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with open_store(store_url) as database:
                hosts = build_hosts(base_url, (), "127.0.0.1", listener)
                installation = replace(
                    INSTALLATION, base_url=hosts.base_url, quotas=quotas or Quotas(), sends_mail=sends_mail
                )
                context = AppContext(
                    database,
                    installation,
                    hosts=hosts,
                    send_timeout=SEND_TIMEOUT,
                )
                live = Live(database, installation, limits)
                await live.start()
                routers = [
                    *api.routers(context),
                    *sources.routers(context),
                    *web.routers(context, live),
                    *_beside(context, live, pages),
                ]
                application = build_asgi(context, routers, error_page, rewrite=accept_any_prefix, at_once=1_000)
                config = http_config(application, grace=5)
                server = _Threadless(config)
                serving = asyncio.create_task(server.serve(sockets=[listener]))
                worker = _worker(database, sender, url)
                sender.start()
                if with_worker:
                    await worker.start()
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.01)
                ready.put((database, url))
                await stop.wait()
                server.should_exit = True
                await live.stop()
                await serving
                if with_worker:
                    await worker.stop(5)
                await sender.close()
                context.passwords._threads.shutdown()  # a process that ends waits for them by itself

    def turn() -> None:
        try:
            loop.run_until_complete(run())
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            ready.put(error)

    thread = threading.Thread(target=turn, name="api-site")
    thread.start()
    try:
        started = ready.get(timeout=30)
        if isinstance(started, BaseException):
            raise started
        yield ApiSite(loop, *started, settle=settle)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
