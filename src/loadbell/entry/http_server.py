"""Serves HTTP: uvicorn with our protocol, connection limits by the machine, and our own signals."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import structlog
import uvicorn
from litestar.types import ASGIApp

from loadbell.entry.connections import ConnectionLimits, Connections
from loadbell.entry.protocol import limited_protocol
from loadbell.settings import Network

log = structlog.get_logger()

_MAX_DESCRIPTORS = 65_536
_RESERVED_DESCRIPTORS = 256  # descriptors for the database, files and pipes
_MIN_CONNECTIONS = 64
_WARN_BELOW_CONNECTIONS = 1_000
_MAX_CONCURRENT_REQUESTS = 3_000  # including up to 2,000 open pages


@dataclass(frozen=True)
class ConnectionCapacity:
    """How many connections may be open, and how many may wait in the kernel to be accepted."""

    limits: ConnectionLimits
    backlog: int

    @property
    def max_requests(self) -> int:
        """How many requests are handled at once: fewer than connections, so that some can always be dropped."""
        return min(self.limits.max_connections * 3 // 4, _MAX_CONCURRENT_REQUESTS)


def raise_capacity(beside: int) -> ConnectionCapacity:
    """Raises this process's limit of open files as far as allowed. Returns the resulting capacity.

    ``beside`` is how many connections loadbell opens itself, so that descriptors don't run out while connections are
    accepted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = _MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MAX_DESCRIPTORS)
        if wanted > soft:
            with contextlib.suppress(ValueError, OSError):  # some systems list a higher limit than they grant
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                soft = wanted
    descriptors = _MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    limits = ConnectionLimits()
    backlog = min(1_024, max(descriptors // 8, _MIN_CONNECTIONS))
    most = min(limits.max_connections, max(descriptors - beside - _RESERVED_DESCRIPTORS - backlog, _MIN_CONNECTIONS))
    if most < _WARN_BELOW_CONNECTIONS:
        log.warning(
            "The open files limit is low, so few clients can connect at a time. "
            "Raise it (ulimit -n, or LimitNOFILE in systemd).",
            files=descriptors,
            clients=most,
        )
    of_place = min(limits.max_connections_per_network, most // 2)
    return ConnectionCapacity(replace(limits, max_connections=most, max_connections_per_network=of_place), backlog)


def http_config(
    application: ASGIApp,
    *,
    grace: float,
    trusted_proxies: Sequence[Network] = (),
    capacity: ConnectionCapacity | None = None,
) -> uvicorn.Config:
    """Returns the server of ``application``; when it stops, requests in flight have ``grace`` seconds.

    The client's address is the connection's; from one of the ``trusted_proxies`` it is the last address in
    ``X-Forwarded-For`` that is none of theirs.
    """
    capacity = capacity or ConnectionCapacity(ConnectionLimits(), 1_024)
    return uvicorn.Config(
        application,
        http=limited_protocol(Connections(capacity.limits, trusted_proxies)),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),  # anybody can send them
        forwarded_allow_ips=[str(network) for network in trusted_proxies],
        backlog=capacity.backlog,
        timeout_graceful_shutdown=int(grace),
    )


class HttpServer(uvicorn.Server):
    """uvicorn with a notice when it is ready, and without its signals: ours stop the worker too, with exit code 0."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts as uvicorn does, then reports that it is ready."""
        await super().startup(sockets)
        self.answering.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the caller."""
        yield
