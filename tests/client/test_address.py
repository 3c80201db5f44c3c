"""``LOADBELL_URL`` and ``LOADBELL_TOKEN`` as people write them: taken as they are meant, or refused in a sentence."""

import pytest

from loadbell.client.address import read_address, read_token
from loadbell.client.api import Refused, Server, Unreachable

SENTINEL = "s3ntinel"


@pytest.mark.parametrize(
    ("text", "host", "port", "prefix", "url"),
    [
        ("http://h", "h", 80, "", "http://h"),
        (" HTTPS://Bell.example.org/ \n", "bell.example.org", 443, "", "https://bell.example.org"),
        ("http://h:8025/a/b/", "h", 8025, "/a/b", "http://h:8025/a/b"),
        ("http://[::1]", "::1", 80, "", "http://[::1]"),
        ("http://[2001:DB8::abcd]:8025", "2001:db8::abcd", 8025, "", "http://[2001:db8::abcd]:8025"),
        ("http://[fe80::1%25eth0]", "fe80::1%eth0", 80, "", "http://[fe80::1%25eth0]"),
        ("https://h:443", "h", 443, "", "https://h"),
    ],
)
def test_an_address_is_read_as_it_is_meant(text: str, host: str, port: int, prefix: str, url: str) -> None:
    """Whatever its case and the white space around it, with a port or without, IPv6 too."""
    read = read_address(text)

    assert (host, port, prefix, url) == (read.host, read.port, read.prefix, read.url)


@pytest.mark.parametrize(
    "text",
    [
        "h", "ftp://h", "http://", "http:///x", "http://::1", "http://::1:8025", "http://2001:db8::1", "http://[::1",
        "http://h:x", "http://h:0", "http://h:99999", "http://a b", "http://h\n.example", "http://h/\x00", "http://h?x",
        "http://h#x", "http://a..b", "http://" + "a" * 64, '"http://h"', "'http://h", "http://h/\u00fc", "http://\udcff",
        f"http://u:{SENTINEL}@h", "",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    """In a sentence that names the variable, and shows nothing of what may be a secret."""
    with pytest.raises(Refused, match=r"^LOADBELL_URL ") as refused:
        Server(text, "lb_x")

    assert SENTINEL not in str(refused.value)


@pytest.mark.parametrize(
    "text", [f"{SENTINEL}\nx", f"{SENTINEL} x", f'"{SENTINEL}"', f"{SENTINEL}\u00fc", f"{SENTINEL}\0"]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    """As an address is."""
    with pytest.raises(Refused, match=r"^LOADBELL_TOKEN ") as refused:
        Server("http://h", text)

    assert SENTINEL not in str(refused.value)


@pytest.mark.parametrize(("text", "token"), [(" lb_x\r\n", "lb_x"), ("", ""), (" ", "")])
def test_a_token_is_read_without_the_white_space_around_it(text: str, token: str) -> None:
    """None is none."""
    assert token == read_token(text)


@pytest.mark.parametrize("url", ["http://[::1]:1", "http://[::1]:1/x/", "http://127.0.0.1:1"])
def test_an_address_where_nobody_is_can_not_be_reached(url: str) -> None:
    """Which a command may try again; an IPv6 address too."""
    with pytest.raises(Unreachable):
        Server(url, "lb_x").call("GET", "/runs", timeout=5)
