"""
The composition root: the only place where things are wired.

settings → store → sender → worker, watchdog and mailer → HTTP. ``serve`` runs all of it in one process; ``work`` only
the worker, beside any number of others on PostgreSQL.
"""

import asyncio
import contextlib
import gc
import logging
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import structlog

from loadbell import api, sources, web
from loadbell.accounts.first_start import setup_code
from loadbell.accounts.mail import Mailer
from loadbell.domain.ids import Micros
from loadbell.entry.asgi import build_asgi
from loadbell.entry.hosts import Hosts, build_hosts, format_host
from loadbell.entry.http_server import HttpServer, http_config, raise_capacity
from loadbell.entry.rate_limits import make_report_limit, make_test_hook_limit
from loadbell.entry.requests import AppContext
from loadbell.notify.worker.capacity import MAX_IN_FLIGHT
from loadbell.notify.worker.loop import Worker
from loadbell.outbound.addresses import AddressPolicy
from loadbell.outbound.sender import Sender
from loadbell.runs.watchdog import Watchdog
from loadbell.settings import Settings
from loadbell.sources.k6_cloud_v1 import accept_any_prefix
from loadbell.store.engine.db import Database, system_clock
from loadbell.store.engine.open import open_database
from loadbell.store.engine.problems import WrongState
from loadbell.store.unit_of_work import Installation
from loadbell.web.live import Live
from loadbell.web.page import error_page

log = structlog.get_logger()

GRACE_SECONDS = 8.0
"""How long a stopping process lets what is in flight end; the rest of the 10 s that it has is for closing the store."""


class ListenError(Exception):
    """The address to listen on is taken or not ours; the message names it."""


def monotonic() -> Micros:
    """A time that nobody sets and that only grows, of this process alone."""
    return time.monotonic_ns() // 1000


def configure_logging(settings: Settings) -> None:
    """Logs to stderr, as lines for people or as JSON. Stack traces never show values: they may be secrets."""
    for_people = settings.log_format == "console"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if for_people else [structlog.processors.format_exc_info]),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
            if for_people
            else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)


class _Forward(logging.Handler):
    """Writes what libraries log as we write our own."""

    def emit(self, record: logging.LogRecord) -> None:
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


async def serve(  # noqa: PLR0913 - one argument for each option
    settings: Settings,
    *,
    host: str,
    port: int,
    with_worker: bool,
    announce: Callable[[str, str | None], None],
    new: bool = False,
) -> None:
    """Answers HTTP, and delivers unless another process does, until SIGTERM or SIGINT.

    ``announce`` is given the address once requests are answered, and the code that the first start asks for, while
    there is nobody. Then the process ends within 10 s of the signal: it accepts nothing more, lets what is in flight
    end, and gives the rest back to be sent by the next one.
    ``new``: as :func:`loadbell.store.engine.open.open_database` takes it.

    Raises:
        CannotListen: the address is taken or not this machine's.
        Unreachable: the database does not answer.
        WrongState: the database can't be used as it stands.
    """
    with _listen(host, port) as listener:
        address = f"http://{format_host(host)}:{listener.getsockname()[1]}"
        hosts = build_hosts(settings.base_url, settings.allowed_hosts, host, listener)
        if hosts.any_address:
            log.warning(
                "LOADBELL_BASE_URL is not set, so links use this machine's own address. If people reach this server at "
                "another address, set it to that and restart loadbell.",
                links=hosts.base_url,
            )
        settings = replace(settings, base_url=hosts.base_url)
        async with _store(settings, new=new) as database, _sender(settings) as sender:
            stopped = _stop_signal()
            code = await database.read(setup_code)
            worker = _worker(settings, database, sender) if with_worker else None
            watchdog = Watchdog(database, clock=system_clock, monotonic=monotonic)
            mailer = Mailer(database, settings.mail, ca_file=settings.ca_file) if settings.mail else None
            installation = _installation(settings)
            live = Live(database, installation)
            await live.start()
            server = _http_server(settings, database, installation, live, hosts)
            serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
            try:
                if worker is not None:
                    await worker.start()
                watchdog.start()
                if mailer is not None:
                    mailer.start()
                await server.answering.wait()
                _freeze_garbage()
                announce(address, code)
                await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                server.should_exit = True
                await live.stop()  # else open pages would use up the grace
                await watchdog.stop()
                if mailer is not None:
                    await mailer.stop()
                await asyncio.gather(serving, *([worker.stop(GRACE_SECONDS)] if worker else []))


async def work(settings: Settings) -> None:
    """Delivers until SIGTERM or SIGINT, beside any number of other processes on the same PostgreSQL.

    Raises:
        Unreachable: the database does not answer.
        WrongState: the store is SQLite, or can't be used as it stands, or LOADBELL_BASE_URL is missing.
    """
    if settings.sqlite_path is not None:
        raise WrongState(
            "A separate worker requires PostgreSQL. With SQLite, `loadbell serve` sends notifications itself."
        )
    if settings.base_url is None:
        raise WrongState("LOADBELL_BASE_URL: required for a worker, so that messages can link to your server.")
    async with _store(settings) as database, _sender(settings) as sender:
        stopped = _stop_signal()
        worker = _worker(settings, database, sender)
        await worker.start()
        _freeze_garbage()
        log.info("The worker is running")
        await stopped
        await worker.stop(GRACE_SECONDS)


@contextlib.contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
    except (OSError, OverflowError) as error:
        raise ListenError(
            f"loadbell can't listen on {host} port {port}: {error}. Choose another with --host and --port."
        ) from None
    with listener:
        yield listener


@contextlib.asynccontextmanager
async def _store(settings: Settings, *, new: bool = False) -> AsyncIterator[Database]:
    database = await open_database(settings, new=new)
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def _sender(settings: Settings) -> AsyncIterator[Sender]:
    sender = Sender(
        policy=AddressPolicy(settings.allowed_networks),
        timeout=settings.send_timeout,
        ca_file=settings.ca_file,
        proxy=settings.outbound_proxy,
        max_in_flight=MAX_IN_FLIGHT,
    )
    try:
        sender.start()
    except OSError as error:
        raise WrongState(
            f"The sender can't be started: {error.strerror or error}. "
            "Check LOADBELL_CA_FILE, the temporary folder and the open files limit."
        ) from None
    try:
        yield sender
    finally:
        await sender.close()


def _worker(settings: Settings, database: Database, sender: Sender) -> Worker:
    assert settings.base_url is not None
    return Worker(
        database,
        sender,
        schedule=settings.retry_schedule,
        send_timeout=settings.send_timeout,
        base_url=settings.base_url,
        pause_after=settings.pause_after,
        hold_for=settings.hold_for,
        clock=system_clock,
        monotonic=monotonic,
        chance=random.SystemRandom().random,
    )


def _installation(settings: Settings) -> Installation:
    assert settings.base_url is not None
    return Installation(
        base_url=settings.base_url,
        policy=AddressPolicy(settings.allowed_networks),
        default_watchdog=settings.watchdog,
        quotas=settings.quotas,
        sends_mail=settings.mail is not None,
    )


def _http_server(
    settings: Settings, database: Database, installation: Installation, live: Live, hosts: Hosts
) -> HttpServer:
    context = AppContext(
        database,
        installation,
        hosts=hosts,
        send_timeout=settings.send_timeout,
        reports=make_report_limit(settings.quotas.report_rate),
        test_hooks=make_test_hook_limit(settings.quotas.test_hook_rate),
    )
    routers = [*api.routers(context), *sources.routers(context), *web.routers(context, live)]
    room = raise_capacity(beside=MAX_IN_FLIGHT)
    application = build_asgi(context, routers, error_page, rewrite=accept_any_prefix, at_once=room.max_requests)
    config = http_config(application, grace=GRACE_SECONDS, trusted_proxies=settings.trusted_proxies, capacity=room)
    return HttpServer(config)


def _freeze_garbage() -> None:
    """Keeps the garbage collector off the code and tables that live as long as the process.

    Going through them at each full collection stopped every delivery for 50 to 90 ms (benchmarks/isolation.py).
    """
    gc.collect()
    gc.freeze()


def _stop_signal() -> asyncio.Task[bool]:
    """Ends when this process is asked to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return asyncio.create_task(stop.wait(), name="stop-signal")
