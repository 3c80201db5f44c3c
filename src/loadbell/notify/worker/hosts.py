"""
No host is sent to by too many channels at once: how many exchanges with each host a worker has under way.

Where a channel leads is sealed in the database, so it is learned from what was leased. From then on no more is leased
for the channels of one host than it has places; what was too much before that goes back, with no attempt counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from loadbell.notify.worker.attempt import Prepared

MAX_PER_HOST = 64
"""Exchanges with one host and port at once: an eighth of a worker's places, and more than healthy channels need."""

_MAX_KNOWN = 50_000
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Hosts:
    """Which channels lead to which host."""

    def __init__(self) -> None:
        self.of_key: dict[int, str] = {}

    def left(self, in_flight: Mapping[int, int]) -> dict[str, int]:
        """How many places each host has beside what is ``in_flight``; one that is not named has all of them."""
        return {host: MAX_PER_HOST - count for host, count in self._busy(in_flight).items()}

    def surplus(self, prepared: Sequence[Prepared], in_flight: Mapping[int, int]) -> list[Prepared]:
        """Learns where these lead, which are counted in ``in_flight``; gives those whose host has no place."""
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
