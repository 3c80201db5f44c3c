"""Which channels want to hear of an event. Pure: evaluated once, when the event happens."""

from dataclasses import dataclass

from loadbell.domain.channels import Subscription
from loadbell.domain.events import EventName
from loadbell.domain.runs import FAILURES, Result, Run


@dataclass(frozen=True)
class RoutingFacts:
    """What routing looks at. ``changed``: this end differs from the last one of the same test that passed or failed."""

    name: EventName
    run: Run
    changed: bool


def matches(subscription: Subscription, facts: RoutingFacts) -> bool:
    """Whether a channel with this subscription is notified.

    ``statuses``, ``results``, ``only_on_change`` and ``only_failures`` narrow test.finished only.
    """
    run = facts.run
    told = (
        _matches_any(facts.name, subscription.events)
        and _matches_any(run.project_id, subscription.projects)
        and _matches_any(run.trigger, subscription.triggers)
    )
    if not told or facts.name is not EventName.FINISHED:
        return told
    return (
        _matches_any(run.status, subscription.statuses)
        and _matches_any(run.result, subscription.results)
        and (facts.changed or not subscription.only_on_change)
        and (is_failure(run) or not subscription.only_failures)
    )


def is_failure(run: Run) -> bool:
    """Whether an end is a failure: by its result, whatever the status, or by its status, whatever the result."""
    return run.result is Result.FAILED or run.status in FAILURES


def matches_pauses(subscription: Subscription) -> bool:
    """Whether a channel with this subscription is notified of another one's pause; only ``events`` filters that."""
    return _matches_any(EventName.CHANNEL_PAUSED, subscription.events)


def is_change(result: Result | None, last: Result | None) -> bool:
    """Whether an end is news for those who want changes only.

    The first failure counts, the first pass does not; unknown never does, and what came before it still stands.
    """
    if result is Result.FAILED:
        return last is not Result.FAILED
    return result is Result.PASSED and last is Result.FAILED


def _matches_any(value: object, wanted: tuple[object, ...]) -> bool:
    return not wanted or value in wanted
