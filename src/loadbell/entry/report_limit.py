"""How fast one token may report runs: a token bucket for each, in the memory of this process."""

from loadbell.domain.errors import RateLimited
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Principal
from loadbell.domain.pace import Pace

_MOST_BUCKETS = 10_000


class ReportLimit:
    """Buckets that are full are forgotten: one that is not there is full, too."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._full_at: dict[int, Micros] = {}

    def take(self, principal: Principal, now: Micros) -> None:
        """Counts one report of the asker's token.

        Raises:
            RateLimited: it has reported too often; says how often it may, and carries how long to wait.
        """
        token = principal.token_id
        if token is None:
            return
        full_at = self._full_at.get(token, 0)
        if not self._pace.allowed(full_at, now):
            raise RateLimited(
                f"This token reports more than {self._pace.burst:,} times a minute. Send the same report again after "
                "the time in Retry-After, or ask the operator of this server to raise "
                "LOADBELL_MAX_RUN_REPORTS_PER_MINUTE.",
                self._pace.next_at(full_at) - now,
            )
        if len(self._full_at) >= _MOST_BUCKETS:
            self._full_at = {one: instant for one, instant in self._full_at.items() if instant > now}
        self._full_at[token] = self._pace.after(full_at, now, 1)
