"""PostgreSQL's URLs: each of libpq's parameters does what it says on a real server, or is refused before that."""

import asyncio
import os
import shutil
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import asyncpg
import pytest

from loadbell.domain.postgresql_url import parse_postgresql_url
from loadbell.setting_texts import BadSetting
from loadbell.settings import load_settings
from loadbell.store.engine.connecting import connect
from loadbell.store.engine.migrate import check_postgresql, upgrade_postgresql
from loadbell.store.engine.problems import Unreachable
from loadbell.store.engine.statements import Statement
from tests.outbound.certificates import Authority
from tests.support.postgres import MISSING, find_binaries, running_postgres
from tests.support.stores import open_store

SENTINEL = "s3ntinel"

# https://www.postgresql.org/docs/17/libpq-connect.html#LIBPQ-PARAMKEYWORDS
LIBPQ = {
    "host": "127.0.0.1", "hostaddr": "127.0.0.1", "port": "5432", "dbname": "x", "user": "x", "password": "x",
    "passfile": "/dev/null", "require_auth": "scram-sha-256", "channel_binding": "require", "connect_timeout": "5",
    "client_encoding": "LATIN1", "options": "-c geqo=off", "application_name": "x", "fallback_application_name": "x",
    "keepalives": "0", "keepalives_idle": "30", "keepalives_interval": "5", "keepalives_count": "3",
    "tcp_user_timeout": "1000", "replication": "database", "gssencmode": "require", "sslmode": "prefer",
    "sslnegotiation": "postgres", "sslcompression": "1", "sslcert": "/dev/null", "sslkey": "/dev/null",
    "sslpassword": "x", "sslcertmode": "require", "sslrootcert": "/dev/null", "sslcrl": "/dev/null",
    "sslcrldir": "/tmp", "sslsni": "0", "requirepeer": "postgres", "ssl_min_protocol_version": "TLSv1.2",
    "ssl_max_protocol_version": "TLSv1.3", "krbsrvname": "postgres", "gsslib": "gssapi", "gssdelegation": "1",
    "service": "x", "target_session_attrs": "read-write", "load_balance_hosts": "random",
}  # fmt: skip
UNDERSTOOD = {
    "host", "port", "dbname", "user", "password", "passfile", "connect_timeout", "options", "application_name",
    "fallback_application_name", "sslmode", "sslnegotiation", "sslcert", "sslpassword", "sslrootcert", "sslcrl",
    "ssl_min_protocol_version", "ssl_max_protocol_version", "target_session_attrs",
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), LIBPQ.items())
def test_each_parameter_of_libpq_is_understood_or_refused(name: str, value: str) -> None:
    """None is passed over in silence: what it asks for could be what makes the connection safe."""
    url = f"postgresql://u:{SENTINEL}@127.0.0.1/d?{name}={quote(value)}"
    if name in UNDERSTOOD:
        assert url == load_settings({"LOADBELL_DATABASE_URL": url}).database_url
        return
    with pytest.raises(BadSetting, match=rf"^LOADBELL_DATABASE_URL: .*{name}") as refused:
        load_settings({"LOADBELL_DATABASE_URL": url})
    assert SENTINEL not in str(refused.value)


@pytest.mark.parametrize(
    "query",
    [
        "channel_binding=prefer", "gssencmode=disable", "keepalives=1", "sslsni=1", "client_encoding=utf8", "ssl=true",
        "load_balance_hosts=disable", "sslcertmode=allow", "sslcompression=0", "sslrootcert=system", "sslmode=", "",
    ],
)  # fmt: skip
def test_what_the_driver_does_anyway_may_be_asked_for(query: str) -> None:
    """As the URLs of hosting companies do."""
    load_settings({"LOADBELL_DATABASE_URL": f"postgresql://u:p@127.0.0.1/d?{query}"})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@h/d?statement_timeout=5", "postgresql://u:p@h/d?pgbouncer=true", "postgresql://h/d?sslmode",
        "postgresql://u:p@h/d?sslmode=on", "postgresql://u:p@h/d?ssl=false", "postgresql://u:p@h/d?connect_timeout=0",
        "postgresql://u:p@h/d?connect_timeout=soon", "postgresql://u:p@h/d?target_session_attrs=standby",
        "postgresql://u:p@h1,h2,h3/d?port=1,2", "postgresql://u:p@h:0/d", "postgresql://u:p@h:65536/d",
        "postgresql://u:p@h,/d", "postgresql://u:p@::1/d", "postgresql://u:p@h/d?host=a,,b", "postgresql://u:p@h?host=a",
        "postgresql://u:p@h/d?sslrootcert=system&sslmode=require", "postgresql://u:p@h/d?sslnegotiation=direct",
        "postgresql://u:p@h/d?sslkey=/dev/null", "postgresql://u:p@h/d?sslrootcert=~/x", "postgresql://u:p@h/%zz",
        "postgresql://u:p@h/d?passfile=/nowhere", "postgresql://u:p@h/d?port=x", "postgresql://u:p%ff@h/d",
        "postgresql://u:p@h/d?a b=c", "postgresql+asyncpg://u:p@h/d", "postgresql:/h/d", "postgresql://u:p@h/d#x",
    ],
)  # fmt: skip
def test_a_bad_postgresql_url_is_refused(url: str) -> None:
    """In a sentence that names the setting, before anything is connected to."""
    with pytest.raises(BadSetting, match=r"^LOADBELL_DATABASE_URL: .*\.$"):
        load_settings({"LOADBELL_DATABASE_URL": url})


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://u:p@h/d", "h:5432/d"),
        ("postgres://u:p@h:6432/d", "h:6432/d"),
        ("postgresql://u:p@[2001:db8::1]/d", "[2001:db8::1]:5432/d"),
        ("postgresql://u:p@a:1,b,[::1]:3/d", "a:1,b:5432,[::1]:3/d"),
        ("postgresql://u:p@a,b/d?port=7", "a:7,b:7/d"),
        ("postgresql://u:p@localhost/d?host=/cloudsql/x", "/cloudsql/x:5432/d"),
        ("postgresql://%2Frun%2Fpg/d", "/run/pg:5432/d"),
        ("postgresql:///d", "localhost:5432/d"),
        ("postgresql://:5433/d", "localhost:5433/d"),
        ("postgresql://?dbname=d&host=h", "h:5432/d"),
    ],
)
def test_where_the_server_is(url: str, where: str) -> None:
    """One host or several, names, addresses or sockets; what stands behind the question mark wins, as in libpq."""
    assert where == parse_postgresql_url(url).where


def _with(url: str, **parameters: str) -> str:
    return f"{url}?{urlencode(parameters, quote_via=quote)}"


def test_every_connection_carries_what_the_url_says(postgres_store: str) -> None:
    """The pool's, the worker's, that of the pages, and those of a migration: name, session settings and deadline."""
    url = _with(
        postgres_store, application_name="bell & ring", options="-c statement_timeout=54321", connect_timeout="9",
        target_session_attrs="read-write", sslmode="disable", channel_binding="prefer",
    )  # fmt: skip
    statement = Statement(
        "SELECT application_name AS name, COUNT(*) AS count FROM pg_stat_activity "
        "WHERE datname = current_database() GROUP BY application_name"
    )
    timeout = Statement("SELECT current_setting('statement_timeout') AS timeout")

    async def scenario() -> None:
        await check_postgresql(url)
        await upgrade_postgresql(url)
        async with open_store(url) as database:
            await database.enlist_worker()
            await database.watch_changes(lambda _: None)
            names = {row["name"]: row["count"] for row in await database.read(lambda tx: tx.all(statement))}
            assert ("54321ms", True) == ((await database.read(lambda tx: tx.all(timeout)))[0]["timeout"],
                                         names["bell & ring"] >= 3)  # fmt: skip

    asyncio.run(scenario())


def test_credentials_may_stand_anywhere_that_libpq_looks(postgres_store: str, tmp_path: Path) -> None:
    """Behind the question mark, in a file of passwords, and with a dead server before the living one."""
    parts = urlsplit(postgres_store)
    assert parts.password is not None
    passfile = tmp_path / "pass"
    passfile.write_text(f"*:*:*:*:{parts.password}\n")
    passfile.chmod(0o600)
    place = f"127.0.0.1:{parts.port}{parts.path}"
    for url in (
        _with(f"postgresql://{place}", user=str(parts.username), password=parts.password),
        _with(f"postgresql://{parts.username}@{place}", passfile=str(passfile)),
        f"postgresql://{parts.username}:{parts.password}@127.0.0.1:1,{place}",
        _with(
            f"postgresql://nobody:nothing@nowhere:1{parts.path}",
            host="127.0.0.1",
            port=str(parts.port),
            user=str(parts.username),
            password=parts.password,
        ),
    ):
        load_settings({"LOADBELL_DATABASE_URL": url})
        asyncio.run(check_postgresql(url))


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _is_encrypted(url: str) -> bool:
    connection = await connect(url)
    try:
        return bool(await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
    finally:
        await connection.close()


def test_the_modes_of_tls_do_what_they_say(tmp_path: Path) -> None:
    """Against a real server with a certificate: what is asked for is checked, by which authority and for which host."""
    if find_binaries() is None:
        pytest.skip(MISSING)
    with running_postgres() as server:
        authority = Authority(tmp_path)
        authority.context("localhost")
        files = server.folder / "data" / "server.pem"
        shutil.copy(tmp_path / "localhost.pem", files)
        files.chmod(0o600)
        os.chown(files, server.folder.stat().st_uid, server.folder.stat().st_gid)
        names = [f"ALTER SYSTEM SET {name} = 'server.pem'" for name in ("ssl_cert_file", "ssl_key_file")]
        asyncio.run(_execute(server.url, *names, "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"))
        text = server.url.replace("127.0.0.1", "localhost")
        ours = str(authority.ca_file)

        while not asyncio.run(_is_encrypted(_with(server.url, sslmode="prefer"))):
            pass  # the reload is on its way
        assert not asyncio.run(_is_encrypted(_with(server.url, sslmode="disable")))
        assert asyncio.run(_is_encrypted(_with(server.url, ssl="true")))
        assert asyncio.run(_is_encrypted(_with(server.url, sslmode="verify-ca", sslrootcert=ours)))
        assert asyncio.run(_is_encrypted(_with(text, sslmode="verify-full", sslrootcert=ours)))
        asyncio.run(upgrade_postgresql(_with(text, sslmode="verify-full", sslrootcert=ours)))
        for url in (
            _with(server.url, sslmode="verify-full", sslrootcert=ours),  # another name than the certificate's
            _with(text, sslrootcert="system"),  # another authority
        ):
            with pytest.raises(Unreachable, match="Check LOADBELL_DATABASE_URL"):
                asyncio.run(check_postgresql(url))


def test_a_host_that_is_no_name_is_unreachable() -> None:
    """Not an error that nobody expected."""
    for host in ("a" * 64 + ".example", "a..example"):
        with pytest.raises(Unreachable, match=r"The database at .* can't be used"):
            asyncio.run(check_postgresql(f"postgresql://u:{SENTINEL}@{host}/d"))
