"""
A token bucket, kept as one instant: when it is full again.

That is the theoretical arrival time of the generic cell rate algorithm (ITU-T I.371). It is stored with the channel, so
that all workers share one bucket.
"""

from dataclasses import dataclass

from loadbell.domain.ids import Micros


@dataclass(frozen=True)
class TokenBucket:
    """One message per ``interval``, up to ``burst`` at once after a rest. The caller keeps ``full_at``."""

    interval: Micros
    burst: int

    def allowed(self, full_at: Micros, now: Micros) -> int:
        """How many messages may be sent ``now``."""
        missing = -(-max(full_at - now, 0) // self.interval)
        return max(self.burst - missing, 0)

    def next_at(self, full_at: Micros) -> Micros:
        """The earliest instant at which one may be sent."""
        return full_at - (self.burst - 1) * self.interval

    def after(self, full_at: Micros, now: Micros, sent: int) -> Micros:
        """The new ``full_at`` once ``sent`` are sent ``now``."""
        return max(full_at, now) + sent * self.interval

    def drained(self, until: Micros) -> Micros:
        """The ``full_at`` of a bucket that lets one through at ``until`` and the next an interval later."""
        return until + (self.burst - 1) * self.interval
