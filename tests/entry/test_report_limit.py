"""How fast one token may report: a bucket for each, and how long to wait."""

from dataclasses import replace

import pytest

from loadbell.domain.errors import RateLimited
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Principal, Role, Scope
from loadbell.domain.quotas import Quotas
from loadbell.domain.runs import Trigger
from loadbell.entry.report_limit import ReportLimit

ANN = Principal(1, 1, Role.OWNER, Scope.MANAGE, 7, Trigger.UNKNOWN, None)
NOW = 1_800_000_000 * SECOND


def test_a_minutes_worth_at_once_and_then_one_by_one() -> None:
    """Whoever is told to wait may report after exactly that time; another token is not concerned."""
    limit = ReportLimit(Quotas(reports_per_minute=60).pace_of_reports)
    for _ in range(60):
        limit.take(ANN, NOW)
    with pytest.raises(RateLimited, match="LOADBELL_MAX_RUN_REPORTS_PER_MINUTE") as refused:
        limit.take(ANN, NOW)
    limit.take(replace(ANN, token_id=8), NOW)

    assert SECOND == refused.value.wait
    limit.take(ANN, NOW + SECOND)
    with pytest.raises(RateLimited):
        limit.take(ANN, NOW + SECOND)


def test_full_buckets_are_forgotten() -> None:
    """However many tokens have reported once, what is kept has a bound."""
    limit = ReportLimit(Quotas().pace_of_reports)
    for token in range(25_000):
        limit.take(replace(ANN, token_id=token), NOW + token * SECOND)

    assert len(limit._full_at) <= 10_000
