"""
Checks the names of this server, which pages are its own, and which requests certainly come from this machine.

A site can point its own name at this machine once its page is loaded (DNS rebinding). The browser then lets that page
read and send anything here, as if both were one site. Only ``Host`` shows it: it still has the site's name. So every
request must name this server by one of its own names. ``X-Forwarded-Host`` is never trusted.
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
_NOWHERE = "192.0.2.1"  # RFC 5737: to find the machine's own address; nothing is sent there


class Origin(NamedTuple):
    """The origin of a page, as browsers compare it."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True)
class Hosts:
    """The names of this server: that of ``base_url``, those of loopback, and ``further`` ones."""

    base_url: str
    further: frozenset[str] = frozenset()  #: from :func:`parse_host_name`
    any_address: bool = False  #: also the address of this machine that the client connected to

    def check(self, scope: Scope) -> None:
        """Checks that the request names this server.

        Raises:
            Misdirected: its ``Host`` is missing, repeated, malformed, or another server's.
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
        """Checks that the request doesn't come from a page of another site.

        Browsers state that in ``Sec-Fetch-Site`` and, on every POST, in ``Origin``; ``null`` doesn't count.

        Raises:
            Forbidden: it does.
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
        """Whether the request certainly comes from this machine, and not through a proxy on it.

        A proxy may add no header. Then either LOADBELL_BASE_URL isn't a loopback address, or the proxy speaks HTTP/1.0,
        nginx's default, or it isn't set up for this server at all.
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
        """The origins of our own pages, for the browser that sent this request."""
        origins: set[Origin | None] = {_base(self.base_url)}
        asked = _requested_host(scope)
        if asked is not None:
            name, port = asked
            origins.add(Origin(scope["scheme"], name, port or _PORTS[scope["scheme"]]))
        return origins


def build_hosts(base_url: str | None, further: Sequence[str], host: str, listener: socket.socket) -> Hosts:
    """Returns the names of the server that listens on ``listener``; ``host`` is the setting for it.

    Without a base URL, links use the address it listens on, or this machine's own name if that is any address.
    """
    address, port = listener.getsockname()[:2]
    names = {name for one in (*further, host, address) if (name := parse_host_name(one)) is not None}
    if base_url is not None or not is_any_address(address):
        return Hosts(base_url or f"http://{format_host(host.partition('%')[0])}:{port}", frozenset(names))
    own = _own_names() or [_own_address()]
    return Hosts(f"http://{format_host(own[0])}:{port}", frozenset({*names, *own}), any_address=True)


def parse_host_name(text: str) -> str | None:
    """Normalizes a host's name or address for comparison, without a dot at the end; None if it isn't valid."""
    found = _parse_host(format_host(text.partition("%")[0]))
    return None if found is None else found[0]


def _parse_host(text: str) -> tuple[str, int | None] | None:
    """Parses a ``Host`` header: name or address, and port; None if malformed."""
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
    """Whether ``name`` certainly means this machine only."""
    address = _address(name)
    return name == "localhost" if address is None else any(address in network for network in _LOOPBACK)


def format_host(host: str) -> str:
    """Formats a host's name or address for a URL."""
    return f"[{host}]" if ":" in host else host


def is_any_address(name: str) -> bool:
    """Whether ``name`` means every address of a machine, so that a link can't use it."""
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
    """The address of this machine that the client connected to; IPv4 also if mapped to IPv6."""
    address = None if scope["server"] is None else _address(scope["server"][0])
    mapped = getattr(address, "ipv4_mapped", None)
    return {str(one) for one in (address, mapped) if one is not None}


def _base(base_url: str) -> Origin:
    origin = _parse_origin(base_url)
    assert origin is not None, "settings.py has looked at it"
    return origin


def _parse_origin(text: str) -> Origin | None:
    """The origin of a URL or an ``Origin`` header; None if it has none, such as ``null``."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    found = _parse_host(parts.netloc)
    if found is None or parts.scheme not in _PORTS:
        return None
    return Origin(parts.scheme, found[0], found[1] or _PORTS[parts.scheme])


def _own_names() -> list[str]:
    """This machine's own names, the one likeliest known to others first."""
    named = (parse_host_name(name) for name in (socket.getfqdn(), socket.gethostname()))
    names = {name for name in named if name is not None and name.split(".")[0] not in _NAMES_OF_LOOPBACK}
    return sorted(names, key=lambda name: ("." not in name, name))


def _own_address() -> str:
    """The address that this machine uses for outgoing connections; loopback if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_NOWHERE, 9))
        except OSError:
            return "localhost"
        return str(probe.getsockname()[0])
