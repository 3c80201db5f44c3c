"""Histograms as k6 makes them: which bucket a value lies in, and how close percentiles come."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.histograms import Histogram, bucket_edges, bucket_index

DISTRIBUTIONS: dict[str, Callable[[random.Random], float]] = {
    "uniform": lambda chance: chance.uniform(0.5, 900),
    "exponential": lambda chance: chance.expovariate(1 / 80),
    "log-normal": lambda chance: chance.lognormvariate(5, 1.1),
    "two peaks": lambda chance: chance.gauss(20, 2) if chance.random() < 0.9 else chance.gauss(2000, 150),
    "long tail": lambda chance: 5 * chance.paretovariate(1.3),
    "microseconds": lambda chance: chance.uniform(0.3, 1.2),
}


def histogram_of(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def exact(values: list[float], percent: float) -> float:
    """As k6's own summary reckons: straight between two ranks."""
    ordered = sorted(values)
    rank = percent / 100 * (len(ordered) - 1)
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    return low + (high - low) * (rank - math.floor(rank))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("percent", [1, 25, 50, 90, 95, 99, 99.9])
def test_percentiles_are_close(name: str, percent: float) -> None:
    """Within 0.8 % of the exact one, whatever the distribution."""
    chance = random.Random(name)
    values = [max(DISTRIBUTIONS[name](chance), 0.3) for _ in range(20_000)]

    assert pytest.approx(exact(values, percent), rel=0.008) == histogram_of(values).percentile(percent)


@given(st.floats(0, 1e9))
def test_a_value_lies_within_its_bucket(value: float) -> None:
    """And a bucket is never wider than 1/128 of its values, or the resolution."""
    low, high = bucket_edges(bucket_index(value))

    assert low - 1e-9 * high <= value <= high * (1 + 1e-9) + 1e-9
    assert high - low <= max(0.001, high / 127) * (1 + 1e-9)


def test_the_buckets_are_k6s() -> None:
    """The value that the format's description gives as a check: 123.4 lies in bucket 1393."""
    assert 1393 == bucket_index(123.4)
    assert pytest.approx((123.392, 123.903), abs=0.002) == bucket_edges(1393)


@given(st.lists(st.floats(0, 1e6)), st.lists(st.floats(0, 1e6)))
def test_merging_loses_nothing(first: list[float], second: list[float]) -> None:
    """Two that are merged are the one of all values."""
    merged = histogram_of(first)
    merged.merge(histogram_of(second))
    histogram = histogram_of(first + second)

    assert (histogram.buckets, histogram.count) == (merged.buckets, merged.count)
    assert (histogram.least, histogram.greatest) == (merged.least, merged.greatest)
    assert pytest.approx(histogram.sum) == merged.sum


def test_of_nothing_nothing_is_known() -> None:
    """No percentile and no mean; of one value both are that value."""
    nothing, histogram = Histogram(), histogram_of([42.0])

    assert (None, None) == (nothing.percentile(95), nothing.mean)
    assert (42.0, 42.0, 42.0) == (histogram.percentile(0), histogram.percentile(100), histogram.mean)


@pytest.mark.parametrize(
    ("most", "buckets"),
    [
        (6, {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 9: 6}),
        (5, {0: 3, 2: 7, 4: 5, 8: 6}),
        (3, {0: 10, 4: 5, 8: 6}),
        (2, {0: 15, 8: 6}),
        (1, {0: 21}),
    ],
)
def test_a_histogram_is_made_only_as_coarse_as_it_must_be(most: int, buckets: dict[int, int]) -> None:
    """Neighbours become one, in pairs, until there are few enough; no value is lost, and the exact figures stay."""
    histogram = Histogram({0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 9: 6}, 21, 0.1, 0.0, 0.009)
    histogram.bound(most)

    assert Histogram(buckets, 21, 0.1, 0.0, 0.009) == histogram
