"""
Under which names this server is asked, which pages are its own, and which requests certainly come from this machine.

A site can have its own name lead to this machine once its page is loaded (DNS rebinding). The browser then lets that
page read and send here whatever it likes, as if both were one site. Only ``Host`` tells: it still has the site's name.
So every request must name this server by one of its own names. ``X-Forwarded-Host`` is never believed.
"""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from litestar.types import Scope

from loadbell.domain.errors import Forbidden
from loadbell.entry.problems import Misdirected

_HOST = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,254}))(?::([0-9]{1,5}))?")
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_NAMES_OF_LOOPBACK = {"localhost", "ip6-localhost"}
_PORTS = {"http": 80, "https": 443}
_OF_PROXIES = {
    b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"true-client-ip", b"cf-connecting-ip",
}  # fmt: skip
_FORWARDED = b"x-forwarded"  # -for, -host, -proto, -port, -server, …
_NOWHERE = "192.0.2.1"  # RFC 5737: the system says which address of its own it would use; nothing is sent there


class Origin(NamedTuple):
    """Where a page is from, as browsers compare it."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True)
class Hosts:
    """The names of this server: that of ``base_url``, those of loopback, and ``further`` ones."""

    base_url: str
    further: frozenset[str] = frozenset()  #: as :func:`parse_host_name` gives them
    any_address: bool = False  #: and whichever address of this machine the connection was made to

    def check(self, scope: Scope) -> None:
        """Does nothing for a request that names this server.

        Raises:
            Misdirected: its ``Host`` is missing, said twice, malformed, or another's.
        """
        asked = _requested_host(scope)
        if asked is None:
            raise Misdirected("The request does not say once and clearly in Host which server it is for.")
        name, _ = asked
        if not self._has(name, scope):
            raise Misdirected(
                f"This server is not known as {name}. If people reach it under that name, set LOADBELL_BASE_URL to "
                "the address that they use, or add the name to LOADBELL_ALLOWED_HOSTS, and restart loadbell."
            )

    def refuse_foreign(self, scope: Scope) -> None:
        """Does nothing unless the browser says that a page of another site sent this request.

        It says so in ``Sec-Fetch-Site`` and, on every POST, in ``Origin``; with ``null`` it says nothing that would do.

        Raises:
            Forbidden: it says so.
        """
        if {b"cross-site", b"same-site"} & set(_values(scope, b"sec-fetch-site")):
            raise Forbidden("This form was sent from another site. Open the page here and submit the form again.")
        sent = _values(scope, b"origin")
        if sent and not {_parse_origin(value.decode("latin-1")) for value in sent} <= self._origins(scope):
            raise Forbidden(
                "This form was sent from another site, or LOADBELL_BASE_URL isn't the address you opened. Open the "
                "page at LOADBELL_BASE_URL and submit the form again."
            )

    def is_local(self, scope: Scope) -> bool:
        """Whether somebody on this machine certainly sent the request, and no proxy on this machine for somebody else.

        A proxy can pass a request on without a word. Then either LOADBELL_BASE_URL is not an address of loopback, or it
        speaks HTTP/1.0, as nginx does unless it is told otherwise, or it is not set up for this server at all.
        """
        asked, client = _requested_host(scope), scope["client"]
        return (
            client is not None
            and is_loopback(client[0])
            and asked is not None
            and is_loopback(asked[0])
            and is_loopback(_base(self.base_url).host)
            and scope["http_version"] != "1.0"
            and not any(name in _OF_PROXIES or name.startswith(_FORWARDED) for name, _ in scope["headers"])
        )

    def _has(self, name: str, scope: Scope) -> bool:
        if is_loopback(name) or name in self.further or name == _base(self.base_url).host:
            return True
        return self.any_address and name in _origin_reached(scope)

    def _origins(self, scope: Scope) -> set[Origin | None]:
        """Where our own pages are from, for the browser that sent this request."""
        origins: set[Origin | None] = {_base(self.base_url)}
        asked = _requested_host(scope)
        if asked is not None:
            name, port = asked
            origins.add(Origin(scope["scheme"], name, port or _PORTS[scope["scheme"]]))
        return origins


def build_hosts(base_url: str | None, further: Sequence[str], host: str, listener: socket.socket) -> Hosts:
    """The names of the server that listens on ``listener``, for which somebody wrote ``host``.

    Without a base URL links lead to where it listens; from everywhere, to this machine's own name.
    """
    address, port = listener.getsockname()[:2]
    names = {name for one in (*further, host, address) if (name := parse_host_name(one)) is not None}
    if base_url is not None or not is_any_address(address):
        return Hosts(base_url or f"http://{format_host(host.partition('%')[0])}:{port}", frozenset(names))
    own = _own_names() or [_own_address()]
    return Hosts(f"http://{format_host(own[0])}:{port}", frozenset({*names, *own}), any_address=True)


def parse_host_name(text: str) -> str | None:
    """A host's name or address as names are compared here; None: it is none. A dot at the end changes nothing."""
    found = _parse_host(format_host(text.partition("%")[0]))
    return None if found is None else found[0]


def _parse_host(text: str) -> tuple[str, int | None] | None:
    """What a ``Host`` header says: name or address, and port; None: it is malformed."""
    found = _HOST.fullmatch(text.lower())
    if found is None:
        return None
    literal, name, port = found.groups()
    if port is not None and int(port) > 65_535:  # noqa: PLR2004 - the highest port
        return None
    if literal is not None:
        try:
            return str(IPv6Address(literal)), int(port) if port else None
        except ValueError:
            return None
    bare = name.removesuffix(".")
    return (bare, int(port) if port else None) if bare and all(bare.split(".")) else None


def is_loopback(name: str) -> bool:
    """Whether only this machine is reached by ``name``. What is not known for sure is not."""
    address = _address(name)
    return name == "localhost" if address is None else any(address in network for network in _LOOPBACK)


def format_host(host: str) -> str:
    """A host's name or address as a URL has it."""
    return f"[{host}]" if ":" in host else host


def is_any_address(name: str) -> bool:
    """Whether ``name`` means every address of a machine, so that nobody can be sent there."""
    address = _address(name)
    return address is not None and (getattr(address, "ipv4_mapped", None) or address).is_unspecified


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name.partition("%")[0])
    except ValueError:
        return None


def _values(scope: Scope, data: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == data]


def _requested_host(scope: Scope) -> tuple[str, int | None] | None:
    values = _values(scope, b"host")
    return _parse_host(values[0].decode("latin-1")) if len(values) == 1 else None


def _origin_reached(scope: Scope) -> set[str]:
    """The address of this machine to which the connection was made; IPv4 also where it came in as IPv6."""
    address = None if scope["server"] is None else _address(scope["server"][0])
    mapped = getattr(address, "ipv4_mapped", None)
    return {str(one) for one in (address, mapped) if one is not None}


def _base(base_url: str) -> Origin:
    origin = _parse_origin(base_url)
    assert origin is not None, "settings.py has looked at it"
    return origin


def _parse_origin(text: str) -> Origin | None:
    """The origin of a URL, or of what an ``Origin`` header says; None: it has none, as ``null``."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    found = _parse_host(parts.netloc)
    if found is None or parts.scheme not in _PORTS:
        return None
    return Origin(parts.scheme, found[0], found[1] or _PORTS[parts.scheme])


def _own_names() -> list[str]:
    """What this machine calls itself, the name first that others are likeliest to know."""
    named = (parse_host_name(name) for name in (socket.getfqdn(), socket.gethostname()))
    names = {name for name in named if name is not None and name.split(".")[0] not in _NAMES_OF_LOOPBACK}
    return sorted(names, key=lambda name: ("." not in name, name))


def _own_address() -> str:
    """The address that this machine would use to speak to others; loopback's if there are none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_NOWHERE, 9))
        except OSError:
            return "localhost"
        return str(probe.getsockname()[0])
