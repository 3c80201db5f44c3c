"""
Which addresses loadbell may connect to: our own table, and the networks that the operator allowed.

Pure. It doesn't use the flags of ``ipaddress`` (``is_private``, ``is_global``): they permit multicast, 6to4, NAT64 and
others, and differ between patch releases of Python. The table follows the IANA IPv4 and IPv6 Special-Purpose Address
Registries (RFC 6890), but stricter: in IPv6 only global unicast, 2000::/3 (RFC 4291), is allowed.
"""

import ipaddress
from dataclasses import dataclass

from loadbell.outbound.urls import Address, BadUrl, parse_url
from loadbell.settings import Network

REFUSED_IPV4: tuple[ipaddress.IPv4Network, ...] = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this network"
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""The public part of IPv6; everything outside is refused."""

REFUSED_IPV6: tuple[ipaddress.IPv6Network, ...] = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
"""Refused networks within :data:`GLOBAL_UNICAST`."""

CARRIERS: tuple[ipaddress.IPv6Network, ...] = (
    ipaddress.IPv6Network("::ffff:0:0/96"),  # IPv4-mapped
    ipaddress.IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052)
)
"""IPv6 networks whose last 32 bits are an IPv4 address: that one is judged."""

_ISATAP_MARKS = frozenset({0x0000_5EFE, 0x0200_5EFE})  # RFC 5214: bits 64 to 95, before an inner IPv4 address


@dataclass(frozen=True)
class AddressPolicy:
    """Judges addresses. ``allowed``: the operator's ``LOADBELL_ALLOWED_NETWORKS``."""

    allowed: tuple[Network, ...] = ()

    def permits(self, address: Address | str) -> bool:
        """Returns whether loadbell may connect to ``address``; invalid addresses and those with a zone are refused."""
        try:
            judged = _inner(ipaddress.ip_address(address) if isinstance(address, str) else address)
        except ValueError:
            return False
        if isinstance(judged, ipaddress.IPv6Address) and judged.scope_id is not None:
            return False
        if any(judged in _inner_network(network) for network in self.allowed):
            return True
        if isinstance(judged, ipaddress.IPv4Address):
            return not any(judged in network for network in REFUSED_IPV4)
        return (
            judged in GLOBAL_UNICAST
            and not any(judged in network for network in REFUSED_IPV6)
            and (int(judged) >> 32) & 0xFFFF_FFFF not in _ISATAP_MARKS
        )


def check_url(url: str, policy: AddressPolicy) -> str | None:
    """Returns what is wrong with a channel's URL, before it is saved, as a sentence; None if nothing is.

    Judges a literal address, in every spelling; a name is judged at each exchange. The sentence doesn't show the URL's
    path and query.
    """
    try:
        target = parse_url(url)
    except BadUrl as error:
        return str(error)
    if target.address is not None and not policy.permits(target.address):
        return (
            "The URL has a private, local or reserved address, which loadbell isn't allowed to connect to. "
            "Use a public address, or ask the operator to allow the network in LOADBELL_ALLOWED_NETWORKS."
        )
    return None


def _inner(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address) and any(address in carrier for carrier in CARRIERS):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _inner_network(network: Network) -> Network:
    """Returns the IPv4 network inside a carrier network; other networks unchanged."""
    if isinstance(network, ipaddress.IPv6Network) and any(network.subnet_of(carrier) for carrier in CARRIERS):
        inner = int(network.network_address) & 0xFFFF_FFFF
        return ipaddress.IPv4Network((inner, network.prefixlen - 96))
    return network
