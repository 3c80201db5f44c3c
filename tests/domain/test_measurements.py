"""What is kept of a run's measurements: merged in any order, at a bounded size, whatever the clocks say."""

import random
from itertools import chain

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.histograms import Histogram
from loadbell.domain.measurements import (
    MAX_BUCKETS,
    MAX_CHECKS,
    MAX_KEYS,
    MAX_METRICS,
    MAX_SELECTIONS,
    Counter,
    Gauge,
    Measurements,
    Point,
    Rate,
    Trend,
    build_samples,
    condense,
    failed_checks,
)

NOW = 1_800_000_000
HOUR = 3600


def trend(*values: float) -> Trend:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return Trend(histogram)


def second(at: int, *, vus: int = 2, requests: int = 6) -> list[Point]:
    """What a test says of the 3 s from ``at`` on."""
    return [
        Point("vus", {}, at, Gauge(at, vus, vus, vus)),
        Point("http_reqs", {}, at, Counter(requests)),
        Point("http_req_failed", {}, at, Rate(1, requests)),
        Point("http_req_duration", {"status": "200"}, at, trend(*range(100, 100 + requests))),
    ]


def merge_all(*pushes: list[Point], period: int = 3, now: int = NOW) -> Measurements:
    measured = Measurements()
    for push in pushes:
        measured.merge(condense(push, measured.thresholds, period=period), now)
    return measured


def test_the_course_has_rates_shares_and_percentiles() -> None:
    """A step for each period: counts become rates, of the values of that step alone."""
    measured = merge_all(second(NOW - 9), second(NOW - 6, vus=5, requests=12))
    first, other = build_samples(measured)

    assert (NOW - 9, 2, 2.0, 1 / 6) == (first.at, first.vus, first.requests, first.failed)
    assert (NOW - 6, 5, 4.0, 1 / 12) == (other.at, other.vus, other.requests, other.failed)
    assert first.p50 is not None
    assert 100 < first.p50 < 105
    assert (None, None) == (first.checks, first.sent)
    assert 6 == measured.covered_s


@given(st.permutations(range(12)), st.integers(1, 4))
def test_the_order_of_pushes_says_nothing(order: list[int], together: int) -> None:
    """However points are shared out among pushes, and in whatever order those come, the same is kept."""
    moments = [second(NOW - 60 + 3 * step, requests=step + 1) for step in range(12)]
    mixed = [moments[at] for at in order]
    pushes = [list(chain.from_iterable(mixed[at : at + together])) for at in range(0, 12, together)]

    measurements, parts = merge_all(*moments), merge_all(*pushes)

    assert msgspec.to_builtins(build_samples(measurements)) == msgspec.to_builtins(build_samples(parts))
    assert measurements.totals == parts.totals


def test_a_long_run_keeps_a_bounded_course() -> None:
    """After a day of pushes there are no more steps than may be, none is lost, and the totals are whole."""
    measured = Measurements()
    steps = 24 * HOUR // 60
    for step in range(steps):
        at = NOW + 60 * step
        measured.merge(condense(second(at), (), period=3), at)
    course = build_samples(measured)

    assert MAX_BUCKETS / 2 < len(course) <= MAX_BUCKETS
    assert Counter(6.0 * steps) == measured.totals["http_reqs"]
    assert 6 * steps == round(sum((step.requests or 0) * measured.width for step in course))
    assert len(msgspec.msgpack.encode(measured)) < 100_000


def test_a_run_of_strange_metrics_is_bounded() -> None:
    """100,000 series, names, checks and moments take no more room than is meant for them."""
    chance = random.Random(1)
    measured = Measurements()
    thresholds = [f"m{number}{{tag:{number}}}" for number in range(1000)]
    for push in range(10):
        points = [
            Point(
                f"m{number}",
                {"tag": str(number), "url": str(chance.random())},
                NOW + chance.randrange(-(9**9), 9**9),
                Counter(1),
            )
            for number in range(push * 10_000, (push + 1) * 10_000)
        ]
        points += [Point("checks", {"check": str(number)}, NOW, Rate(0, 1)) for number in range(1000)]
        points += [Point("vus", {}, NOW + number, Gauge(0, 1, 1, 1)) for number in range(5000)]
        measured.merge(condense(points, thresholds), NOW)
        measured.has_key(str(push))

    assert len(measured.totals) <= MAX_METRICS
    assert len(measured.selected) <= MAX_SELECTIONS
    assert len(measured.checks) <= MAX_CHECKS
    assert len(measured.buckets) <= MAX_BUCKETS
    assert 90_000 < measured.left_out
    assert len(msgspec.msgpack.encode(measured)) < 200_000


def test_several_instances_share_out_their_users() -> None:
    """What two of them say of the same second is added up; what one says of two seconds is not."""
    measured = merge_all(second(NOW - 6), second(NOW - 6, vus=3), second(NOW - 3, vus=4))

    assert [5, 4] == [step.vus for step in build_samples(measured)]
    total = measured.totals["vus"]
    assert isinstance(total, Gauge)
    assert 5 == total.greatest


def test_a_clock_that_is_wrong_by_hours_is_put_right() -> None:
    """The course lies where we know that it was, and keeps its shape."""
    measured = merge_all(second(NOW - 5 * HOUR - 9), second(NOW - 5 * HOUR - 6))

    assert [NOW - 9, NOW - 6] == [step.at for step in build_samples(measured)]


def test_a_push_is_taken_once() -> None:
    """Its key is remembered for a while."""
    measured = Measurements()

    assert [False, True] == [measured.has_key("a"), measured.has_key("a")]
    for number in range(MAX_KEYS):
        measured.has_key(str(number))
    assert not measured.has_key("a")


def test_a_metric_that_changes_its_kind_is_left_out() -> None:
    """What was a counter stays one."""
    measured = merge_all([Point("m", {}, NOW, Counter(1))], [Point("m", {}, NOW, Rate(1, 1))])

    assert ({"m": Counter(1)}, 1) == (measured.totals, measured.left_out)


def test_failed_checks_by_name() -> None:
    """Those that failed, the most often failed first."""
    measured = merge_all(
        [
            Point("checks", {"check": "a"}, NOW, Rate(3, 4)),
            Point("checks", {"check": "b"}, NOW, Rate(4, 4)),
            Point("checks", {"check": "c"}, NOW, Rate(0, 4)),
        ]
    )

    assert [("c", 4, 4), ("a", 1, 4)] == failed_checks(measured)


def test_it_comes_back_as_it_was_kept() -> None:
    """Msgpack and back."""
    measured = merge_all(second(NOW - 6), second(NOW - 3))

    assert measured == msgspec.msgpack.decode(msgspec.msgpack.encode(measured), type=Measurements)
