"""The settings: each one read, its default, where it comes from, and what is said of a bad one."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import certifi
import platformdirs
import pytest

from loadbell.domain.ids import SECOND
from loadbell.domain.quotas import Quotas
from loadbell.domain.retry import RetrySchedule
from loadbell.setting_texts import BadSetting
from loadbell.settings import DEFAULTS, Settings, load_settings

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
SENTINEL = "s3ntinel"


def test_the_defaults() -> None:
    """With nothing set loadbell uses SQLite in the user's data folder, the documented schedule and times."""
    folder = Path(platformdirs.user_data_dir("loadbell"))
    settings = load_settings({})

    assert folder == settings.data_dir
    assert folder / "loadbell.sqlite3" == settings.sqlite_path
    assert ((), None, (), None, "console") == (
        settings.secret_key, settings.base_url, settings.allowed_networks, settings.ca_file, settings.log_format,
    )  # fmt: skip
    assert () == settings.trusted_proxies
    assert (15 * SECOND, 2 * MINUTE) == (settings.send_timeout, settings.watchdog)
    assert RetrySchedule.parse("5s,30s,2m,10m,30m,2h,5h,10h,10h") == settings.retry_schedule


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("DATA_DIR", "/srv/load bell", "data_dir", Path("/srv/load bell")),
        ("SECRET_KEY", "one, two ,", "secret_key", ("one", "two")),
        ("BASE_URL", "https://bell.example.org/sub/", "base_url", "https://bell.example.org/sub"),
        ("ALLOWED_NETWORKS", "10.1.0.0/16, ::1", "allowed_networks", (ip_network("10.1.0.0/16"), ip_network("::1"))),
        ("ALLOWED_NETWORKS", "127.0.0.1", "allowed_networks", (ip_network("127.0.0.1/32"),)),
        ("TRUSTED_PROXIES", "10.0.3.7, ::1", "trusted_proxies", (ip_network("10.0.3.7"), ip_network("::1"))),
        ("RETRY_SCHEDULE", "1s, 2m", "retry_schedule", RetrySchedule((SECOND, 2 * MINUTE))),
        ("SEND_TIMEOUT", "500ms", "send_timeout", SECOND // 2),
        ("WATCHDOG", "1h", "watchdog", HOUR),
        ("MAX_CHANNELS", "7", "quotas", Quotas(channels=7)),
        ("MAX_PROJECTS", "7", "quotas", Quotas(projects=7)),
        ("MAX_TOKENS", "7", "quotas", Quotas(tokens=7)),
        ("MAX_INVITATIONS", "7", "quotas", Quotas(invitations=7)),
        ("MAX_MEMBERS", "7", "quotas", Quotas(members=7)),
        ("MAX_RUN_REPORTS_PER_MINUTE", "7", "quotas", Quotas(reports_per_minute=7)),
        ("LOG_FORMAT", "json", "log_format", "json"),
        ("LOG_FORMAT", "  json  ", "log_format", "json"),
        ("CA_FILE", certifi.where(), "ca_file", Path(certifi.where())),
        ("DATABASE_URL", "postgresql://u:p@h:5432/d?sslmode=require", "database_url", None),
        ("DATABASE_URL", "postgres://u@h/d", "database_url", None),
    ],
)
def test_each_setting_is_read(name: str, value: str, field: str, expected: Any) -> None:
    """From the environment, under its own name."""
    settings = load_settings({f"LOADBELL_{name}": value})

    assert (value if expected is None else expected) == getattr(settings, field)


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_value_is_the_default(name: str, empty: str) -> None:
    """As compose files and service units write what is not set."""
    assert load_settings({}) == load_settings({name: empty})


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////srv/bell.db", "/srv/bell.db"),
        ("sqlite:////srv/a%20b%3F/bell.db", "/srv/a b?/bell.db"),
    ],
)
def test_a_sqlite_url_names_a_file(url: str, path: str) -> None:
    """Four slashes and an absolute path, percent-decoded."""
    assert Path(path) == load_settings({"LOADBELL_DATABASE_URL": url}).sqlite_path


@pytest.mark.parametrize("name", ["plain", "with space", "100%", "a%41b", "what?", "num#ber", "ünï", "semi;colon"])
def test_any_data_folder_holds_the_database(tmp_path: Path, name: str) -> None:
    """Whatever characters its name has, the database lies in it and nowhere else."""
    folder = tmp_path / name

    assert folder / "loadbell.sqlite3" == load_settings({"LOADBELL_DATA_DIR": str(folder)}).sqlite_path


def test_postgresql_is_no_file() -> None:
    """There is no SQLite path then."""
    assert load_settings({"LOADBELL_DATABASE_URL": "postgresql://h/d"}).sqlite_path is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOADBELL_MAX_CHANNELS", "0"),
        ("LOADBELL_MAX_PROJECTS", "-1"),
        ("LOADBELL_MAX_TOKENS", "1.5"),
        ("LOADBELL_MAX_INVITATIONS", "many"),
        ("LOADBELL_MAX_MEMBERS", "1,000"),
        ("LOADBELL_MAX_RUN_REPORTS_PER_MINUTE", "1000001"),
        ("LOADBELL_DATABASE_URL", "mysql://h/d"),
        ("LOADBELL_DATABASE_URL", "sqlite://relative.db"),
        ("LOADBELL_DATABASE_URL", "sqlite:///relative.db"),
        ("LOADBELL_DATABASE_URL", "sqlite:////"),
        ("LOADBELL_DATABASE_URL", "postgresql://h"),
        ("LOADBELL_DATABASE_URL", "postgresql://h:port/d"),
        ("LOADBELL_DATABASE_URL", "postgresql://[::1/d"),
        ("LOADBELL_DATABASE_URL", "/srv/bell.db"),
        ("LOADBELL_BASE_URL", "bell.example.org"),
        ("LOADBELL_BASE_URL", "ftp://bell.example.org"),
        ("LOADBELL_BASE_URL", "https://"),
        ("LOADBELL_BASE_URL", "https://bell.example.org/?x=1"),
        ("LOADBELL_BASE_URL", "https://[::1"),
        ("LOADBELL_BASE_URL", "https://kim:pw@bell.example.org"),
        ("LOADBELL_BASE_URL", "https://bell.example.org:port"),
        ("LOADBELL_BASE_URL", "https://bell example.org"),
        ("LOADBELL_BASE_URL", "https://bell..example.org"),
        ("LOADBELL_BASE_URL", "http://0.0.0.0:8025"),
        ("LOADBELL_BASE_URL", "http://[::]:8025"),
        ("LOADBELL_BASE_URL", "https://bell.example.org/a b"),
        ("LOADBELL_BASE_URL", "https://bell.example.org/a;b"),
        ("LOADBELL_BASE_URL", "https://bell.example.org/a%2fb"),
        ("LOADBELL_BASE_URL", "https://bell.example.org/a//b"),
        ("LOADBELL_BASE_URL", "https://bell.example.org/a/../b"),
        ("LOADBELL_ALLOWED_HOSTS", "loadbell:8025"),
        ("LOADBELL_ALLOWED_HOSTS", "http://loadbell"),
        ("LOADBELL_ALLOWED_HOSTS", "*.example.org"),
        ("LOADBELL_ALLOWED_NETWORKS", "everything"),
        ("LOADBELL_ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("LOADBELL_ALLOWED_NETWORKS", "10.0.0.0/33"),
        ("LOADBELL_TRUSTED_PROXIES", "proxy.example.org"),
        ("LOADBELL_RETRY_SCHEDULE", "5s,soon"),
        ("LOADBELL_RETRY_SCHEDULE", "5s,999999999d"),
        ("LOADBELL_SEND_TIMEOUT", "15"),
        ("LOADBELL_SEND_TIMEOUT", "0s"),
        ("LOADBELL_WATCHDOG", "-1s"),
        ("LOADBELL_WATCHDOG", "36501d"),
        ("LOADBELL_LOG_FORMAT", "xml"),
        ("LOADBELL_CA_FILE", "/nowhere/ca.pem"),
        ("LOADBELL_CA_FILE", "/"),
        ("LOADBELL_CA_FILE", __file__),
        ("LOADBELL_CONFIG_FILE", "/nowhere/bell.conf"),
        ("LOADBELL_SMTP_FROM", "Bell bell@example.org"),
        ("LOADBELL_SMTP_FROM", "<bell@example.org"),
        ("LOADBELL_SMTP_FROM", "a@example.org, b@example.org"),
        ("LOADBELL_SMTP_FROM", "Bell\n<bell@example.org>"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    """The message begins with the setting, so that nobody has to guess."""
    with pytest.raises(BadSetting) as refused:
        load_settings({name: value})

    assert str(refused.value).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy.example.org:3128", ("http", "proxy.example.org", 3128, None, None, "proxy.example.org:3128")),
        ("HTTPS://[::1]:443/", ("https", "::1", 443, None, None, "[::1]:443")),
        ("http://kim:p%40ss%3A@10.0.0.1:80", ("http", "10.0.0.1", 80, "kim", "p@ss:", "10.0.0.1:80")),
        (
            "http://é.fr:80",
            ("http", "xn--9ca.fr", 80, None, None, "xn--9ca.fr:80"),
        ),
    ],
)
def test_an_outbound_proxy_is_read(url: str, expected: tuple[Any, ...]) -> None:
    """Where it is, how it is spoken to, as whom, and what of that may be shown."""
    proxy = load_settings({"LOADBELL_OUTBOUND_PROXY": url}).outbound_proxy

    assert proxy is not None
    assert expected == (proxy.scheme, proxy.host, proxy.port, proxy.user, proxy.password, proxy.place)


@pytest.mark.parametrize(
    "url",
    [
        f"http://u:{SENTINEL}@h", f"http://u:{SENTINEL}@h:0", f"socks5://u:{SENTINEL}@h:1080", f"u:{SENTINEL}@h:3128",
        f"http://u:{SENTINEL}@h:3128/x", f"http://u:{SENTINEL}@h:3128?x", f"http://:{SENTINEL}@h:3128",
        f"http://u:{SENTINEL}@:3128", f"http://u:{SENTINEL}@x@h:3128", f"http://u:{SENTINEL}%0a@h:3128",
        f"http://u:{SENTINEL}/@h:3128", f"http://u:{SENTINEL}@a..b:3128", f"http://u:{SENTINEL}@[::1:3128",
    ],
)  # fmt: skip
def test_a_bad_outbound_proxy_is_named_without_its_password(url: str) -> None:
    """As a bad mail server is."""
    with pytest.raises(BadSetting, match=r"^LOADBELL_OUTBOUND_PROXY: write ") as refused:
        load_settings({"LOADBELL_OUTBOUND_PROXY": url})

    assert SENTINEL not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail", ("mail", 587, "starttls", None, None)),
        ("smtp://mail:25?starttls=never", ("mail", 25, "never", None, None)),
        ("smtps://bell:p%40ss%3A@[::1]", ("::1", 465, "from the start", "bell", "p@ss:")),
        ("smtp://bell:x@mail.example.org:2525/?starttls=required", ("mail.example.org", 2525, "starttls", "bell", "x")),
    ],
)
def test_a_mail_server_is_read(url: str, expected: tuple[Any, ...]) -> None:
    """Where it is, how the connection is encrypted, and as whom mail is handed over."""
    mail = load_settings({"LOADBELL_SMTP_URL": url, "LOADBELL_SMTP_FROM": "Löad <bell@example.org>"}).mail

    assert mail is not None
    assert expected == (mail.host, mail.port, mail.tls, mail.user, mail.password)
    assert ("Löad", "bell@example.org") == (mail.sender_name, mail.sender)


def test_without_its_url_no_mail_is_sent() -> None:
    """A sender alone changes nothing; a mail server needs one."""
    assert load_settings({"LOADBELL_SMTP_FROM": "bell@example.org"}).mail is None
    with pytest.raises(BadSetting, match=r"^LOADBELL_SMTP_FROM: required"):
        load_settings({"LOADBELL_SMTP_URL": "smtp://mail"})


@pytest.mark.parametrize(
    "url",
    [
        f"http://u:{SENTINEL}@h", f"smtp://u:{SENTINEL}@", f"smtp://u:{SENTINEL}@h:port", f"smtp://u:{SENTINEL}#x@h",
        f"smtp://u:{SENTINEL}/x@h", f"smtp://u:{SENTINEL}?x@h", f"smtp://u:{SENTINEL}@h/x", f"smtp://{SENTINEL}@h",
        f"smtp://:{SENTINEL}@h", f"smtp://u:{SENTINEL}@h?starttls=maybe", f"smtps://u:{SENTINEL}@h?starttls=never",
        f"smtp://u:ü{SENTINEL}@h", f"smtp://u:{SENTINEL}@h:0", f"smtp://u:[{SENTINEL}@h", f"smtp://u:{SENTINEL}@h#x",
    ],
)  # fmt: skip
def test_a_bad_mail_server_is_named_without_its_password(url: str) -> None:
    """Nor is it in the traceback's causes."""
    with pytest.raises(BadSetting, match=r"^LOADBELL_SMTP_URL: ") as refused:
        load_settings({"LOADBELL_SMTP_URL": url, "LOADBELL_SMTP_FROM": "bell@example.org"})

    assert SENTINEL not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://u:{SENTINEL}@h/d",
        f"postgresql://u:{SENTINEL}@h",
        f"postgresql://u:{SENTINEL}@h:port/d",
        f"postgresql://u:{SENTINEL}/x@h/d",
        f"postgresql://u:{SENTINEL}#x@h/d",
        f"postgresql://u:{SENTINEL}?x@h/d",
        f"postgresql://u:[{SENTINEL}@[h/d",
        f"postgresql://u:1234/{SENTINEL}@h/d",
        f"postgresql://u:{SENTINEL}%@h/d",
        f"postgresql://u:{SENTINEL}%00@h/d",
        f"postgresql://u:{SENTINEL}@x@h/d",
        f"postgresql://h/d?password={SENTINEL}=",
        f"postgresql://h/d?{SENTINEL}=x",
        f"postgresql://h/d?sslmode={SENTINEL}",
        f"postgresql://h/d?service={SENTINEL}",
        f"postgresql://h/d?sslrootcert=/{SENTINEL}",
    ],
)
def test_no_message_shows_the_password(url: str) -> None:
    """Not even one whose odd characters make the URL unreadable, and not in the traceback's causes either."""
    with pytest.raises(BadSetting) as refused:
        load_settings({"LOADBELL_DATABASE_URL": url})

    assert SENTINEL not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_settings_that_are_printed_show_no_secret() -> None:
    """Neither keys nor the database's password are in their repr."""
    settings = load_settings(
        {
            "LOADBELL_SECRET_KEY": f"{SENTINEL}-key",
            "LOADBELL_DATABASE_URL": f"postgresql://u:{SENTINEL}@h/d",
            "LOADBELL_SMTP_URL": f"smtp://u:{SENTINEL}@h",
            "LOADBELL_SMTP_FROM": "bell@example.org",
            "LOADBELL_OUTBOUND_PROXY": f"http://u:{SENTINEL}@h:3128",
        }
    )

    assert SENTINEL not in repr(settings)
    assert SENTINEL in settings.database_url


def _file(folder: Path, text: str) -> dict[str, str]:
    path = folder / "bell.conf"
    path.write_text(text, encoding="utf-8")
    return {"LOADBELL_CONFIG_FILE": str(path)}


def test_a_file_gives_settings_and_the_environment_wins(tmp_path: Path) -> None:
    """Lines of NAME=value, comments and empty lines; an empty variable of the environment does not hide the file's."""
    body = _file(
        tmp_path,
        "# loadbell\n\n LOADBELL_WATCHDOG = 5m \nLOADBELL_SEND_TIMEOUT=3s\r\n"
        "LOADBELL_BASE_URL=https://a.example.org/=x\nLOADBELL_LOG_FORMAT=\n",
    )
    settings = load_settings({**body, "LOADBELL_SEND_TIMEOUT": "4s", "LOADBELL_WATCHDOG": " "})

    assert (5 * MINUTE, 4 * SECOND, "https://a.example.org/=x", "console") == (
        settings.watchdog, settings.send_timeout, settings.base_url, settings.log_format,
    )  # fmt: skip


@pytest.mark.parametrize(
    "line", [f"LOADBELL_SECRET_KY={SENTINEL}", f"LOADBELL_SECRET_KEY {SENTINEL}", f"{SENTINEL}", f"PATH={SENTINEL}"]
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    """And never shown: it may hold a secret."""
    with pytest.raises(BadSetting) as refused:
        load_settings(_file(tmp_path, f"LOADBELL_WATCHDOG=5m\n{line}\n"))

    assert re.match(r"LOADBELL_CONFIG_FILE: line 2 of .*bell\.conf", str(refused.value))
    assert SENTINEL not in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """By its setting's name."""
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSetting, match="LOADBELL_CONFIG_FILE"):
        load_settings({"LOADBELL_CONFIG_FILE": str(path)})


def test_a_bad_value_in_the_file_is_named(tmp_path: Path) -> None:
    """As one of the environment is."""
    with pytest.raises(BadSetting, match=r"^LOADBELL_WATCHDOG: "):
        load_settings(_file(tmp_path, "LOADBELL_WATCHDOG=soon\n"))


def test_settings_are_frozen() -> None:
    """They are read once."""
    settings: Settings = load_settings({})
    with pytest.raises(AttributeError):
        settings.watchdog = 1  # type: ignore[misc]  # what is refused


def test_other_variables_are_nobodys_business() -> None:
    """An unknown variable of the environment is not an error: it may be another program's."""
    assert load_settings({}) == load_settings({"LOADBELL_SOMETHING": "x", "PATH": "/bin", "HOME": "/"})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://Bell.Example.org/", "https://bell.example.org"),
        ("HTTPS://bell.example.org:8443/tools/loadbell/", "https://bell.example.org:8443/tools/loadbell"),
        ("http://[::1]:8025", "http://[::1]:8025"),
        ("https://büro.example/", "https://xn--bro-hoa.example"),
    ],
)
def test_the_base_url_is_as_browsers_write_it(given: str, kept: str) -> None:
    """So that it can be compared with what they send, and that paths can be put behind it."""
    assert load_settings({"LOADBELL_BASE_URL": given}).base_url == kept
