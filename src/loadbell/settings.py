"""
The settings of a process: read once from the environment and an optional file, then frozen.

``docs/settings.md`` has an entry for each; a test checks this.
"""

import getpass
import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import platformdirs

from loadbell.domain.emails import is_email
from loadbell.domain.ids import Micros
from loadbell.domain.postgresql_url import FILES, SYSTEM_CERTIFICATES, parse_postgresql_url
from loadbell.domain.quotas import Quotas
from loadbell.domain.retry import RetrySchedule, parse_duration
from loadbell.setting_texts import BadSetting, expand_path, read_values

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
_PATH = re.compile(r"(/[A-Za-z0-9._~=+@:-]+)*")

DEFAULTS: dict[str, str] = {
    "LOADBELL_DATA_DIR": "",
    "LOADBELL_DATABASE_URL": "",
    "LOADBELL_SECRET_KEY": "",
    "LOADBELL_BASE_URL": "",
    "LOADBELL_ALLOWED_NETWORKS": "",
    "LOADBELL_RETRY_SCHEDULE": "5s,30s,2m,10m,30m,2h,5h,10h,10h",
    "LOADBELL_SEND_TIMEOUT": "15s",
    "LOADBELL_WATCHDOG": "2m",
    "LOADBELL_PAUSE_AFTER": "5d",
    "LOADBELL_HOLD_FOR": "7d",
    "LOADBELL_LOG_FORMAT": "console",
    "LOADBELL_CA_FILE": "",
    "LOADBELL_SMTP_URL": "",
    "LOADBELL_SMTP_FROM": "",
    "LOADBELL_ALLOWED_HOSTS": "",
    "LOADBELL_TRUSTED_PROXIES": "",
    "LOADBELL_OUTBOUND_PROXY": "",
    "LOADBELL_MAX_ORGANIZATIONS": "1000",
    "LOADBELL_MAX_CHANNELS": "200",
    "LOADBELL_MAX_PROJECTS": "500",
    "LOADBELL_MAX_TOKENS": "1000",
    "LOADBELL_MAX_INVITATIONS": "500",
    "LOADBELL_MAX_MEMBERS": "2000",
    "LOADBELL_MAX_RUN_REPORTS_PER_MINUTE": "6000",
    "LOADBELL_MAX_TEST_HOOKS_PER_MINUTE": "600",
}
"""Every setting with its default, as an operator would write it. Empty: see ``docs/settings.md``."""


_MAX_COUNT = 1_000_000  # of any count


@dataclass(frozen=True)
class MailServer:
    """The operator's mail server and sender address."""

    host: str
    port: int
    tls: Literal["from the start", "starttls", "never"]
    user: str | None
    password: str | None = field(repr=False)
    sender: str  #: an e-mail address
    sender_name: str  #: may be empty


@dataclass(frozen=True)
class Proxy:
    """The operator's forward proxy, which all requests of channels go through."""

    scheme: Literal["http", "https"]  #: of the connection to the proxy itself
    host: str  #: a name in ASCII, or an address without brackets
    port: int
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)

    @property
    def place(self) -> str:
        """Host and port, which may be shown."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """Everything an operator can set. Durations are in microseconds."""

    data_dir: Path
    database_url: str = field(repr=False)
    secret_key: tuple[str, ...] = field(repr=False)  #: empty: SQLite keeps a key file in the data folder
    base_url: str | None
    allowed_networks: tuple[Network, ...]
    retry_schedule: RetrySchedule
    send_timeout: Micros
    watchdog: Micros
    pause_after: Micros  #: failing for this long pauses a channel
    hold_for: Micros  #: how long a paused channel queues notifications
    log_format: Literal["console", "json"]
    ca_file: Path | None
    mail: MailServer | None  #: None: this server sends no mail
    allowed_hosts: tuple[str, ...]  #: other names of this server
    trusted_proxies: tuple[Network, ...]  #: whose X-Forwarded-For is trusted
    outbound_proxy: Proxy | None  #: None: channels connect directly
    quotas: Quotas  #: of each organization

    @property
    def sqlite_path(self) -> Path | None:
        """The database file when the store is SQLite, else None."""
        parts = urlsplit(self.database_url)
        return Path(unquote(parts.path[1:])) if parts.scheme == "sqlite" else None


def load_settings(environment: Mapping[str, str]) -> Settings:
    """The settings from ``environment`` and the file in its ``LOADBELL_CONFIG_FILE``.

    The environment overrides the file; an empty value means the default.

    Raises:
        BadSetting: a value can't be used, or the file can't be read.
    """
    values = read_values(environment, DEFAULTS)

    def text(name: str) -> str:
        return values.get(name, DEFAULTS[name])

    def duration(name: str) -> Micros:
        try:
            span = parse_duration(text(name))
        except ValueError as error:
            raise BadSetting(f"{name}: {error}.") from None
        if span <= 0:
            raise BadSetting(f"{name}: must be more than zero.")
        return span

    on_postgresql = _is_postgresql(text("LOADBELL_DATABASE_URL"))
    data_dir = _data_dir(text("LOADBELL_DATA_DIR"), needed=not on_postgresql)

    def number(name: str) -> int:
        written = text(name)
        if not (written.isascii() and written.isdigit() and 0 < int(written) <= _MAX_COUNT):
            raise BadSetting(
                f"{name}: {written!r} isn't a whole number from 1 to {_MAX_COUNT:,}. Write it without commas."
            )
        return int(written)

    log_format = text("LOADBELL_LOG_FORMAT")
    if log_format not in {"console", "json"}:
        raise BadSetting(f"LOADBELL_LOG_FORMAT: {log_format!r} isn't console or json.")
    return Settings(
        data_dir=data_dir,
        database_url=_postgresql_url(text("LOADBELL_DATABASE_URL"))
        if on_postgresql
        else _sqlite_url(text("LOADBELL_DATABASE_URL"), data_dir),
        secret_key=tuple(key.strip() for key in text("LOADBELL_SECRET_KEY").split(",") if key.strip()),
        base_url=_base_url(text("LOADBELL_BASE_URL")),
        allowed_networks=_networks("LOADBELL_ALLOWED_NETWORKS", text("LOADBELL_ALLOWED_NETWORKS")),
        retry_schedule=_schedule(text("LOADBELL_RETRY_SCHEDULE")),
        send_timeout=duration("LOADBELL_SEND_TIMEOUT"),
        watchdog=duration("LOADBELL_WATCHDOG"),
        pause_after=duration("LOADBELL_PAUSE_AFTER"),
        hold_for=duration("LOADBELL_HOLD_FOR"),
        log_format="json" if log_format == "json" else "console",
        ca_file=_ca_file(text("LOADBELL_CA_FILE")),
        mail=_mail(text("LOADBELL_SMTP_URL"), text("LOADBELL_SMTP_FROM")),
        allowed_hosts=_hosts(text("LOADBELL_ALLOWED_HOSTS")),
        trusted_proxies=_networks("LOADBELL_TRUSTED_PROXIES", text("LOADBELL_TRUSTED_PROXIES")),
        outbound_proxy=_outbound_proxy(text("LOADBELL_OUTBOUND_PROXY")),
        quotas=Quotas(
            organizations=number("LOADBELL_MAX_ORGANIZATIONS"),
            channels=number("LOADBELL_MAX_CHANNELS"),
            projects=number("LOADBELL_MAX_PROJECTS"),
            tokens=number("LOADBELL_MAX_TOKENS"),
            invitations=number("LOADBELL_MAX_INVITATIONS"),
            members=number("LOADBELL_MAX_MEMBERS"),
            reports_per_minute=number("LOADBELL_MAX_RUN_REPORTS_PER_MINUTE"),
            test_hooks_per_minute=number("LOADBELL_MAX_TEST_HOOKS_PER_MINUTE"),
        ),
    )


def _data_dir(text: str, *, needed: bool) -> Path:
    folder = Path()
    if text:
        folder = expand_path("LOADBELL_DATA_DIR", text)
    elif needed:
        with suppress(RuntimeError):  # there is no home folder
            folder = Path(platformdirs.user_data_dir("loadbell"))
    if needed and not folder.is_absolute():
        why = "" if text else "there is no home folder for the default. "
        raise BadSetting(f"LOADBELL_DATA_DIR: {why}Write the folder's full path, such as /var/lib/loadbell.")
    return folder


def _is_postgresql(text: str) -> bool:
    return text.partition(":")[0].lower() in {"postgresql", "postgres"}


def _postgresql_url(text: str) -> str:
    try:
        values = parse_postgresql_url(text).parameters
    except ValueError as error:
        raise BadSetting(f"LOADBELL_DATABASE_URL: {error}.") from None
    for name in FILES:
        if name in values and values[name] != SYSTEM_CERTIFICATES and not os.access(values[name], os.R_OK):
            raise BadSetting(f"LOADBELL_DATABASE_URL: the file in {name} can't be read. Write its full path.")
    if "user" not in values and not os.environ.get("PGUSER"):
        try:
            getpass.getuser()
        except (KeyError, OSError):
            raise BadSetting("LOADBELL_DATABASE_URL: the user is missing. Write postgresql://user@host/…") from None
    return text


def _sqlite_url(text: str, data_dir: Path) -> str:
    if not text:
        return f"sqlite:///{quote(str(data_dir / 'loadbell.sqlite3'))}"
    path = re.fullmatch(r"sqlite:///(/[^/?#~][^?#]*)", text, re.IGNORECASE)
    if path is None or "\0" in unquote(path[1]) or text.endswith("/"):
        raise BadSetting(
            "LOADBELL_DATABASE_URL: write sqlite:////absolute/path or postgresql://user:password@host:port/database. "
            "In a path, write % ? # as %25 %3F %23, and don't use ~."
        )
    return f"sqlite:///{path[1]}"


def _base_url(text: str) -> str | None:
    if not text:
        return None
    bad = BadSetting(f"LOADBELL_BASE_URL: {text!r} isn't a URL such as https://loadbell.example.org.")
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except ValueError:  # UnicodeError is one
        raise bad from None
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc or not _is_host(host) or port == 0:
        raise bad
    if parts.query or parts.fragment:
        raise bad
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - nothing is bound to it here
        raise BadSetting(f"LOADBELL_BASE_URL: {host} means every address of a machine. Use the one that people open.")
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise BadSetting(
            f"LOADBELL_BASE_URL: {path!r} isn't a supported path. Use letters, digits and - . _ ~, such as "
            "https://example.org/loadbell."
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{path}"


def _hosts(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        if not _is_host(name):
            raise BadSetting(
                f"LOADBELL_ALLOWED_HOSTS: {name!r} isn't a name or address. Write names without a port, such as "
                "loadbell,loadbell.tools.svc,10.0.3.7."
            )
    return names


def _is_host(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text)) and "%" not in text
    except ValueError:
        return _NAME.fullmatch(text) is not None


def _networks(name: str, text: str) -> tuple[Network, ...]:
    networks = []
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        try:
            networks.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise BadSetting(f"{name}: {error}. Write networks such as 10.1.0.0/16,::1/128.") from None
    return tuple(networks)


def _schedule(text: str) -> RetrySchedule:
    try:
        return RetrySchedule.parse(text)
    except ValueError as error:
        raise BadSetting(f"LOADBELL_RETRY_SCHEDULE: {error}.") from None


def _ca_file(text: str) -> Path | None:
    if not text:
        return None
    path = expand_path("LOADBELL_CA_FILE", text)
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises if a folder isn't accessible
        raise BadSetting(f"LOADBELL_CA_FILE: {text} isn't a file.")
    try:
        ssl.create_default_context(cafile=str(path))
    except OSError as error:
        raise BadSetting(f"LOADBELL_CA_FILE: {text} contains no readable certificates: {error}.") from None
    return path


def _mail(url: str, sender: str) -> MailServer | None:
    named = re.fullmatch(r"([^<>\x00-\x1f\x7f]*)<([^<>]*)>", sender)
    name, address = (named[1].strip().strip('"'), named[2]) if named else ("", sender)
    if sender and not (is_email(address) and address.isascii()):
        raise BadSetting("LOADBELL_SMTP_FROM: write bell@example.org or Loadbell <bell@example.org>.")
    if not url:
        return None
    if not sender:
        raise BadSetting("LOADBELL_SMTP_FROM: required with LOADBELL_SMTP_URL. Set it to the sender's address.")
    try:
        parts = urlsplit(url)
        port, options = parts.port, dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        raise _bad_mail_url() from None
    starttls = options.pop("starttls", "required") if parts.scheme == "smtp" else ""
    usable = parts.scheme == "smtps" or (parts.scheme == "smtp" and starttls in {"required", "never"})
    if not usable or not parts.hostname or port == 0 or options or parts.path.strip("/") or parts.fragment:
        raise _bad_mail_url()
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise _bad_mail_url()
    if not (user + password).isascii():
        raise BadSetting("LOADBELL_SMTP_URL: the user name and password can contain only ASCII characters.")
    return MailServer(
        host=parts.hostname,
        port=port or (465 if parts.scheme == "smtps" else 587),
        tls="from the start" if parts.scheme == "smtps" else "starttls" if starttls == "required" else "never",
        user=user or None,
        password=password or None,
        sender=address,
        sender_name=name,
    )


def _bad_mail_url() -> BadSetting:
    return BadSetting(
        "LOADBELL_SMTP_URL: write smtp://user:password@host:587 (?starttls=never for a server without TLS) or "
        "smtps://user:password@host:465. In a password write / : @ ? # % as %2F %3A %40 %3F %23 %25."
    )


def _outbound_proxy(text: str) -> Proxy | None:
    if not text:
        return None
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port or 0
    except ValueError:
        raise _bad_proxy() from None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    rest = parts.path.strip("/") or parts.query or parts.fragment
    if not host or not port or rest or " " in text or parts.netloc.count("@") > 1:
        raise _bad_proxy()
    if parts.scheme not in {"http", "https"} or not (user + password).isprintable() or (password and not user):
        raise _bad_proxy()
    return Proxy("https" if parts.scheme == "https" else "http", host, port, user or None, password or None)


def _bad_proxy() -> BadSetting:
    return BadSetting(
        "LOADBELL_OUTBOUND_PROXY: write http://host:port or http://user:password@host:port, or https:// if the "
        "proxy itself speaks TLS. In a password write / : @ ? # % as %2F %3A %40 %3F %23 %25."
    )
