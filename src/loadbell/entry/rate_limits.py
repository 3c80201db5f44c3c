"""Limits reports per token and Test Hooks per organization, with token buckets in this process's memory."""

from loadbell.domain.errors import RateLimited
from loadbell.domain.ids import Micros
from loadbell.domain.token_bucket import TokenBucket

_MAX_BUCKETS = 10_000


class RateLimit:
    """One bucket per key; a missing bucket is full. ``message`` says what was too often, and what to do."""

    def __init__(self, bucket: TokenBucket, message: str) -> None:
        self._bucket = bucket
        self._message = message
        self._full_at: dict[int, Micros] = {}

    def take(self, key: int | None, now: Micros) -> None:
        """Counts one request of ``key``; None isn't counted.

        Raises:
            RateLimited: there were too many; it carries how long to wait.
        """
        if key is None:
            return
        full_at = self._full_at.get(key, 0)
        if not self._bucket.allowed(full_at, now):
            raise RateLimited(self._message, self._bucket.next_at(full_at) - now)
        if len(self._full_at) >= _MAX_BUCKETS:
            self._full_at = {number: instant for number, instant in self._full_at.items() if instant > now}
        self._full_at[key] = self._bucket.after(full_at, now, 1)


def make_report_limit(bucket: TokenBucket) -> RateLimit:
    """Returns the limit of reports per token."""
    return RateLimit(
        bucket,
        f"This token reports more than {bucket.burst:,} times a minute. Send the same report again after the time in "
        "Retry-After, or ask the operator of this server to raise LOADBELL_MAX_RUN_REPORTS_PER_MINUTE.",
    )


def make_test_hook_limit(bucket: TokenBucket) -> RateLimit:
    """Returns the limit of Test Hooks per organization."""
    return RateLimit(
        bucket,
        f"This organization presses Test Hook more than {bucket.burst:,} times a minute. Try again after a moment, or "
        "ask the operator of this server to raise LOADBELL_MAX_TEST_HOOKS_PER_MINUTE.",
    )
