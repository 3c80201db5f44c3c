"""
Parses a PostgreSQL URL by the rules of libpq (https://www.postgresql.org/docs/17/libpq-connect.html).

Every parameter of libpq 17 either works as in libpq or is refused with a message: an ignored one could be the one that
makes the connection safe.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

SYSTEM_CERTIFICATES = "system"
"""The value of ``sslrootcert`` for the system's certificates."""

FILES = ("passfile", "sslrootcert", "sslcert", "sslkey", "sslcrl")
"""Parameters that name a file."""

_MAX_PORT = 65_535
_MAX_CONNECT_TIMEOUT_S = 600
_TLS_VERSIONS = ("TLSv1.2", "TLSv1.3")

_ANY = frozenset({"host", "port", "dbname", "user", "password", "application_name", "fallback_application_name"}) | {
    "connect_timeout", "options", "sslpassword", *FILES,
}  # fmt: skip
_ONE_OF: dict[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "target_session_attrs": ("any", "read-write", "primary"),
    # Only what the driver does anyway.
    "channel_binding": ("prefer", "disable"),
    "client_encoding": ("auto", "utf8", "UTF8", "utf-8", "UTF-8"),
    "gssencmode": ("prefer", "disable"),
    "keepalives": ("1",),
    "load_balance_hosts": ("disable",),
    "sslcertmode": ("allow",),
    "sslcompression": ("0",),
    "sslsni": ("1",),
}
_REFUSED = frozenset(
    {
        *("gssdelegation", "gsslib", "hostaddr", "keepalives_count", "keepalives_idle", "keepalives_interval"),
        *("krbsrvname", "replication", "require_auth", "requirepeer", "service", "sslcrldir", "tcp_user_timeout"),
    }
)
_HOST = re.compile(r"\[([0-9A-Fa-f:.%A-Za-z]+)\](?::([0-9]*))?|([^\[\]:]*)(?::([0-9]*))?", re.ASCII)


@dataclass(frozen=True)
class PostgresUrl:
    """The contents of a URL; libpq's environment variables supply what it leaves out."""

    hosts: tuple[str, ...]  #: names, addresses, or folders of sockets; may be empty
    ports: tuple[int, ...]  #: one for each host, one for all, or none
    database: str
    parameters: Mapping[str, str] = field(repr=False)  #: all others, by libpq's names

    @property
    def where(self) -> str:
        """The servers and the database, safe to show."""
        hosts = self.hosts or ("localhost",)
        ports = self.ports if len(self.ports) == len(hosts) else (self.ports or (5432,)) * len(hosts)
        items = [f"[{host}]" if ":" in host else host for host in hosts]
        return ",".join(f"{host}:{port}" for host, port in zip(items, ports, strict=True)) + f"/{self.database}"


def parse_postgresql_url(text: str) -> PostgresUrl:
    """Parses ``text``.

    Raises:
        ValueError: it can't be used; the message shows no values.
    """
    match = re.fullmatch(r"(?:postgresql|postgres)://([^/?#]*)(?:/([^/@?#]*))?(?:\?([^#]*))?", text, re.IGNORECASE)
    if match is None or match[1].count("@") > 1:
        raise ValueError(
            "it is not a URL such as postgresql://user:password@host:port/database. "
            "In a password write / : @ ? # % as %2F %3A %40 %3F %23 %25"
        )
    credentials, _, authority = match[1].rpartition("@")
    user, _, password = credentials.partition(":")
    hosts, ports = _hosts(authority)
    values = {"user": _decode(user), "password": _decode(password), "dbname": _decode(match[2] or "")}
    values = {name: value for name, value in values.items() if value} | _query(match[3] or "")
    if "host" in values:
        hosts = tuple(values.pop("host").split(","))
    if not all(hosts):
        raise ValueError("a host is empty. Write all hosts, separated by commas")
    if "port" in values:
        ports = tuple(map(_port, values.pop("port").split(",")))
    if len(ports) > 1 and len(ports) != len(hosts):
        raise ValueError("the numbers of ports and hosts differ. Write one port, or one per host")
    if not values.get("dbname"):
        raise ValueError("it names no database. Write postgresql://user:password@host:port/database")
    _check(values)
    return PostgresUrl(hosts, ports, values.pop("dbname"), values)


def _hosts(authority: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if not authority:
        return (), ()
    matches = [_HOST.fullmatch(part) for part in authority.split(",")]
    items = [(match[1] or match[3], match[2] or match[4] or "") for match in matches if match is not None]
    if len(items) < len(matches) or not all(host for host, _ in items):
        if len(items) == len(matches) == 1:  # ":5433": a port without a host
            return (), (_port(items[0][1]),)
        raise ValueError("a host or port isn't valid. Write host:port, and an IPv6 address in [brackets]")
    ports = [port for _, port in items]
    return tuple(_decode(host) for host, _ in items), tuple(map(_port, ports)) if any(ports) else ()


def _port(text: str) -> int:
    if not text:
        return 5432
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) <= _MAX_PORT:
        raise ValueError(f"a port isn't a number from 1 to {_MAX_PORT:,}")
    return int(text)


def _query(text: str) -> dict[str, str]:
    """Parses the parameters after the ?. As in libpq, a plus is a plus and an empty value counts as absent."""
    given = {}
    for part in text.split("&") if text else ():
        name, equals, value = part.partition("=")
        if not equals or "=" in value:
            raise ValueError("after the ?, write name=value pairs, joined by &. In a value write & = % as %26 %3D %25")
        name, value = _decode(name), _decode(value)
        if (name, value) == ("ssl", "true"):  # libpq accepts it for compatibility with JDBC
            name, value = "sslmode", "require"
        if name in _REFUSED:
            raise ValueError(f"loadbell doesn't support {name}. Remove it")
        if name not in _ANY and name not in _ONE_OF:
            shown = f"{name!r} is" if re.fullmatch(r"[A-Za-z_]{1,30}", name) else "a name after the ? is"
            raise ValueError(
                f"{shown} not a parameter of PostgreSQL connections. Remove it; "
                "write session settings as options=-c%20name%3Dvalue"
            )
        if value:
            given[name] = value
    return given


def _check(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if name in _ONE_OF and value not in _ONE_OF[name]:
            raise ValueError(f"{name} must be {' or '.join(_ONE_OF[name])}")
    seconds = values.get("connect_timeout", "1")
    if not re.fullmatch(r"[0-9]{1,3}", seconds) or not 0 < int(seconds) <= _MAX_CONNECT_TIMEOUT_S:
        raise ValueError(f"connect_timeout is not a whole number of seconds from 1 to {_MAX_CONNECT_TIMEOUT_S}")
    if values.get("sslrootcert") == SYSTEM_CERTIFICATES and values.get("sslmode", "verify-full") != "verify-full":
        raise ValueError("sslrootcert=system requires sslmode=verify-full")
    if values.get("sslnegotiation") == "direct" and values.get("sslmode", "") not in _ONE_OF["sslmode"][3:]:
        raise ValueError("sslnegotiation=direct requires sslmode=require, verify-ca or verify-full")
    if "sslkey" in values and "sslcert" not in values:
        raise ValueError("sslkey requires sslcert, the key's certificate")


def _decode(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})|%0[0-9A-Fa-f]|%1[0-9A-Fa-f]|%7[Ff]", text):
        raise ValueError("a % isn't followed by the two hex digits of a printable character. Write % as %25")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("a percent-encoded part isn't UTF-8") from None
