"""What is kept of a run's measurements has bounds, however long it runs and whatever it measures."""

import random
from contextlib import nullcontext

import msgspec
import pytest

from loadbell.domain.histograms import Histogram
from loadbell.domain.measurements import (
    MAX_BUCKETS,
    MAX_CHECKS,
    MAX_METRICS,
    MAX_SELECTIONS,
    MAX_WORK,
    Counter,
    Gauge,
    Measurements,
    Point,
    Rate,
    TooMuchWork,
    Total,
    Trend,
    build_samples,
    condense,
)
from tests.domain.test_measurements import HOUR, NOW, merge_all, second


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


@pytest.mark.parametrize(
    ("moments", "width", "slots", "span"),
    [
        ([1001, 1240], 1, [1001, 1240], (1001, 1240)),
        ([1001, 1003, 1241], 2, [500, 501, 620], (500, 620)),
        ([1241, 1239, 1001], 2, [500, 619, 620], (500, 620)),
        ([1001, 1481, 1959], 4, [250, 370, 489], (250, 489)),
    ],
)
def test_slots_grow_wider_when_they_must(
    moments: list[int], width: int, slots: list[int], span: tuple[int, int]
) -> None:
    """One more than there may be, earlier or later, and they become twice as wide; each keeps what it had."""
    measured = Measurements()
    for number, at in enumerate(moments):
        measured.add_point(at, "http_reqs", Counter(1 + number))

    assert (width, slots, span) == (measured.width, sorted(measured.buckets), measured.span)
    counts = {at // width: Counter(1 + number) for number, at in enumerate(moments)}
    assert counts == {slot: totals["http_reqs"] for slot, totals in measured.buckets.items()}


@pytest.mark.parametrize(
    ("period", "moments", "touched"),
    [
        (1, [], set()),
        (1, [1001], {1001}),
        (1, [1001, 1003, 1240], {1001, 1003, 1240}),
        (1, [764], {764}),
        (1, [763], None),
        (1, [1241], None),
        (1, [900, 1200], None),
        (3, [1003], {334}),
    ],
)
def test_which_slots_a_push_changes(period: int, moments: list[int], touched: set[int] | None) -> None:
    """They are told before it is merged; all of them, if it makes them wider."""
    measured, now = Measurements(), 1_000
    for at in (1001, 1003):
        measured.merge(condense(second(at), (), period=period), now)
    before = msgspec.to_builtins(measured.buckets)
    push = condense([point for at in moments for point in second(at)], (), period=period)

    assert touched == measured.touched_buckets(push, now)
    measured.merge(push, now)
    after = msgspec.to_builtins(measured.buckets)
    assert (touched is None) == (measured.width > period)
    assert touched in (None, {slot for slot in after if after[slot] != before.get(slot)})


def test_a_push_of_users_alone_changes_their_slots() -> None:
    """What several instances say of one second counts, too; the first push of a run has only slots of its own."""
    push = condense([Point("vus", {}, at, Gauge(at, 1, 1, 1)) for at in (NOW, NOW - 6)], (), period=3)

    assert {NOW // 3, NOW // 3 - 2} == Measurements().touched_buckets(push, NOW)


def test_histograms_share_their_room() -> None:
    """None has more buckets than one may have, all together not more than all may have; no value is lost."""
    wide = Trend(Histogram(dict.fromkeys(range(5_000), 1), 5_000, 1.0, 0.0, 1.0))
    alone = merge_all([Point("http_req_duration", {}, NOW, wide)])
    many = merge_all([Point(f"m{number}", {}, NOW, wide) for number in range(40)])

    def buckets(total: Total) -> tuple[int, int]:
        assert isinstance(total, Trend)
        return len(total.histogram.buckets), sum(total.histogram.buckets.values())

    ((slot,),) = (totals.values() for totals in alone.buckets.values())
    assert (1_250, 5_000) == buckets(alone.totals["http_req_duration"])
    assert (313, 5_000) == buckets(slot)
    assert [(1_250, 5_000)] * 40 == [buckets(total) for total in many.totals.values()]


COUNTED, OTHER = Point("m", {}, NOW, Counter(1)), Point("m", {}, NOW, Rate(1, 1))


@pytest.mark.parametrize(
    ("sizes", "thresholds", "fits"),
    [
        ([MAX_WORK - 1, 1], [], True),
        ([MAX_WORK, 1], [], False),
        ([1, MAX_WORK], [], False),
        ([MAX_WORK // 2 - 1], ["d{kind:slow}"], True),
        ([MAX_WORK // 2], ["d{kind:slow}"], False),
        ([MAX_WORK // 2 - 2], ["d{kind:slow}", "d{kind:slow,a:1}"], True),
        ([10, *[1] * 9_000], [f"d{{kind:slow,a:{number}}}" for number in range(MAX_SELECTIONS)], True),
    ],
)
def test_the_work_of_a_push_is_bounded(sizes: list[int], thresholds: list[str], *, fits: bool) -> None:
    """It is reckoned before it is done: what a point holds, for each selection of its own, and those it is tried on."""

    def point(size: int) -> Point:
        histogram = Histogram(dict.fromkeys(range(size - 1), 1), size - 1)
        return COUNTED if size == 1 else Point("d", {"kind": "slow"}, NOW, Trend(histogram))

    with nullcontext() if fits else pytest.raises(TooMuchWork):
        condense((point(size) for size in sizes), thresholds)


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


MANY = [Point(f"m{number}", {}, NOW, Counter(1)) for number in range(MAX_METRICS)]


@pytest.mark.parametrize(
    ("pushes", "left_out"),
    [
        ([[COUNTED, COUNTED], [COUNTED]], 0),
        ([[COUNTED], [OTHER]], 1),
        ([[COUNTED, OTHER, OTHER]], 2),
        ([[Point("m", {}, NOW, None)]], 1),
        ([MANY, MANY], 0),
        ([[*MANY, COUNTED]], 1),
        ([MANY, [COUNTED]], 1),
        ([[]], 0),
    ],
)
def test_what_can_not_be_counted_is_told(pushes: list[list[Point]], left_out: int) -> None:
    """A metric stays of its first kind, and there is room for so many; each point beyond that counts as left out."""
    measured = merge_all(*pushes)

    assert (left_out, MAX_METRICS) == (measured.left_out, max(len(measured.totals), MAX_METRICS))
    assert Rate not in {type(total) for total in measured.totals.values()}


def test_only_so_many_selections_are_followed() -> None:
    """The first ones that are asked for; of another one nothing is said, not even that nothing was measured."""
    thresholds = {f"m{{tag:{number}}}": ["count>0"] for number in range(MAX_SELECTIONS + 1)}
    last, beyond = list(thresholds)[-2:]
    measured = Measurements(thresholds=thresholds)
    measured.merge(condense([Point("m", {"tag": "100"}, NOW, Counter(1))], thresholds), NOW)

    assert (None, False) == (measured.value_of(beyond, "count>0"), measured.is_empty_metric(beyond))
    assert (None, True) == (measured.value_of(last, "count>0"), measured.is_empty_metric(last))
