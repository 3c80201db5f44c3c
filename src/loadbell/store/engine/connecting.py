"""The one way to connect to PostgreSQL: for the pool, the sessions and the migrations, from one reading of the URL."""

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
    asyncpg.InternalClientError,  # a connection that was lost in the middle of a statement is asked for the next one
)
"""The server does not answer just now."""

NO_CONNECTION = (*OUT_OF_REACH, asyncpg.PostgresError, ValueError)
"""What making a connection may end with; ``ValueError``: a host that is no name, or a bad variable of libpq's."""

_CONNECT_S = "10"
_TLS = frozenset(
    {
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version"),
    }
)


def arguments(url: str) -> dict[str, Any]:
    """What asyncpg is called with for ``url``. What it leaves open asyncpg takes from libpq's variables, or its own."""
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
        "dsn": f"postgresql://?{urlencode(tls)}" if tls else None,  # asyncpg takes these in no other way
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
    """A connection of its own to the server that ``url`` names.

    Raises:
        Unreachable: it does not answer or does not let us in; the message shows no secret.
    """
    try:
        return await asyncpg.connect(**arguments(url))
    except NO_CONNECTION as error:
        raise unreachable_error(url, error) from None


def unreachable_error(url: str, error: Exception) -> Unreachable:
    """What to tell when the server named by ``url`` can't be used, without any secret in it."""
    return Unreachable(
        f"The database at {parse_postgresql_url(url).where} can't be used: {type(error).__name__}: {error}. "
        "Check LOADBELL_DATABASE_URL and that the server is running."
    )
