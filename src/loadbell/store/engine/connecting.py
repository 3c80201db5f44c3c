"""Connects to PostgreSQL: the same reading of the URL for the pool, the sessions and the migrations."""

from typing import Any
from urllib.parse import urlencode

import asyncpg

from loadbell.domain.postgresql_url import SYSTEM_CERTIFICATES, parse_postgresql_url
from loadbell.outbound.trust import system_bundle
from loadbell.store.engine.problems import Unreachable

OUT_OF_REACH = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,  # the next statement on a connection that was lost during a statement
)
"""Errors that mean the server doesn't respond right now."""

NO_CONNECTION = (*OUT_OF_REACH, asyncpg.PostgresError, ValueError)
"""Errors of connecting; ``ValueError``: an invalid host name, or a bad libpq variable."""

_CONNECT_S = "10"
_TLS = frozenset(
    {
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version"),
    }
)


def arguments(url: str) -> dict[str, Any]:
    """Returns asyncpg's arguments for ``url``. asyncpg fills the rest from libpq's variables or its own defaults."""
    parsed = parse_postgresql_url(url)
    values = parsed.parameters
    session = {
        "application_name": values.get("application_name") or values.get("fallback_application_name"),
        "options": values.get("options"),
    }
    tls = {name: value for name, value in values.items() if name in _TLS}
    if tls.get("sslrootcert") == SYSTEM_CERTIFICATES:
        tls |= {"sslrootcert": str(system_bundle()), "sslmode": "verify-full"}
    return {
        "dsn": f"postgresql://?{urlencode(tls)}" if tls else None,  # asyncpg accepts these only in a DSN
        "host": list(parsed.hosts) or None,
        "port": list(parsed.ports) or None,
        "database": parsed.database,
        "user": values.get("user"),
        "password": values.get("password"),
        "passfile": values.get("passfile"),
        "target_session_attrs": values.get("target_session_attrs"),
        "server_settings": {name: value for name, value in session.items() if value},
        "timeout": int(values.get("connect_timeout", _CONNECT_S)),
    }


async def connect(url: str) -> Any:
    """Opens a separate connection to the server that ``url`` names.

    Raises:
        Unreachable: it doesn't respond or refuses us; the message shows no secret.
    """
    try:
        return await asyncpg.connect(**arguments(url))
    except NO_CONNECTION as error:
        raise unreachable_error(url, error) from None


def unreachable_error(url: str, error: Exception) -> Unreachable:
    """Returns the error for a server that can't be used; its message shows no secret."""
    return Unreachable(
        f"The database at {parse_postgresql_url(url).where} can't be used: {type(error).__name__}: {error}. "
        "Check LOADBELL_DATABASE_URL and that the server is running."
    )
