"""k6's threshold expressions: what is understood, and of which series they speak."""

from typing import get_args

import pytest

from loadbell.domain.histograms import Histogram
from loadbell.domain.measurements import (
    PERCENTILES,
    Counter,
    Gauge,
    Measurements,
    Point,
    Rate,
    Total,
    Trend,
    condense,
    metrics_with_labels,
    metrics_with_percentiles,
)
from loadbell.domain.thresholds import Aggregation, Criterion, Selection, parse_expression, parse_selection


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("p(95)<500", Criterion("p", 95.0, "<", 500.0)),
        (" p( 99.9 ) <= 1.5e3 ", Criterion("p", 99.9, "<=", 1500.0)),
        ("rate<0.01", Criterion("rate", None, "<", 0.01)),
        ("rate == 1", Criterion("rate", None, "==", 1.0)),
        ("count>=100", Criterion("count", None, ">=", 100.0)),
        ("value!=-3", Criterion("value", None, "!=", -3.0)),
        ("med===.5", Criterion("med", None, "===", 0.5)),
        ("avg > 1", Criterion("avg", None, ">", 1.0)),
        ("p(95)<", None),
        ("p(95) < 500 && rate < 1", None),
        ("mean<1", None),
        ("", None),
        ("p(95)<" + "9" * 10_000 + "x", None),
        ("p(95)<" + "9" * 194, Criterion("p", 95.0, "<", float("9" * 194))),
        ("p(95)<" + "9" * 195, None),
        ("avg<1e999", None),
        ("avg<5.", Criterion("avg", None, "<", 5.0)),
        ("avg<\u0663", None),
    ],
)
def test_expressions(text: str, found: Criterion | None) -> None:
    """Aggregate, operator and limit; what is not of k6's syntax is not guessed."""
    assert found == parse_expression(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http_req_duration", Selection("http_req_duration")),
        ("http_req_duration{staticAsset:yes}", Selection("http_req_duration", (("staticAsset", "yes"),))),
        ("checks{ check:is 200 , scenario : a }", Selection("checks", (("check", "is 200"), ("scenario", "a")))),
        ('d{name:"https://a.example:8080/x"}', Selection("d", (("name", "https://a.example:8080/x"),))),
        ("d{}", Selection("d")),
        ("d{open", Selection("d{open")),
        ("d{a:1,a:1,b:2,a:1}", Selection("d", (("a", "1"), ("b", "2")))),
        ("d{name:/items/{id}}", Selection("d", (("name", "/items/{id}"),))),
        ("d{a:" + "x" * 995 + "}", Selection("d", (("a", "x" * 995),))),
        ("d{" + "a:1," * 300 + "}", Selection(("d{" + "a:1," * 300)[:1_000])),
    ],
)
def test_selections(text: str, found: Selection) -> None:
    """A metric, and the labels that its series must have."""
    assert found == parse_selection(text)


@pytest.mark.parametrize(
    ("limit", "operator", "value", "holds"),
    [(5, "<", 4.9, True), (5, "<", 5, False), (5, "<=", 5, True), (5, ">", 5, False), (5, ">=", 5, True),
     (5, "==", 5, True), (5, "===", 4, False), (5, "!=", 4, True)],
)  # fmt: skip
def test_a_criterion_holds(limit: float, operator: str, value: float, holds: bool) -> None:
    """As the operator says."""
    assert holds == Criterion("value", None, operator, limit).holds(value)


def test_values_by_which_thresholds_are_judged() -> None:
    """Each kind of metric has the aggregates that k6 gives it, over all series or over those that are selected."""
    times = Histogram()
    for time in (100.0, 200.0, 300.0):
        times.add(time)
    slow = Histogram()
    slow.add(900.0)
    thresholds = {"d{kind:slow}": ["max<1"], "d": ["max<1"], "d{kind:none}": ["max<1"]}
    points = [
        Point("d", {"kind": "quick"}, 10, Trend(times)),
        Point("d", {"kind": "slow"}, 13, Trend(slow)),
        Point("n", {}, 10, Counter(30)),
        Point("g", {}, 10, Gauge(10, 5, 1, 9)),
        Point("r", {}, 10, Rate(1, 4)),
    ]
    measured = Measurements(thresholds=thresholds)
    measured.merge(condense(points, thresholds, period=3), 20)

    def value(key: str, expression: str) -> float | None:
        return measured.value_of(key, expression)

    assert pytest.approx(900, rel=0.01) == value("d", "max<1") == value("d{kind:slow}", "max<1")
    assert (100, 375) == (value("d", "min<1"), value("d", "avg<1"))
    assert pytest.approx(250, rel=0.01) == value("d", "med<1")
    assert (4, None) == (value("d", "count<1"), value("d", "rate<1"))
    assert (30, 5, None) == (value("n", "count<1"), value("n", "rate<1"), value("n", "max<1"))
    assert (5, None) == (value("g", "value<1"), value("g", "max<1"))
    assert (0.25, None) == (value("r", "rate<1"), value("r", "count<1"))
    assert pytest.approx((100, 900), abs=1) == (value("d", "p(0)<1"), value("d", "p(100)<1"))
    assert pytest.approx(720, rel=0.01) == value("d", "p(90)<1")
    assert (None, None, None) == (value("d{kind:none}", "max<1"), value("x", "max<1"), value("d", "what<1"))


@pytest.mark.parametrize(
    ("merged", "found"),
    [
        ([Counter(2), Counter(3)], {"count": 5, "rate": 2.5}),
        ([Gauge(20, 7, 6, 8), Gauge(10, 5, 1, 9)], {"value": 7}),
        ([Gauge(20, 7, 6, 8), Gauge(20, 5, 1, 9)], {"value": 5}),
        ([Rate(1, 2), Rate(1, 6)], {"rate": 0.25}),
        ([Rate(0, 0), Rate(0, 0)], {}),
        ([Trend(), Trend()], {}),
    ],
)
def test_what_a_total_has(merged: list[Total], found: dict[str, float]) -> None:
    """Both parts count, and of a gauge the later moment, or what came later; another aggregate it does not have."""
    total, other = merged
    total.merge(other)  # type: ignore[arg-type]  # both are of one kind

    body = {name: total.aggregate(Criterion(name, None, "<", 0), 2.0) for name in get_args(Aggregation)}
    assert found == {name: value for name, value in body.items() if value is not None}


def test_nothing_has_a_rate_over_no_time() -> None:
    """A rate is per second; there must have been some part of one."""
    assert (None, 4.0) == tuple(Counter(2).aggregate(Criterion("rate", None, "<", 0), over) for over in (0, 0.5))


@pytest.mark.parametrize(
    ("periods", "took", "lasted"),
    [(4, None, 12), (4, 10.5, 10.5), (4, 12, 12), (4, 13, 12), (4, 6, 6), (4, 5, 6), (1, 0.5, 3), (2, 1, 3), (0, 9, 0)],
)
def test_a_rate_is_over_the_time_that_the_run_took(periods: int, took: float | None, lasted: float) -> None:
    """As exactly as our clock tells it, within the periods of the points: up to two of them less, never below one."""
    measured = Measurements()
    for period in range(periods):
        measured.merge(condense([Point("n", {}, 3 * period, Counter(6))], (), period=3), 20)

    rate = 6 * periods / lasted if lasted else None
    assert (lasted, rate) == (measured.measured_s(took), measured.value_of("n", "rate<1", took))


SLOW = {"d{kind:slow}": ["p(95)<1"]}
QUICK = Point("d", {"kind": "quick"}, 10, Rate(0, 3))


@pytest.mark.parametrize(
    ("points", "thresholds", "key", "nothing"),
    [
        ([], {}, "d", True),
        ([QUICK], {}, "d", False),
        ([Point("d", {}, 10, Rate(0, 0))], {}, "d", True),
        ([Point("d", {}, 10, Trend())], {}, "d", True),
        ([Point("d", {}, 10, Trend(Histogram({1: 1}, 1)))], {}, "d", False),
        ([Point("d", {}, 10, Counter(0))], {}, "d", False),
        ([Point("e", {}, 10, Counter(1))], {}, "d", True),
        ([QUICK, Point("e", {}, 10, None)], SLOW, "x", False),
        ([QUICK], SLOW, "d{kind:slow}", True),
        ([QUICK, Point("d", {"kind": "slow"}, 13, Rate(0, 1))], SLOW, "d{kind:slow}", False),
        ([QUICK], {}, "d{kind:slow}", False),
        *(([QUICK], {f"d{{{name}:1}}": []}, f"d{{{name}:1}}", False) for name in ("vu", "iter", "test_run_id", "__x")),
        ([QUICK], {"d{VU:1}": []}, "d{VU:1}", True),
        ([QUICK], {"d{kind:slow,vu:1}": []}, "d{kind:slow,vu:1}", False),
    ],
)
def test_a_threshold_that_measured_nothing(
    points: list[Point], thresholds: dict[str, list[str]], key: str, *, nothing: bool
) -> None:
    """It proves nothing. That is said only if it is certain: all was counted, and the tool sends what it asks for."""
    measured = Measurements(thresholds=thresholds)
    measured.merge(condense(points, thresholds), 20)

    assert nothing == measured.is_empty_metric(key)


def test_what_somebody_looks_at() -> None:
    """Percentiles of what has a course or a threshold; labels of checks and of what a threshold selects by them."""
    items = ["a", "b{kind:slow}", "b{kind:quick}"]

    assert PERCENTILES | {"a", "b"} == metrics_with_percentiles(items)
    assert {"checks", "b"} == metrics_with_labels(items)
