"""
No host is sent to by too many channels at once: how many exchanges with each host a worker has under way.

Where a channel leads is sealed in the database, so it is learned from what was leased. From then on no more is leased
for the channels of one host than it has places; what was too much before that goes back, with no attempt counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from loadbell.notify.deliver import Prepared

MAX_PER_HOST = 64
"""Exchanges with one host and port at once: an eighth of a worker's places, and more than healthy channels need."""

_MAX_KNOWN = 50_000
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Hosts:
    """Which channels lead to which host."""

    def __init__(self) -> None:
        self.of_lane: dict[int, str] = {}

    def left(self, in_lane: Mapping[int, int]) -> dict[str, int]:
        """How many places each host has beside what is ``in_lane``; one that is not named has all of them."""
        return {host: MAX_PER_HOST - count for host, count in self._busy(in_lane).items()}

    def surplus(self, prepared: Sequence[Prepared], in_lane: Mapping[int, int]) -> list[Prepared]:
        """Learns where these lead, which are counted in ``in_lane``; gives those for which their host has no place."""
        if len(self.of_lane) > _MAX_KNOWN:
            self.of_lane.clear()
        for one in prepared:
            if one.message is not None:
                lane, place = one.leased.lane, _host_of(one.message.url)
                self.of_lane[lane] = place if lane > 0 else f"{place} of Test Hooks"  # for which somebody waits
        over = {host: count - MAX_PER_HOST for host, count in self._busy(in_lane).items() if count > MAX_PER_HOST}
        back: list[Prepared] = []
        for one in reversed(prepared):
            host = self.of_lane.get(one.leased.lane) if one.message is not None else None
            if host is not None and over.get(host, 0) > 0:
                over[host] -= 1
                back.append(one)
        return back

    def _busy(self, in_lane: Mapping[int, int]) -> Counter[str]:
        busy: Counter[str] = Counter()
        for lane, count in in_lane.items():
            host = self.of_lane.get(lane)
            if host is not None:
                busy[host] += count
        return busy


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)}"
