"""
Limits how many exchanges a worker has in flight with each host.

A channel's URL is encrypted in the database, so its host is known only after a lease. From then on, the channels of a
host lease no more than it has places; deliveries leased beyond that go back, with no attempt counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from loadbell.notify.worker.attempt import Prepared

MAX_PER_HOST = 64
"""Exchanges in flight with one host and port: an eighth of a worker's places, more than healthy channels need."""

_MAX_KNOWN = 50_000
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Hosts:
    """The hosts of channels."""

    def __init__(self) -> None:
        self.of_key: dict[int, str] = {}

    def left(self, in_flight: Mapping[int, int]) -> dict[str, int]:
        """The places left by host beside those ``in_flight``; a host that is not in it has all."""
        return {host: MAX_PER_HOST - count for host, count in self._busy(in_flight).items()}

    def surplus(self, prepared: Sequence[Prepared], in_flight: Mapping[int, int]) -> list[Prepared]:
        """Learns the hosts of these, which ``in_flight`` includes; returns those whose host has no place."""
        if len(self.of_key) > _MAX_KNOWN:
            self.of_key.clear()
        for one in prepared:
            if one.message is not None:
                key, place = one.leased.channel_key, _host_of(one.message.url)
                self.of_key[key] = place if key > 0 else f"{place} of Test Hooks"
        over = {host: count - MAX_PER_HOST for host, count in self._busy(in_flight).items() if count > MAX_PER_HOST}
        back: list[Prepared] = []
        for one in reversed(prepared):
            host = self.of_key.get(one.leased.channel_key) if one.message is not None else None
            if host is not None and over.get(host, 0) > 0:
                over[host] -= 1
                back.append(one)
        return back

    def _busy(self, in_flight: Mapping[int, int]) -> Counter[str]:
        busy: Counter[str] = Counter()
        for key, count in in_flight.items():
            host = self.of_key.get(key)
            if host is not None:
                busy[host] += count
        return busy


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)}"
