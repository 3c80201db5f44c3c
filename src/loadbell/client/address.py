"""Parses ``LOADBELL_URL`` and ``LOADBELL_TOKEN``, for all commands."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_QUOTES = ('"', "'")
_WANTED = "Write a URL such as https://loadbell.example.org"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """A server's URL in parts."""

    scheme: str
    host: str  #: a name, or an address without brackets
    port: int
    prefix: str  #: the path before ``/api``, without a trailing slash; may be empty

    @property
    def url(self) -> str:
        """The complete URL."""
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.prefix}"


def read_address(text: str) -> Address:
    """Parses ``LOADBELL_URL``.

    Raises:
        ValueError: it isn't valid; the message doesn't show it.
    """
    text = text.strip()
    if text.startswith(_QUOTES) or text.endswith(_QUOTES):
        raise ValueError("LOADBELL_URL begins or ends with a quotation mark. Remove the quotes")
    if not text.isprintable() or " " in text:
        raise ValueError("LOADBELL_URL contains white space or a control character. Remove it")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"LOADBELL_URL isn't a URL. {_WANTED}, and an IPv6 address in [brackets]") from None
    if parts.scheme not in _PORTS or not host or port == 0 or "@" in parts.netloc:
        raise ValueError(f"LOADBELL_URL isn't a server's URL. {_WANTED}")
    if parts.query or parts.fragment or not re.fullmatch(r"[!-~]*", parts.path):
        raise ValueError(f"LOADBELL_URL contains more than a server's URL. {_WANTED}")
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(f"LOADBELL_URL has an invalid host name. {_WANTED}") from None
    if ":" in host:
        host = host.replace("%25", "%")  # before an interface name (RFC 6874)
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))


def read_token(text: str) -> str:
    """Parses ``LOADBELL_TOKEN``.

    Raises:
        ValueError: it isn't valid; the message doesn't show it.
    """
    token = text.strip()
    if token.startswith(_QUOTES) or token.endswith(_QUOTES):
        raise ValueError("LOADBELL_TOKEN begins or ends with a quotation mark. Remove the quotes")
    if not re.fullmatch(r"[!-~]*", token):
        raise ValueError("LOADBELL_TOKEN isn't a token. Copy it again, on one line")
    return token
