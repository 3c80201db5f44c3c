"""k6's threshold expressions: what is understood, and of which series they speak."""

import pytest

from loadbell.domain.histograms import Histogram
from loadbell.domain.measurements import Counter, Gauge, Measurements, Point, Rate, Trend, condense
from loadbell.domain.thresholds import Criterion, Selection, parse_expression, parse_selection


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
    assert (None, None, None) == (value("d{kind:none}", "max<1"), value("x", "max<1"), value("d", "what<1"))
