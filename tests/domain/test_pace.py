"""A token bucket that is kept as one instant."""

from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.pace import Pace

PACES = st.builds(Pace, interval=st.integers(1, 10 * SECOND), burst=st.integers(1, 20))
INSTANTS = st.integers(0, 10**15)


@given(PACES, INSTANTS)
def test_a_rested_bucket_gives_a_burst_and_then_one_an_interval(pace: Pace, now: Micros) -> None:
    """After a rest ``burst`` go at once; the next one goes an interval later and not a microsecond earlier."""
    full_at = pace.after(0, now, pace.burst)

    assert pace.allowed(0, now) == pace.burst
    assert pace.allowed(full_at, now) == 0
    assert pace.next_at(full_at) == now + pace.interval
    assert pace.allowed(full_at, now + pace.interval - 1) == 0
    assert pace.allowed(full_at, now + pace.interval) == 1


@given(PACES, st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=60), INSTANTS)
def test_nobody_is_told_faster_than_the_pace(pace: Pace, rests: list[Micros], start: Micros) -> None:
    """Whoever takes all that is allowed at any instants never has more than burst + elapsed / interval."""
    full_at, now, sent = 0, start, 0
    for rest in rests:
        now += rest
        allowed = pace.allowed(full_at, now)
        full_at, sent = pace.after(full_at, now, allowed), sent + allowed
        assert sent <= pace.burst + (now - start) // pace.interval


@given(PACES, INSTANTS)
def test_a_drained_bucket_begins_with_one(pace: Pace, until: Micros) -> None:
    """After a refusal the first message goes at the instant that the receiver named, alone."""
    full_at = pace.drained(until)

    assert pace.next_at(full_at) == until
    assert pace.allowed(full_at, until - 1) == 0
    assert pace.allowed(full_at, until) == 1
    assert pace.next_at(pace.after(full_at, until, 1)) == until + pace.interval
