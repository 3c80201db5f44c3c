"""How fast one token may report: a bucket for each, and how long to wait."""

import pytest

from loadbell.domain.errors import RateLimited
from loadbell.domain.ids import SECOND
from loadbell.domain.quotas import Quotas
from loadbell.entry.rate_limits import make_report_limit

NOW = 1_800_000_000 * SECOND


def test_a_minutes_worth_at_once_and_then_one_by_one() -> None:
    """Whoever is told to wait may report after exactly that time; another token is not concerned."""
    limit = make_report_limit(Quotas(reports_per_minute=60).report_rate)
    for _ in range(60):
        limit.take(7, NOW)
    with pytest.raises(RateLimited, match="LOADBELL_MAX_RUN_REPORTS_PER_MINUTE") as refused:
        limit.take(7, NOW)
    limit.take(8, NOW)

    assert SECOND == refused.value.wait
    limit.take(7, NOW + SECOND)
    with pytest.raises(RateLimited):
        limit.take(7, NOW + SECOND)


def test_full_buckets_are_forgotten() -> None:
    """However many tokens have reported once, what is kept has a bound."""
    limit = make_report_limit(Quotas().report_rate)
    for token in range(25_000):
        limit.take(token, NOW + token * SECOND)

    assert len(limit._full_at) <= 10_000
