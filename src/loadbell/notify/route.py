"""Decides which channels are notified of an event. Pure: evaluated once, when the event happens."""

from dataclasses import dataclass

from loadbell.domain.channels import Subscription
from loadbell.domain.events import EventName
from loadbell.domain.runs import FAILURES, Result, Run


@dataclass(frozen=True)
class RoutingFacts:
    """The facts that decide. ``changed``: the result differs from the test's last passed or failed one."""

    name: EventName
    run: Run
    changed: bool


def matches(subscription: Subscription, facts: RoutingFacts) -> bool:
    """Whether a channel with this subscription is notified."""
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
    """Whether a run failed, by its result or by its status."""
    return run.result is Result.FAILED or run.status in FAILURES


def matches_pauses(subscription: Subscription) -> bool:
    """Whether a channel with this subscription is notified of another one's pause; only ``events`` filters that."""
    return _matches_any(EventName.CHANNEL_PAUSED, subscription.events)


def is_change(result: Result | None, last: Result | None) -> bool:
    """Whether a result counts as a change.

    The first failure does, the first pass doesn't. Unknown never does, and is skipped when later results are compared.
    """
    if result is Result.FAILED:
        return last is not Result.FAILED
    return result is Result.PASSED and last is Result.FAILED


def _matches_any(value: object, wanted: tuple[object, ...]) -> bool:
    return not wanted or value in wanted
