"""A token bucket that is kept as one instant."""

from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.token_bucket import TokenBucket

BUCKETS = st.builds(TokenBucket, interval=st.integers(1, 10 * SECOND), burst=st.integers(1, 20))
INSTANTS = st.integers(0, 10**15)


@given(BUCKETS, INSTANTS)
def test_a_rested_bucket_gives_a_burst_and_then_one_an_interval(bucket: TokenBucket, now: Micros) -> None:
    """After a rest ``burst`` go at once; the next one goes an interval later and not a microsecond earlier."""
    full_at = bucket.after(0, now, bucket.burst)

    assert bucket.allowed(0, now) == bucket.burst
    assert bucket.allowed(full_at, now) == 0
    assert bucket.next_at(full_at) == now + bucket.interval
    assert bucket.allowed(full_at, now + bucket.interval - 1) == 0
    assert bucket.allowed(full_at, now + bucket.interval) == 1


@given(BUCKETS, st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=60), INSTANTS)
def test_no_more_than_the_rate_and_a_burst(bucket: TokenBucket, rests: list[Micros], start: Micros) -> None:
    """Whoever takes all that is allowed at any instants never has more than burst + elapsed / interval."""
    full_at, now, sent = 0, start, 0
    for rest in rests:
        now += rest
        allowed = bucket.allowed(full_at, now)
        full_at, sent = bucket.after(full_at, now, allowed), sent + allowed
        assert sent <= bucket.burst + (now - start) // bucket.interval


@given(BUCKETS, INSTANTS)
def test_a_drained_bucket_begins_with_one(bucket: TokenBucket, until: Micros) -> None:
    """After a refusal the first message goes at the instant that the receiver named, alone."""
    full_at = bucket.drained(until)

    assert bucket.next_at(full_at) == until
    assert bucket.allowed(full_at, until - 1) == 0
    assert bucket.allowed(full_at, until) == 1
    assert bucket.next_at(bucket.after(full_at, until, 1)) == until + bucket.interval
