"""Which addresses may be connected to, and which URLs may be saved."""

import ipaddress
import socket
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.outbound.addresses import REFUSED_IPV4, REFUSED_IPV6, AddressPolicy, check_url
from loadbell.outbound.urls import BadUrl, parse_url
from loadbell.settings import Network

CLOSED = AddressPolicy()

REFUSED = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::5efe:10.0.0.1",
    "fec0::1",
    "ff02::1",
    "1::1",
    "4000::1",
    "2606:4700::5efe:127.0.0.1",
    "2606:4700::200:5efe:8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
]

PERMITTED = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.88.98.255",
    "192.88.100.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:200::1",
    "2620:4f:8000::1",
    "64:ff9b::5db8:d822",
    "::ffff:8.8.8.8",
]

LOOPBACK_SPELLINGS = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "0X7F.0.0.0x1",
    "0177.0.0.1",
    "017700000001",
    "%31%32%37.0.0.1",
    "\uff11\uff12\uff17.0.0.1",
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
    "127\u30020\u30020\u30021",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[::]",
    "0.0.0.0",
    "0",
]


@pytest.mark.parametrize("address", REFUSED)
def test_private_local_and_reserved_addresses_are_refused(address: str) -> None:
    """Every network of the table is refused, at its edges too."""
    assert CLOSED.permits(address) is False


@pytest.mark.parametrize("address", PERMITTED)
def test_public_addresses_are_permitted(address: str) -> None:
    """A public address may be connected to, as may one that carries a public IPv4 address."""
    assert CLOSED.permits(address) is True


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "fe80::1%eth0", "2606:4700::1%1", "1.2.3.4/32", "8.8.8.8 "])
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    """A text that is not one address, or names a zone, is refused, never guessed at."""
    assert CLOSED.permits(text) is False


@given(st.sampled_from([*REFUSED_IPV4, *REFUSED_IPV6]), st.data())
def test_no_address_of_a_refused_network_is_permitted(network: Network, data: st.DataObject) -> None:
    """The networks of the table hold for every address in them."""
    offset = data.draw(st.integers(0, network.num_addresses - 1))

    assert CLOSED.permits(network[offset]) is False


@given(st.ip_addresses())
def test_what_we_permit_python_calls_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Our table is nowhere more open than the registry that Python knows."""
    inner = getattr(address, "ipv4_mapped", None) or address

    assert inner.is_global or not CLOSED.permits(address)


@given(st.ip_addresses(v=4), st.lists(st.ip_addresses(v=4), max_size=2))
def test_an_address_that_carries_another_is_judged_by_the_inner_one(
    address: ipaddress.IPv4Address, opened: list[ipaddress.IPv4Address]
) -> None:
    """IPv4-mapped and NAT64 addresses are judged as the IPv4 address in them, by allowed networks too."""
    policy = AddressPolicy(tuple(ipaddress.ip_network(f"{host}/8", strict=False) for host in opened))
    mapped = ipaddress.IPv6Address(int(ipaddress.IPv6Address("::ffff:0:0")) + int(address))
    nat64 = ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) + int(address))

    assert policy.permits(address) == policy.permits(mapped) == policy.permits(nat64)


def test_the_operator_opens_exactly_the_networks_named() -> None:
    """An allowed network opens its addresses, plain, mapped or by NAT64, and no other."""
    policy = AddressPolicy((ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("::1/128")))

    opened = [
        a for a in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "::1", "10.2.0.1", "::2") if policy.permits(a)
    ]

    assert opened == ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "::1"]


def test_an_allowed_network_written_as_mapped_opens_the_inner_network() -> None:
    """``::ffff:10.0.0.0/104`` means 10.0.0.0/8; ``::/0`` opens IPv6 but no IPv4 address inside it."""
    mapped = AddressPolicy((ipaddress.ip_network("::ffff:10.0.0.0/104"),))
    everything = AddressPolicy((ipaddress.ip_network("::/0"),))

    assert (True, False) == (mapped.permits("10.9.9.9"), mapped.permits("127.0.0.1"))
    assert (True, False) == (everything.permits("fd00::1"), everything.permits("::ffff:127.0.0.1"))


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
def test_no_spelling_hides_a_literal_address_on_save(host: str) -> None:
    """A literal loopback address is refused on save however it is written, with what to do about it."""
    wrong = check_url(f"http://{host}:8080/hook?token=secret", CLOSED)

    assert wrong is not None
    assert wrong.startswith("The URL has a private, local or reserved address, ")
    assert wrong.endswith(", or ask the operator to allow the network in LOADBELL_ALLOWED_NETWORKS.")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/services/T0/B0/x",
        "http://example.com",
        "HTTPS://EXAMPLE.COM:8443/x?y=z#f",
        "https://b\u00fccher.example/\u00fc?\u00e4",
        "https://under_score.example./",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]:443/",
        "https://example.com:/",
    ],
)
def test_public_urls_and_names_pass_on_save(url: str) -> None:
    """Names are not looked up on save; they are judged each time something is sent."""
    assert check_url(url, CLOSED) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com/secret",
        "ftp://example.com/secret",
        "file:///etc/passwd?secret",
        "http:/example.com/secret",
        "http:///secret",
        "http://?secret",
        "https://user@example.com/secret",
        "https://user:password@example.com/secret",
        "https://good.example\\@bad.example/secret",
        "https://example.com:0/secret",
        "https://example.com:65536/secret",
        "https://example.com:port/secret",
        "https://example.com:-1/secret",
        "https://exa mple.com/secret",
        "https://example.com/secret\n",
        "https://example.com/\tsecret",
        "https://example.com/\x00secret",
        "https://example.com/\u2028secret",
        "https://example.com/\ud800secret",
        "https://exa%0ample.com/secret",
        "https://a..example/secret",
        "https://.example/secret",
        "https://example.com%2fpath/secret",
        "https://[fe80::1%25eth0]/secret",
        "https://[::1/secret",
        "https://[1.2.3.4]/secret",
        "https://[::1]x/secret",
        "https://1.2.3.4.5/secret",
        "https://256.1.1.1/secret",
        "https://1.2.3.256/secret",
        "https://08.1.1.1/secret",
        "https://1_0.1/secret",
        "https://0x/secret",
        "https://4294967296/secret",
        "https://" + "a" * 64 + ".example/secret",
        "https://" + "a." * 127 + "example/secret",
        "https://example.com/secret" + "x" * 4000,
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_a_sentence_without_its_path(url: str) -> None:
    """What is wrong is told in sentences that show nothing of path, query and password."""
    wrong = check_url(url, CLOSED)

    assert wrong is not None
    assert (True, False, False) == (wrong.endswith("."), "secret" in wrong, "password@" in wrong)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.lists(st.sampled_from("odx"), min_size=4, max_size=4))
def test_every_ipv4_spelling_means_what_inet_aton_says(value: int, parts: int, styles: list[str]) -> None:
    """Octal, hexadecimal and short forms are read as the C library reads them."""
    sizes = [8] * (parts - 1) + [8 * (5 - parts)]
    numbers, shift = [], 32
    for size in sizes:
        shift -= size
        numbers.append((value >> shift) & (2**size - 1))
    spelled = ".".join(
        {"o": f"0{n:o}", "d": f"{n}", "x": f"0x{n:x}"}[style] for n, style in zip(numbers, styles, strict=False)
    )

    assert ipaddress.IPv4Address(socket.inet_aton(spelled)) == parse_url(f"http://{spelled}/").address


@given(st.text(alphabet=string.digits + "abcdefx.", min_size=1, max_size=20))
def test_no_host_is_a_name_to_us_and_an_address_to_the_system(host: str) -> None:
    """Whatever the C library would take for an IPv4 address, we read as that address or refuse."""
    try:
        theirs = ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return
    try:
        ours = parse_url(f"http://{host}/").address
    except BadUrl:
        return

    assert theirs == ours


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_a_bad_url(text: str) -> None:
    """Reading a URL never fails in another way, and what comes out is ASCII."""
    for url in (text, f"http://{text}", f"https://example.com/{text}"):
        try:
            target = parse_url(url)
        except BadUrl:
            continue
        assert (target.host + target.path).isascii()
