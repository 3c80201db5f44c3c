"""How the URL of a database is read: what each part says, which values it may have, and the sentence if it has another.

That a real server is reached so is shown by ``tests/store/test_connecting.py``.
"""

import pytest

from loadbell.domain.postgresql_url import PostgresUrl, parse_postgresql_url

SENTINEL = "s3ntinel"


@pytest.mark.parametrize(
    ("rest", "hosts", "ports"),
    [
        ("/d", (), ()),
        ("h/d", ("h",), ()),
        ("h:/d", ("h",), ()),
        ("h:1/d", ("h",), (1,)),
        ("h:65535/d", ("h",), (65_535,)),
        (":5433/d", (), (5_433,)),
        ("a:1,b,[::1]:3/d", ("a", "b", "::1"), (1, 5_432, 3)),
        ("a,[fe80::1%25eth0]/d", ("a", "fe80::1%eth0"), ()),
        ("%2Frun%2Fpg/d", ("/run/pg",), ()),
        ("a:1/d?host=b,/c&port=2,3", ("b", "/c"), (2, 3)),
        ("a,b/d?port=7", ("a", "b"), (7,)),
    ],
)
def test_the_servers(rest: str, hosts: tuple[str, ...], ports: tuple[int, ...]) -> None:
    """In their order; what is said of the port of one of them is said of all, by 5432 where it is left out."""
    assert PostgresUrl(hosts, ports, "d", {}) == parse_postgresql_url(f"postgresql://{rest}")


@pytest.mark.parametrize(
    ("rest", "parameters"),
    [
        ("kim@h/d", {"user": "kim"}),
        ("kim:a%3Ab%40%C3%BC@h/d", {"user": "kim", "password": "a:b@\u00fc"}),
        ("kim:a:b@h/d", {"user": "kim", "password": "a:b"}),
        ("kim@h/x?dbname=d&user=lee&password=a+b", {"user": "lee", "password": "a+b"}),
        ("h/d?ssl=true", {"sslmode": "require"}),
        ("h/d?sslmode=&connect_timeout=", {}),
        ("h/d?connect_timeout=1", {"connect_timeout": "1"}),
        ("h/d?connect_timeout=600", {"connect_timeout": "600"}),
        ("h/d?options=-c%20a%3Db", {"options": "-c a=b"}),
        ("h/d?sslrootcert=system", {"sslrootcert": "system"}),
        ("h/d?sslrootcert=system&sslmode=verify-full", {"sslrootcert": "system", "sslmode": "verify-full"}),
        ("h/d?sslcert=/c", {"sslcert": "/c"}),
        ("h/d?sslkey=/k&sslcert=/c", {"sslkey": "/k", "sslcert": "/c"}),
        *(
            (f"h/d?sslmode={mode}&sslnegotiation=direct", {"sslmode": mode, "sslnegotiation": "direct"})
            for mode in ("require", "verify-ca", "verify-full")
        ),
        ("h/d?sslnegotiation=postgres", {"sslnegotiation": "postgres"}),
    ],
)
def test_what_else_it_says(rest: str, parameters: dict[str, str]) -> None:
    """By libpq's names, decoded; what stands behind the question mark wins, and an empty value says nothing."""
    for scheme in ("postgresql", "postgres", "PostgreSQL"):
        assert PostgresUrl(("h",), (), "d", parameters) == parse_postgresql_url(f"{scheme}://{rest}")


NO_URL = "it is not a URL such as "
NO_HOST = "a host or port isn't valid. "
NO_PORT = "a port isn't a number from 1 to 65,535"
NO_PAIRS = "after the ?, write name=value pairs, joined by &. "
NO_SECONDS = "connect_timeout is not a whole number of seconds from 1 to 600"
NO_DECODING = "a % isn't followed by the two hex digits of a printable character. Write % as %25"
NEEDS_TLS = "sslnegotiation=direct requires sslmode=require, verify-ca or verify-full"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"mysql://{SENTINEL}@h/d", NO_URL),
        (f"postgres:/{SENTINEL}/d", NO_URL),
        (f"postgres://a@{SENTINEL}@h/d", NO_URL),
        (f"postgres://h/d#{SENTINEL}", NO_URL),
        (f"postgres://::1{SENTINEL}/d", NO_HOST),
        ("postgres://h,/d", NO_HOST),
        ("postgres://h,:1/d", NO_HOST),
        ("postgres://h:0/d", NO_PORT),
        ("postgres://h:65536/d", NO_PORT),
        ("postgres://h:000001/d", NO_PORT),
        (f"postgres://h/d?port={SENTINEL}", NO_PORT),
        ("postgres://h/d?host=a,,b", "a host is empty. "),
        ("postgres://a,b,c/d?port=1,2", "the numbers of ports and hosts differ. "),
        ("postgres://h", "it names no database. "),
        (f"postgres://h/d?{SENTINEL}", NO_PAIRS),
        (f"postgres://h/d?user=a={SENTINEL}", NO_PAIRS),
        ("postgres://h/d?sslmode=verify-full&", NO_PAIRS),
        (f"postgres://h/d?service={SENTINEL}", "loadbell doesn't support service. Remove it"),
        ("postgres://h/d?pgbouncer=true", "'pgbouncer' is not a parameter of "),
        ("postgres://h/d?ApplicationName=x", "'ApplicationName' is not a parameter of "),
        (f"postgres://h/d?{SENTINEL}=1", "a name after the ? is not a parameter of "),
        (f"postgres://h/d?sslsni={SENTINEL}", "sslsni must be 1"),
        ("postgres://h/d?sslnegotiation=x", "sslnegotiation must be postgres or direct"),
        ("postgres://h/d?ssl=false", "'ssl' is not a parameter"),
        ("postgres://h/d?connect_timeout=0", NO_SECONDS),
        ("postgres://h/d?connect_timeout=601", NO_SECONDS),
        ("postgres://h/d?connect_timeout=1.5", NO_SECONDS),
        (f"postgres://h/d?connect_timeout={SENTINEL}", NO_SECONDS),
        ("postgres://h/d?sslrootcert=system&sslmode=require", "sslrootcert=system requires sslmode=verify-full"),
        ("postgres://h/d?sslnegotiation=direct", NEEDS_TLS),
        ("postgres://h/d?sslnegotiation=direct&sslmode=prefer", NEEDS_TLS),
        ("postgres://h/d?sslkey=/k", "sslkey requires sslcert, the key's certificate"),
        (f"postgres://{SENTINEL}%zz@h/d", NO_DECODING),
        (f"postgres://{SENTINEL}%0a@h/d", NO_DECODING),
        (f"postgres://{SENTINEL}%1F@h/d", NO_DECODING),
        (f"postgres://{SENTINEL}%7f@h/d", NO_DECODING),
        (f"postgres://{SENTINEL}%ff@h/d", "a percent-encoded part isn't UTF-8"),
    ],
)
def test_what_can_not_be_used_is_told_in_a_sentence(url: str, words: str) -> None:
    """It begins so, says what to do, and shows no value, which may be a secret."""
    with pytest.raises(ValueError, match=r"[^.]$") as refused:
        parse_postgresql_url(url)

    assert words == str(refused.value)[: len(words)]
    assert SENTINEL not in str(refused.value)
