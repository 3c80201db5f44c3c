"""
Parses a channel's URL once, so that the checked host is the one that loadbell connects to.

Pure. The host is normalized as libcurl and ``inet_aton`` would read it, so that no spelling hides an address: octal,
hexadecimal, short and decimal IPv4 forms, percent-encoding, full-width digits, a trailing dot.
"""

import ipaddress
import re
import string
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, unquote

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_LENGTH = 4_000
"""Characters; longer than any provider's webhook URL."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535
_MAX_BYTE = 255
_IPV4_PARTS = 4
_MAX_HOST_LENGTH = 253
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?")


class BadUrl(ValueError):  # noqa: N818 - reads as what happened
    """The URL can't be used. ``str()`` is a sentence that doesn't show the URL's path and query."""


@dataclass(frozen=True)
class Target:
    """A parsed URL. ``host`` is an ASCII name in lower case, or the plain form of ``address``."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)  #: path and query, in ASCII; secret
    address: Address | None  #: set when the host is a literal address

    @property
    def origin(self) -> str:
        """Scheme, host and port: the part that may be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@lru_cache(maxsize=1024)
def parse_url(url: str) -> Target:
    """Parses ``url``. Drops the fragment; percent-encodes non-ASCII characters of the path as UTF-8.

    Raises:
        BadUrl: it can't be used; the message says why and what to do.
    """
    if len(url) > MAX_URL_LENGTH:
        raise BadUrl(f"The URL is longer than {MAX_URL_LENGTH:,} characters. Copy it again from the receiver.")
    if " " in url or not url.isprintable():
        raise BadUrl("The URL contains white space or control characters. Copy it again without them.")
    match = re.fullmatch(r"(https?)://([^/?#]*)((?:[/?][^#]*)?)(?:#.*)?", url, re.IGNORECASE)
    if match is None:
        raise BadUrl("The URL must start with http:// or https://, followed by a host.")
    scheme, authority, rest = match[1].lower(), match[2], match[3]
    if "@" in authority:
        raise BadUrl("The URL contains a user name or password. Remove everything before and including the @.")
    ports = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?", authority, re.ASCII)
    if ports is None:
        raise BadUrl("The URL's host or port isn't valid. Write it as https://host/ or https://host:port/.")
    port = int(ports[2]) if ports[2] else _DEFAULT_PORTS[scheme]
    if not 0 < port <= _MAX_PORT:
        raise BadUrl(f"The URL's port isn't between 1 and {_MAX_PORT:,}. Correct it.")
    host, address = _host(ports[1])
    path = quote(rest if rest.startswith("/") else f"/{rest}", safe=string.punctuation)
    return Target(scheme, host, port, path, address)


def has_other_host(url: str, former: str) -> bool:
    """Returns whether ``url`` has another scheme, host or port than ``former``; True if either can't be parsed.

    Different spellings of a host are the same: case, a trailing dot, punycode, and each form of an address.
    """
    try:
        return _origin(parse_url(url)) != _origin(parse_url(former))
    except BadUrl:
        return True


def _origin(target: Target) -> tuple[str, str, int]:
    return target.scheme, target.host.removesuffix("."), target.port


def parse_literal(host: str) -> Address | None:
    """Returns the address in ``host``; None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _host(text: str) -> tuple[str, Address | None]:
    if not text:
        raise BadUrl("The URL has no host. Write it as https://host/.")
    if text.startswith("["):
        if "%" in text:
            raise BadUrl("The URL's IPv6 address names a network interface (a zone). Use an address without one.")
        try:
            literal = ipaddress.IPv6Address(text[1:-1])
        except ValueError:
            raise BadUrl("The URL's host isn't a valid IPv6 address. Correct the part in brackets.") from None
        return str(literal), literal
    name = _ascii_name(text)
    address = _ipv4(name)
    return (str(address), address) if address is not None else (name, None)


def _ascii_name(text: str) -> str:
    """Returns the host in lower-case ASCII, by IDNA 2003 (RFC 3490), which also maps full-width letters and digits."""
    try:
        decoded = unquote(text, errors="strict")
        name = decoded if decoded.isascii() else decoded[:_MAX_HOST_LENGTH].encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    name = name.lower()
    if len(name) > _MAX_HOST_LENGTH or not _NAME.fullmatch(name):
        raise BadUrl("The URL's host isn't a valid name or address. Check its spelling.")
    return name


def _ipv4(name: str) -> ipaddress.IPv4Address | None:
    """Parses an IPv4 address as ``inet_aton`` and the WHATWG URL standard do; None if the last label isn't a number."""
    labels = name.removesuffix(".").split(".")
    if not _NUMERIC_LABEL.fullmatch(labels[-1]):
        return None
    try:
        *heads, tail = [_number(label) for label in labels]
    except ValueError:
        heads, tail = [], -1
    if (
        len(heads) >= _IPV4_PARTS
        or any(head > _MAX_BYTE for head in heads)
        or not 0 <= tail < 256 ** (_IPV4_PARTS - len(heads))
    ):
        raise BadUrl("The URL's host ends in a number but isn't a valid IPv4 address. Correct the address.")
    return ipaddress.IPv4Address(tail + sum(head << 8 * (3 - position) for position, head in enumerate(heads)))


def _number(label: str) -> int:
    if not _NUMERIC_LABEL.fullmatch(label):
        raise ValueError(label)
    if label.startswith("0x"):
        return int(label, 0)
    return int(label, 8 if label.startswith("0") else 10)
