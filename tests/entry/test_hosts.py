"""Which names are this server's, which pages are its own, and who is certainly on this machine: tables."""

from typing import Any

import pytest

from loadbell.domain.errors import Forbidden
from loadbell.entry.hosts import Hosts, parse_host_name
from loadbell.entry.problems import Misdirected

HERE = Hosts("http://127.0.0.1:8025")
OUTSIDE = Hosts("https://bell.example.org:8443/loadbell", frozenset({"loadbell", "10.0.3.7"}))
EVERYWHERE = Hosts("http://build7:8025", frozenset({"build7"}), any_address=True)


def _scope(
    *hosts: str, client: str = "127.0.0.1", server: str = "127.0.0.1", version: str = "1.1", **headers: str
) -> Any:
    items = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {
        "headers": [*((b"host", host.encode("latin-1")) for host in hosts), *items],
        "client": (client, 50_000), "server": (server, 8025), "scheme": "http", "http_version": version,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("hosts", "asked"),
    [
        *((hosts, asked) for hosts in (HERE, OUTSIDE, EVERYWHERE) for asked in (
            "localhost", "LOCALHOST:8025", "localhost.:80", "127.0.0.1", "127.0.0.1:8025", "127.8.7.6:1", "[::1]",
            "[::1]:8025", "[0:0:0:0:0:0:0:1]:8025",
        )),
        (OUTSIDE, "bell.example.org"), (OUTSIDE, "Bell.Example.ORG:8443"), (OUTSIDE, "bell.example.org.:1"),
        (OUTSIDE, "loadbell:8025"), (OUTSIDE, "10.0.3.7"),
        (EVERYWHERE, "build7:8025"), (EVERYWHERE, "10.1.1.1:8025"),
    ],
)  # fmt: skip
def test_our_own_names(hosts: Hosts, asked: str) -> None:
    """The base URL's, loopback's and further names, in whatever spelling and with whatever port."""
    hosts.check(_scope(asked, server="10.1.1.1"))


@pytest.mark.parametrize("hosts", [HERE, OUTSIDE, EVERYWHERE])
@pytest.mark.parametrize(
    "asked",
    [
        "evil.example", "evil.example:8025", "127.0.0.1.evil.example", "localhost.evil.example", "evil.localhost",
        "bell.example.org.evil.example", "xbell.example.org", "example.org", "10.1.1.2", "0.0.0.0", "[::]:8025",
        "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f.1", "",
        " ", ":8025", ".", "..", "localhost..", ".localhost", "localhost:", "localhost:x", "localhost:123456",
        "localhost:99999", "localhost:-1", "[::1", "::1", "[::1]8025", "[::1%25lo]", "[localhost]", "[127.0.0.1]",
        "127.0.0.1@evil.example", "evil.example@127.0.0.1", "user:pw@localhost", "localhost/", "http://localhost",
        "localhost, evil.example", "localhost evil.example", "evil.example#localhost", "localhost\\evil.example",
        "localhöst", "l\xadocalhost", "a" * 5_000, "localhost\x00",
    ],
)  # fmt: skip
def test_the_names_of_others(hosts: Hosts, asked: str) -> None:
    """Whatever only looks like one of ours, and whatever is no name at all."""
    with pytest.raises(Misdirected):
        hosts.check(_scope(asked, server="10.1.1.1"))


def test_a_host_that_is_missing_or_said_twice() -> None:
    """Nobody can know which of two is meant, so that even the same one twice is refused."""
    for said in ((), ("localhost", "evil.example"), ("evil.example", "localhost"), ("localhost", "localhost")):
        with pytest.raises(Misdirected):
            HERE.check(_scope(*said))


def test_what_a_proxy_says_of_the_host_is_not_believed() -> None:
    """Anybody can send ``X-Forwarded-Host``: it makes a foreign name ours no more than ours a foreign one."""
    HERE.check(_scope("localhost", x_forwarded_host="evil.example"))
    with pytest.raises(Misdirected):
        HERE.check(_scope("evil.example", x_forwarded_host="localhost", forwarded="host=localhost"))


def test_an_address_of_this_machine_counts_where_it_was_reached() -> None:
    """With IPv4 that came in on an IPv6 socket as well."""
    EVERYWHERE.check(_scope("10.1.1.1:8025", server="::ffff:10.1.1.1"))
    EVERYWHERE.check(_scope("[fd00::7]:8025", server="fd00::7"))
    with pytest.raises(Misdirected):
        OUTSIDE.check(_scope("10.1.1.1", server="10.1.1.1"))


@pytest.mark.parametrize(
    ("asked", "origin"),
    [
        ("bell.example.org:8443", "https://bell.example.org:8443"),
        ("127.0.0.1:8025", "https://bell.example.org:8443"),  # a proxy that names itself in Host
        ("127.0.0.1:8025", "http://127.0.0.1:8025"),
        ("localhost", "http://localhost"),
        ("LOCALHOST:80", "http://localhost"),
        ("[::1]:8025", "http://[::1]:8025"),
    ],
)
def test_our_own_pages(asked: str, origin: str) -> None:
    """The base URL's, and those of the name by which the browser asked."""
    OUTSIDE.refuse_foreign(_scope(asked, origin=origin, sec_fetch_site="same-origin"))


@pytest.mark.parametrize(
    "origin",
    [
        "null", "", "https://evil.example", "http://bell.example.org:8443", "https://bell.example.org",
        "https://bell.example.org:8444", "https://x.bell.example.org:8443", "https://127.0.0.1:8025",
        "http://127.0.0.1", "http://localhost:8025", "http://127.0.0.1:8025, https://evil.example", "file://",
        "chrome-extension://abc", "http://user@127.0.0.1:8025", "http://[::1", "127.0.0.1:8025",
    ],
)  # fmt: skip
def test_the_pages_of_others(origin: str) -> None:
    """Another scheme, host or port is another site; so is one that does not say."""
    with pytest.raises(Forbidden):
        OUTSIDE.refuse_foreign(_scope("127.0.0.1:8025", origin=origin))


def test_a_program_without_an_origin_is_no_site() -> None:
    """Only browsers say where a page is from; the form's token is asked of everybody."""
    OUTSIDE.refuse_foreign(_scope("bell.example.org"))


@pytest.mark.parametrize("asked", ["localhost:8025", "127.0.0.1:8025", "[::1]:8025", "127.9.9.9"])
@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "127.5.5.5"])
def test_somebody_on_this_machine(asked: str, client: str) -> None:
    """By a loopback connection, to a name of loopback."""
    assert HERE.is_local(_scope(asked, client=client))


@pytest.mark.parametrize(
    "header",
    [
        "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
        "x-forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip",
    ],
)  # fmt: skip
def test_somebody_behind_a_proxy(header: str) -> None:
    """One trace of a proxy is enough, whatever it says."""
    assert not HERE.is_local(_scope("localhost", **{header: ""}))


@pytest.mark.parametrize(
    ("hosts", "scope"),
    [
        (HERE, _scope("bell.example.org")),
        (HERE, _scope("localhost", client="10.1.1.9")),
        (HERE, _scope("localhost", client="::ffff:127.0.0.1")),
        (HERE, _scope("localhost", version="1.0")),  # nginx without a word about whom it speaks for
        (HERE, _scope("localhost", "localhost")),
        (HERE, _scope()),
        (OUTSIDE, _scope("localhost")),  # a proxy that names this server by its address
        (EVERYWHERE, _scope("localhost")),
    ],
)
def test_somebody_who_may_be_elsewhere(hosts: Hosts, scope: Any) -> None:
    """Wherever a stranger may stand behind the request, nobody counts as sitting here."""
    assert not hosts.is_local(scope)


def test_names_are_compared_in_one_spelling() -> None:
    """Whichever way an operator writes a name or an address."""
    assert parse_host_name("Loadbell.Tools.SVC.") == "loadbell.tools.svc"
    assert parse_host_name("FD00:0::0007") == parse_host_name("fd00::7%eth0") == "fd00::7"
    assert parse_host_name("a b") is None
