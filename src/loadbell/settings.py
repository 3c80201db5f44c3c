"""
The settings of a process: read once from the environment and an optional file, then frozen.

``docs/settings.md`` has one entry for each; a test keeps the two in step.
"""

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import platformdirs

from loadbell.domain.emails import is_email
from loadbell.domain.ids import Micros
from loadbell.domain.quotas import Quotas
from loadbell.domain.retry import RetrySchedule, parse_duration

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
    "LOADBELL_TRUSTED_PROXIES": "",
    "LOADBELL_MAX_CHANNELS": "200",
    "LOADBELL_MAX_PROJECTS": "500",
    "LOADBELL_MAX_TOKENS": "1000",
    "LOADBELL_MAX_INVITATIONS": "500",
    "LOADBELL_MAX_MEMBERS": "2000",
    "LOADBELL_MAX_RUN_REPORTS_PER_MINUTE": "6000",
}
"""Every setting with its default as an operator would write it; empty: see ``docs/settings.md``."""


_MOST = 1_000_000  # of anything that is counted


class BadSetting(Exception):  # noqa: N818 - reads as what happened
    """A setting can't be used; the message names it, says why, and never shows a secret value."""


@dataclass(frozen=True)
class MailServer:
    """The operator's mail server, and whom mail is from."""

    host: str
    port: int
    tls: Literal["from the start", "starttls", "never"]
    user: str | None
    password: str | None = field(repr=False)
    sender: str  #: an e-mail address
    sender_name: str  #: may be empty


@dataclass(frozen=True)
class Settings:
    """Everything an operator may set. Spans are microseconds."""

    data_dir: Path
    database_url: str = field(repr=False)
    secret_key: tuple[str, ...] = field(repr=False)  #: empty: SQLite keeps a key file in the data folder
    base_url: str | None
    allowed_networks: tuple[Network, ...]
    retry_schedule: RetrySchedule
    send_timeout: Micros
    watchdog: Micros
    pause_after: Micros  #: failures only, for so long, pause a channel
    hold_for: Micros  #: how long a paused channel keeps what it collects
    log_format: Literal["console", "json"]
    ca_file: Path | None
    mail: MailServer | None  #: None: this server sends no mail
    trusted_proxies: tuple[Network, ...]  #: whose X-Forwarded-For is believed
    quotas: Quotas  #: of each organization

    @property
    def sqlite_path(self) -> Path | None:
        """The database file when the store is SQLite, else None."""
        parts = urlsplit(self.database_url)
        return Path(unquote(parts.path[1:])) if parts.scheme == "sqlite" else None


def load_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that ``environment`` and the file named by its ``LOADBELL_CONFIG_FILE`` give.

    The environment wins over the file; an empty value is the default.

    Raises:
        BadSetting: a value can't be used, or the file can't be read.
    """
    values = _read_file(environment.get("LOADBELL_CONFIG_FILE", ""))
    values.update({name: value for name, value in environment.items() if name in DEFAULTS and value.strip()})

    def text(name: str) -> str:
        return values.get(name, "").strip() or DEFAULTS[name]

    def duration(name: str) -> Micros:
        try:
            span = parse_duration(text(name))
        except ValueError as error:
            raise BadSetting(f"{name}: {error}.") from None
        if span <= 0:
            raise BadSetting(f"{name}: must be more than zero.")
        return span

    def number(name: str) -> int:
        written = text(name)
        if not (written.isascii() and written.isdigit() and 0 < int(written) <= _MOST):
            raise BadSetting(f"{name}: {written!r} is not a whole number from 1 to {_MOST:,}. Write it without commas.")
        return int(written)

    data_dir = Path(text("LOADBELL_DATA_DIR") or platformdirs.user_data_dir("loadbell")).absolute()
    log_format = text("LOADBELL_LOG_FORMAT")
    if log_format not in {"console", "json"}:
        raise BadSetting(f"LOADBELL_LOG_FORMAT: {log_format!r} is neither console nor json.")
    return Settings(
        data_dir=data_dir,
        database_url=_database_url(text("LOADBELL_DATABASE_URL"), data_dir),
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
        trusted_proxies=_networks("LOADBELL_TRUSTED_PROXIES", text("LOADBELL_TRUSTED_PROXIES")),
        quotas=Quotas(
            channels=number("LOADBELL_MAX_CHANNELS"),
            projects=number("LOADBELL_MAX_PROJECTS"),
            tokens=number("LOADBELL_MAX_TOKENS"),
            invitations=number("LOADBELL_MAX_INVITATIONS"),
            members=number("LOADBELL_MAX_MEMBERS"),
            reports_per_minute=number("LOADBELL_MAX_RUN_REPORTS_PER_MINUTE"),
        ),
    )


def _read_file(name: str) -> dict[str, str]:
    if not name.strip():
        return {}
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"LOADBELL_CONFIG_FILE: {name} can't be read: {error}.") from None
    values = {}
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or key.strip() not in DEFAULTS:
            raise BadSetting(f"LOADBELL_CONFIG_FILE: line {number} of {name} is not NAME=value with a known name.")
        values[key.strip()] = value.strip()
    return values


def _database_url(text: str, data_dir: Path) -> str:
    if not text:
        return f"sqlite:///{quote(str(data_dir / 'loadbell.sqlite3'))}"
    try:
        parts = urlsplit(text)
        _ = parts.port  # the password of a URL that was not quoted may stand where its port should be
    except ValueError:
        raise BadSetting(
            "LOADBELL_DATABASE_URL: it is not a URL. In a password write / : @ ? # % as %2F %3A %40 %3F %23 %25."
        ) from None
    if parts.scheme == "sqlite" and not parts.netloc and parts.path.startswith("//") and len(parts.path) > 2:  # noqa: PLR2004 - more than the two slashes
        return f"sqlite:///{parts.path[1:]}"
    if parts.scheme in {"postgresql", "postgres"} and parts.path.strip("/"):
        return text
    raise BadSetting(
        "LOADBELL_DATABASE_URL: write sqlite:////absolute/path or postgresql://user:password@host:port/database."
    )


def _base_url(text: str) -> str | None:
    if not text:
        return None
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and parts.hostname and not parts.query and not parts.fragment
    except ValueError:
        usable = False
    if not usable:
        raise BadSetting(f"LOADBELL_BASE_URL: {text!r} is not an address such as https://loadbell.example.org.")
    return text.rstrip("/")


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
    path = Path(text)
    if not path.is_file():
        raise BadSetting(f"LOADBELL_CA_FILE: {text} is not a file.")
    try:
        ssl.create_default_context(cafile=text)
    except OSError as error:
        raise BadSetting(f"LOADBELL_CA_FILE: {text} has no certificates that can be read: {error}.") from None
    return path


def _mail(url: str, sender: str) -> MailServer | None:
    named = re.fullmatch(r"([^<>\x00-\x1f\x7f]*)<([^<>]*)>", sender)
    name, address = (named[1].strip().strip('"'), named[2]) if named else ("", sender)
    if sender and not (is_email(address) and address.isascii()):
        raise BadSetting("LOADBELL_SMTP_FROM: write bell@example.org or Loadbell <bell@example.org>.")
    if not url:
        return None
    if not sender:
        raise BadSetting("LOADBELL_SMTP_FROM: required with LOADBELL_SMTP_URL. Give the address that mail is from.")
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
        raise BadSetting("LOADBELL_SMTP_URL: the user and the password may have ASCII characters only.")
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
