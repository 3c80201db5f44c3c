"""
Histograms of non-negative values with a bounded relative error, as k6 sends its trends.

The buckets are those of k6's cloud output (grafana/k6, ``output/cloud/expv2``): a value is rounded up to units of the
resolution. Up to 255 units each has its own bucket; above, a power of two is cut into 128 equal buckets, so a bucket
is never wider than 1/128 of its values, and its middle at most 0.4 % away from them.
"""

import math
from dataclasses import dataclass, field

RESOLUTION = 0.001
"""The width of the smallest bucket. k6 measures times in milliseconds, so this is a microsecond."""

_EXACT = 256  # units with a bucket of their own
_BITS = 7  # a power of two is cut into 2 ** 7 buckets


@dataclass
class Histogram:
    """Counts of values by bucket, and their exact count, sum, least and greatest."""

    buckets: dict[int, int] = field(default_factory=dict)
    count: int = 0
    sum: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf

    def add(self, value: float) -> None:
        """Counts one value."""
        self.merge(Histogram({bucket_index(value): 1}, 1, value, value, value))

    def merge(self, other: "Histogram") -> None:
        """Adds the counts of ``other``."""
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.count += other.count
        self.sum += other.sum
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)

    def bound(self, most: int) -> None:
        """Merges neighbors until at most ``most`` buckets are left; percentiles get less exact."""
        coarseness = 0
        while len(self.buckets) > most:
            coarseness = 2 * coarseness + 1
            coarser: dict[int, int] = {}
            for bucket, count in self.buckets.items():
                first = bucket & ~coarseness
                coarser[first] = coarser.get(first, 0) + count
            self.buckets = coarser

    @property
    def mean(self) -> float | None:
        """The arithmetic mean, exact; None without a value."""
        return self.sum / self.count if self.count else None

    def percentile(self, percent: float) -> float | None:
        """The value below which ``percent`` of the values lie; None without a value.

        Interpolates linearly between two ranks, as k6's own summary does. Values are assumed to be evenly spread within
        a bucket, so the error is below 0.8 %.
        """
        if not self.count:
            return None
        rank = min(max(percent / 100, 0.0), 1.0) * (self.count - 1)
        lower = math.floor(rank)
        low, high = self._values_at(lower, math.ceil(rank))
        return low + (high - low) * (rank - lower)

    def _values_at(self, *ranks: int) -> list[float]:
        """The approximate values at these ranks (from 0, ascending)."""
        items: list[float] = []
        below = 0
        for bucket in sorted(self.buckets):
            inside = self.buckets[bucket]
            while len(items) < len(ranks) and ranks[len(items)] < below + inside:
                low, high = bucket_edges(bucket)
                value = low + (high - low) * (ranks[len(items)] - below + 0.5) / inside
                items.append(min(max(value, self.least), self.greatest))
            below += inside
        items.extend([self.greatest] * (len(ranks) - len(items)))
        return items


def bucket_index(value: float) -> int:
    """The bucket that counts ``value``; negative values are in the first."""
    units = math.ceil(max(value, 0.0) / RESOLUTION)
    if units < _EXACT:
        return units
    shift = (units >> _BITS).bit_length() - 1
    return (shift << _BITS) + (units >> shift)


def bucket_edges(bucket: int) -> tuple[float, float]:
    """The lower and upper edge of the bucket. Values are rounded up, so the upper edge belongs to it."""
    if bucket < _EXACT:
        return max(bucket - 1, 0) * RESOLUTION, bucket * RESOLUTION
    shift = (bucket >> _BITS) - 1
    low = (bucket - (shift << _BITS)) << shift
    return (low - 1) * RESOLUTION, (low + (1 << shift) - 1) * RESOLUTION
