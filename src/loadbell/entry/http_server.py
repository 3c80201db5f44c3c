"""How HTTP is served: uvicorn with our protocol, as many connections as the machine allows, and our own signals."""

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
_MAX_CONCURRENT_REQUESTS = 3_000  # open pages, which may be 2,000, among them


@dataclass(frozen=True)
class ConnectionCapacity:
    """How many connections may be open, and how many may wait in the kernel to be accepted."""

    limits: ConnectionLimits
    backlog: int

    @property
    def max_requests(self) -> int:
        """How many requests may be worked on: so there is always a connection that waits, and can make room."""
        return min(self.limits.max_connections * 3 // 4, _MAX_CONCURRENT_REQUESTS)


def raise_capacity(beside: int) -> ConnectionCapacity:
    """Raises this process's limit of open files as far as it may, and gives the room that it makes.

    ``beside`` is how many connections we open ourselves. So descriptors don't run out while connections are accepted,
    and who comes last gets in.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = _MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MAX_DESCRIPTORS)
        if wanted > soft:
            with contextlib.suppress(ValueError, OSError):  # a system that lists a limit higher than it grants
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
    """How ``application`` is served; what is in flight has ``grace`` seconds to end.

    Who asks from where is what the connection says, unless that comes from one of the ``trusted_proxies``: then it is
    the last address in ``X-Forwarded-For`` that is none of theirs.
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
    """uvicorn that says when it answers, and without its own signals: ours stop the worker too, with exit code 0."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, and then says so."""
        await super().startup(sockets)
        self.answering.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to who serves."""
        yield
