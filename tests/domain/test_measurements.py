"""What is kept of a run's measurements: merged in any order, at a bounded size, whatever the clocks say."""

from itertools import chain

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.histograms import Histogram
from loadbell.domain.measurements import (
    MAX_KEYS,
    Counter,
    Gauge,
    Measurements,
    Point,
    Rate,
    Total,
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


def test_a_step_tells_each_figure() -> None:
    """Counts a second, shares, and the times at 50, 95 and 99 %; what was not measured is left open."""
    values: dict[str, Total] = {
        "vus": Gauge(NOW, 3, 1, 7),
        "http_reqs": Counter(30),
        "http_req_failed": Rate(1, 8),
        "iterations": Counter(15),
        "checks": Rate(3, 4),
        "data_received": Counter(6_000),
        "data_sent": Counter(600),
        "http_req_duration": trend(*range(1, 1001)),
    }
    (step,) = build_samples(merge_all([Point(name, {}, NOW, value) for name, value in values.items()]))
    (empty,) = build_samples(merge_all([Point("data_sent", {}, NOW, Counter(0))]))

    assert (NOW, 3, 10, 0.125, 5, 0.75, 2_000, 200) == (
        step.at, step.vus, step.requests, step.failed, step.iterations, step.checks, step.received, step.sent,
    )  # fmt: skip
    assert pytest.approx((500.5, 950, 990), rel=0.008) == (step.p50, step.p95, step.p99)
    body = {name: value for name, value in msgspec.structs.asdict(empty).items() if value is not None}
    assert {"at": NOW, "sent": 0, "timed": "iteration_duration"} == body


@pytest.mark.parametrize(
    ("measured", "timed"),
    [
        (["iteration_duration", "grpc_req_duration", "http_req_duration"], "http_req_duration"),
        (["iteration_duration", "grpc_req_duration"], "grpc_req_duration"),
        (["iteration_duration"], "iteration_duration"),
        ([], "iteration_duration"),
    ],
)
def test_the_times_of_a_course(measured: list[str], timed: str) -> None:
    """Those of the requests where there are some, and of one metric throughout, which is named."""
    first = [Point(metric, {}, NOW - 3, trend(40)) for metric in measured]
    course = build_samples(merge_all(first, [Point("vus", {}, NOW, Gauge(NOW, 1, 1, 1))]))

    assert [timed] * (1 + bool(measured)) == [step.timed for step in course]
    assert [*[40] * bool(measured), None] == [step.p95 for step in course]


@given(st.permutations(range(12)), st.integers(1, 4))
def test_the_order_of_pushes_says_nothing(order: list[int], together: int) -> None:
    """However points are shared out among pushes, and in whatever order those come, the same is kept."""
    moments = [second(NOW - 60 + 3 * step, requests=step + 1) for step in range(12)]
    mixed = [moments[at] for at in order]
    pushes = [list(chain.from_iterable(mixed[at : at + together])) for at in range(0, 12, together)]

    measurements, parts = merge_all(*moments), merge_all(*pushes)

    assert msgspec.to_builtins(build_samples(measurements)) == msgspec.to_builtins(build_samples(parts))
    assert measurements.totals == parts.totals
    assert (NOW - 60, NOW - 27, 36) == (parts.began_at, parts.latest_at, parts.covered_s)


def test_a_push_may_hold_minutes() -> None:
    """Its periods stay apart, as if each had come alone."""
    moments = [second(NOW - 3 * step) for step in range(100)]

    assert build_samples(merge_all(*moments)) == build_samples(merge_all(list(chain.from_iterable(moments))))


def test_several_instances_share_out_their_users() -> None:
    """What two of them say of the same second is added up; what one says of two seconds is not."""
    measured = merge_all(second(NOW - 6), second(NOW - 6, vus=3), second(NOW - 3, vus=4))

    assert [5, 4] == [step.vus for step in build_samples(measured)]
    total = measured.totals["vus"]
    assert isinstance(total, Gauge)
    assert 5 == total.greatest


@pytest.mark.parametrize(
    ("metric", "values", "total"),
    [
        ("vus_max", [Gauge(NOW, 5, 5, 5), Gauge(NOW, 7, 7, 7)], Gauge(NOW, 12, 5, 12)),
        ("memory", [Gauge(NOW, 5, 4, 6), Gauge(NOW, 7, 6, 8)], Gauge(NOW, 7, 4, 8)),
        ("vus", [Counter(5), Counter(7)], Counter(12)),
    ],
)
def test_only_gauges_of_users_are_added_up(metric: str, values: list[Total], total: Total) -> None:
    """Of another gauge the last one counts; what merely bears the name is counted as what it is."""
    measured = merge_all(*([Point(metric, {}, NOW, value)] for value in values))

    assert {metric: total} == measured.totals


def test_several_instances_speak_of_a_second_for_two_minutes() -> None:
    """What comes of it up to then is added up; after that it is forgotten, so that the run doesn't grow by it."""
    points = [second(NOW - 121), second(NOW - 120), second(NOW - 1), second(NOW - 120), second(NOW)]
    measured = merge_all(*points, period=1)

    assert {NOW - 1: 2, NOW: 2} == measured.of_instances["vus"]
    assert [2, 4, 2, 2] == [step.vus for step in build_samples(measured)]


@pytest.mark.parametrize(
    ("behind", "shift"),
    [(0, 0), (40 * 60, 0), (HOUR, 0), (-HOUR, 0), (HOUR + 1, HOUR), (5 * HOUR + 9, 5 * HOUR), (-7 * HOUR, -7 * HOUR)],
)
def test_a_clock_that_is_wrong_by_hours_is_put_right(behind: int, shift: int) -> None:
    """The course lies where we know that it was, and keeps its shape; up to an hour the tool is believed."""
    at = NOW - behind
    measured = merge_all(second(at), second(at - 3), period=1)

    assert sorted({max(at - 3 + shift, NOW - HOUR), at + shift}) == [step.at for step in build_samples(measured)]


def test_a_push_is_taken_once() -> None:
    """Its key is remembered for a while."""
    measured = Measurements()

    assert [False, True] == [measured.has_key("a"), measured.has_key("a")]
    for number in range(MAX_KEYS):
        measured.has_key(str(number))
    assert not measured.has_key("a")


def test_failed_checks_by_name() -> None:
    """Those that failed, the most often failed first, then by name; another rate is no check."""
    measured = merge_all(
        [
            Point("checks", {"check": "d"}, NOW, Rate(3, 4)),
            Point("checks", {"check": "a"}, NOW, Rate(3, 4)),
            Point("checks", {"check": "b"}, NOW, Rate(4, 4)),
            Point("checks", {"check": "c"}, NOW, Rate(0, 4)),
            Point("checks", {}, NOW, Rate(1, 3)),
            Point("http_req_failed", {"check": "e"}, NOW, Rate(1, 9)),
        ],
        [Point("checks", {"check": "c"}, NOW, Rate(1, 2))],
    )

    assert [("c", 5, 6), ("", 2, 3), ("a", 1, 4), ("d", 1, 4)] == failed_checks(measured)


def test_metrics_may_share_their_labels() -> None:
    """Each point belongs to the selections of its own metric."""
    labels = {"kind": "slow"}
    points = [Point(metric, labels, NOW, Counter(number)) for number, metric in enumerate("abba")]

    assert {"a{kind:slow}": Counter(3), "b{kind:slow}": Counter(3)} == condense(
        points, ["a{kind:slow}", "b{kind:slow}"]
    ).selected


def test_it_comes_back_as_it_was_kept() -> None:
    """Msgpack and back."""
    measured = merge_all(second(NOW - 6), second(NOW - 3))

    assert measured == msgspec.msgpack.decode(msgspec.msgpack.encode(measured), type=Measurements)
