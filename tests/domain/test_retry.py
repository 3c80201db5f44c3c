"""When to try again: the schedule, its jitter, and the receiver's own wish in every form."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.ids import SECOND, from_datetime
from loadbell.domain.retry import MAX_RETRY_AFTER, RetrySchedule, parse_duration, parse_retry_after

MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
DEFAULT = "5s,30s,2m,10m,30m,2h,5h,10h,10h"
NOW = from_datetime(datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("500ms", SECOND // 2),
        ("5s", 5 * SECOND),
        ("2m", 2 * MINUTE),
        ("10h", 10 * HOUR),
        ("7d", 7 * DAY),
        ("1.5s", 3 * SECOND // 2),
        (" 5s ", 5 * SECOND),
        ("0s", 0),
    ],
)
def test_durations_are_a_number_and_a_unit(text: str, span: int) -> None:
    """Milliseconds to days, fractions too."""
    assert span == parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 s", "-5s", "5w", "5S", "1e3s", "\u0665s", "5s5s", "inf", "1.s", "5s\x00"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    """It is refused with examples of what is meant, not guessed."""
    with pytest.raises(ValueError, match="500ms, 5s"):
        parse_duration(text)


def test_a_duration_is_a_hundred_years_at_most() -> None:
    """A longer one could not be added to the present and stored."""
    assert 36_500 * DAY == parse_duration("36500d")
    with pytest.raises(ValueError, match="longer than 100 years"):
        parse_duration("999999999d")


def test_the_default_schedule_makes_ten_attempts_over_about_28_hours() -> None:
    """5 s, 30 s, 2 m, 10 m, 30 m, 2 h, 5 h, 10 h, 10 h."""
    schedule = RetrySchedule.parse(DEFAULT)

    assert (
        5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR,
    ) == schedule.waits  # fmt: skip
    assert 27 * HOUR < sum(schedule.waits) < 29 * HOUR
    assert schedule.wait(9, 0.5) is None


def test_a_schedule_may_be_empty() -> None:
    """No waits mean one attempt."""
    assert RetrySchedule(()) == RetrySchedule.parse("")
    assert RetrySchedule.parse("").wait(0, 0.5) is None


@pytest.mark.parametrize("text", ["5s,soon", "5s;30s", "5s,,-1s"])
def test_a_schedule_with_a_bad_part_is_refused(text: str) -> None:
    """The message shows the part."""
    with pytest.raises(ValueError, match="isn't a duration"):
        RetrySchedule.parse(text)


@given(
    waits=st.lists(st.integers(0, 30 * DAY), min_size=1, max_size=12),
    step=st.integers(0, 20),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_jitter_stays_within_a_fifth(waits: list[int], step: int, chance: float) -> None:
    """Each wait is between 80 % and 120 % of its own; after the last there is none."""
    wait = RetrySchedule(tuple(waits)).wait(step, chance)

    if step >= len(waits):
        assert wait is None
    else:
        assert wait is not None
        assert round(0.8 * waits[step]) <= wait <= round(1.2 * waits[step])


def test_jitter_uses_its_whole_range() -> None:
    """The extremes of chance give the extremes of the wait, its middle the wait itself."""
    schedule = RetrySchedule((100 * SECOND,))

    assert [80 * SECOND, 100 * SECOND] == [schedule.wait(0, chance) for chance in (0.0, 0.5)]
    assert 119 * SECOND < (schedule.wait(0, 0.999999) or 0) <= 120 * SECOND


@given(refusals=st.integers(1, 1000), chance=st.floats(0, 1, exclude_max=True))
def test_a_rate_limited_wait_never_ends_and_never_is_nothing(refusals: int, chance: float) -> None:
    """However often a receiver says "too many requests", there is a next wait, and it is not zero."""
    for schedule in (RetrySchedule.parse(DEFAULT), RetrySchedule(()), RetrySchedule((5 * SECOND,))):
        assert schedule.wait_when_rate_limited(refusals, chance) >= SECOND


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("", [1, 2, 4, 8, 16]),
        ("0s", [1, 2, 4, 8, 16]),
        ("5s", [5, 10, 20, 40, 80]),
        ("5s,30s", [5, 30, 60, 120, 240]),
        ("2s,1s,30m", [2, 1, 1800, 3600, 3600]),
        ("5s,10h", [5, 36_000, 36_000, 36_000, 36_000]),
    ],
)
def test_a_rate_limited_wait_is_that_of_the_schedule_then_doubles(text: str, waits: list[int]) -> None:
    """Up to an hour, or to the schedule's own last wait if that is longer; never less than a second."""
    schedule = RetrySchedule.parse(text)

    assert [wait * SECOND for wait in waits] == [schedule.wait_when_rate_limited(number, 0.5) for number in range(1, 6)]


@pytest.mark.parametrize("text", [DEFAULT, "", "0s", "1s", "1s,1s,1s"])
def test_rate_limited_for_a_week_means_a_few_waits(text: str) -> None:
    """With the default schedule fewer than 25; with one of seconds each wait doubles up to an hour: fewer than 200."""
    schedule, passed, waits = RetrySchedule.parse(text), 0, 0
    while passed < 7 * DAY:
        waits += 1
        wait = schedule.wait_when_rate_limited(waits, 0.0)
        step = schedule.wait(min(waits, len(schedule.waits)) - 1, 0.0) if schedule.waits else 0
        assert wait >= (step or 0)
        passed += wait

    assert waits < (30 if text == DEFAULT else 250)


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("0", 0),
        ("120", 120 * SECOND),
        (" 120 ", 120 * SECOND),
        ("0.5", SECOND // 2),
        ("1.345", 1_345_000),
        ("3600", MAX_RETRY_AFTER),
        ("3601", MAX_RETRY_AFTER),
        ("999999999999", MAX_RETRY_AFTER),
        ("99999999999999999999999999", MAX_RETRY_AFTER),
        ("9" * 5000, MAX_RETRY_AFTER),
        ("1795406706", MAX_RETRY_AFTER),  # instants of this day, in seconds and milliseconds since 1970
        ("1795406706000", MAX_RETRY_AFTER),
        ("Mon, 23 Nov 2026 04:05:36 GMT", 30 * SECOND),
        ("Mon, 23 Nov 2026 04:05:06 GMT", 0),
        ("Mon, 23 Nov 2026 03:00:00 GMT", 0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 06 Nov 3094 08:49:37 GMT", MAX_RETRY_AFTER),
        # the two obsolete forms that RFC 9110 section 5.6.7 still obliges a recipient to read
        ("Monday, 23-Nov-26 04:05:36 GMT", 30 * SECOND),
        ("Mon Nov 23 04:05:36 2026", 30 * SECOND),
        ("Mon, 23 Nov 2026 04:05:36 -0000", 30 * SECOND),
        ("Mon, 23 Nov 2026 05:05:36 +0100", 30 * SECOND),
    ],
)
def test_a_retry_after_in_every_form(value: str, span: int) -> None:
    """Seconds, fractions, the three HTTP dates, the past and the far future are understood; at most an hour."""
    assert span == parse_retry_after(value, NOW)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "soon",
        "-5",
        "+5",
        "1e3",
        "0x10",
        "5,10",
        "5 s",
        "١٢٠",
        "NaN",
        "inf",
        "Mon",
        "32 Foo 2026",
        "1:2:3",
        "\x00",
    ],
)
def test_a_retry_after_that_can_not_be_read_asks_for_nothing(value: str) -> None:
    """Junk is None: the schedule holds."""
    assert parse_retry_after(value, NOW) is None


@given(value=st.text(max_size=60) | st.from_regex(r"\A[0-9A-Za-z,:. +-]{0,40}\Z"))
def test_no_retry_after_is_a_surprise(value: str) -> None:
    """Whatever a receiver writes, the answer is None or a span from nothing to an hour."""
    span = parse_retry_after(value, NOW)

    assert span is None or 0 <= span <= MAX_RETRY_AFTER


@given(seconds=st.integers(0, 3_600))
def test_dates_and_seconds_say_the_same(seconds: int) -> None:
    """A date that many seconds ahead asks for the same span as the number."""
    date = format_datetime(datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC) + timedelta(seconds=seconds), usegmt=True)

    assert seconds * SECOND == parse_retry_after(date, NOW) == parse_retry_after(str(seconds), NOW)
