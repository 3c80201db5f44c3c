"""Which channels are told of what: subscriptions, and "only on change", against tables written by hand."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.channels import Subscription
from loadbell.domain.events import EventName
from loadbell.domain.runs import FINAL, Result, RunStatus, Trigger
from loadbell.notify.route import RoutingFacts, is_change, matches
from tests.domain.test_payloads import RUN
from tests.support.stores import Play, Site

T = TypeVar("T")
STARTED = RoutingFacts(EventName.STARTED, replace(RUN, project_id=7, trigger=Trigger.CI), changed=False)
FINISHED = RoutingFacts(
    EventName.FINISHED,
    replace(RUN, project_id=7, trigger=Trigger.CI, status=RunStatus.FAILED_THRESHOLD, result=Result.FAILED),
    changed=False,
)
PASSED, FAILED, UNKNOWN = Result.PASSED, Result.FAILED, Result.UNKNOWN


@pytest.mark.parametrize(
    ("subscription", "started", "finished"),
    [
        (Subscription(), True, True),
        (Subscription(events=(EventName.STARTED,)), True, False),
        (Subscription(events=(EventName.FINISHED,)), False, True),
        (Subscription(events=(EventName.TEST_HOOK,)), False, False),
        (Subscription(projects=(7,)), True, True),
        (Subscription(projects=(8, 9)), False, False),
        (Subscription(triggers=(Trigger.CI, Trigger.SCHEDULED)), True, True),
        (Subscription(triggers=(Trigger.MANUAL,)), False, False),
        (Subscription(statuses=(RunStatus.FAILED_THRESHOLD,)), True, True),
        (Subscription(statuses=(RunStatus.FINISHED,)), True, False),
        (Subscription(results=(FAILED,)), True, True),
        (Subscription(results=(PASSED, UNKNOWN)), True, False),
        (Subscription(only_on_change=True), True, False),
        (Subscription(results=(FAILED,), statuses=(RunStatus.FINISHED,)), True, False),
        (Subscription(projects=(8,), results=(FAILED,)), False, False),
        (Subscription(events=(EventName.FINISHED,), statuses=(RunStatus(12),), projects=(7,)), False, True),
        (Subscription(only_failures=True), True, True),
        (Subscription(only_failures=True, statuses=(RunStatus.FINISHED,)), True, False),
        (Subscription(only_failures=True, only_on_change=True), True, False),
    ],
)
def test_what_a_subscription_wants(subscription: Subscription, started: bool, finished: bool) -> None:
    """An empty list is all; what is about ends narrows test.finished only; all filters must agree."""
    assert (started, finished) == (matches(subscription, STARTED), matches(subscription, FINISHED))


@pytest.mark.parametrize(
    ("status", "result", "expected"),
    [
        (3, FAILED, True),
        (6, FAILED, True),
        (3, PASSED, False),
        (3, UNKNOWN, False),
        (6, UNKNOWN, False),
        (6, PASSED, False),
        *((status, result, True) for status in (4, 8, 9, 11, 12) for result in Result),
    ],
)
def test_what_is_a_failure(status: int, result: Result, expected: bool) -> None:
    """A run whose result is failed, however it ended, and the failure statuses, whatever the result."""
    run = replace(RUN, status=RunStatus(status), result=result)
    subscription = Subscription(events=(EventName.FINISHED,), only_failures=True)

    assert expected is matches(subscription, RoutingFacts(EventName.FINISHED, run, changed=False))


def some_of(values: Iterable[T]) -> st.SearchStrategy[tuple[T, ...]]:
    """Some of ``values``, often none."""
    return st.lists(st.sampled_from(list(values)), max_size=4).map(tuple)


@given(
    subscription=st.builds(
        Subscription,
        events=some_of(EventName),
        statuses=some_of(RunStatus),
        results=some_of(Result),
        projects=some_of(range(1, 4)),
        triggers=some_of(Trigger),
        only_on_change=st.booleans(),
        only_failures=st.booleans(),
    ),
    name=st.sampled_from([EventName.STARTED, EventName.FINISHED]),
    status=st.sampled_from(sorted(FINAL)),
    result=st.sampled_from(Result),
    project=st.integers(1, 4),
    trigger=st.sampled_from(Trigger),
    changed=st.booleans(),
)
def test_any_subscription_wants_what_the_contract_says(  # noqa: PLR0913, PLR0917 - everything that decides
    subscription: Subscription,
    name: EventName,
    status: RunStatus,
    result: Result,
    project: int,
    trigger: Trigger,
    changed: bool,
) -> None:
    """For every subscription and every run the answer is that of the contract, filter by filter, said in sets."""
    run = replace(RUN, status=status, result=result, project_id=project, trigger=trigger)
    silent: list[Any] = [
        subscription.events and name not in set(subscription.events),
        subscription.projects and project not in set(subscription.projects),
        subscription.triggers and trigger not in set(subscription.triggers),
    ]
    if name is EventName.FINISHED:
        silent += [
            subscription.statuses and status not in set(subscription.statuses),
            subscription.results and result not in set(subscription.results),
            subscription.only_on_change and not changed,
            subscription.only_failures and not (result == "failed" or status.value in {4, 8, 9, 11, 12}),
        ]

    assert (not any(silent)) is matches(subscription, RoutingFacts(name, run, changed=changed))


def test_a_change_is_wanted() -> None:
    """With only_on_change an end that differs is told."""
    assert matches(Subscription(only_on_change=True), replace(FINISHED, changed=True))


@pytest.mark.parametrize(
    ("last", "result", "expected"),
    [
        (None, FAILED, True),
        (None, PASSED, False),
        (None, UNKNOWN, False),
        (PASSED, FAILED, True),
        (PASSED, PASSED, False),
        (PASSED, UNKNOWN, False),
        (FAILED, PASSED, True),
        (FAILED, FAILED, False),
        (FAILED, UNKNOWN, False),
    ],
)
def test_what_is_a_change(last: Result | None, result: Result, expected: bool) -> None:
    """The first failure counts, the first pass does not, unknown never."""
    assert expected is is_change(result, last)


def test_only_changes_are_told_over_a_row_of_runs(play: Play) -> None:
    """What an unknown end came between does not matter, and other tests have a memory of their own."""

    async def scenario(site: Site) -> None:
        await site.channel(subscription=Subscription(only_on_change=True, events=(EventName.FINISHED,)))
        told = []
        for result in (PASSED, PASSED, FAILED, UNKNOWN, FAILED, PASSED, UNKNOWN, PASSED, FAILED):
            await site.report(await site.run(name="nightly"), RunStatus.FINISHED, result=result)
            told.append(len(await site.rows("SELECT id FROM deliveries")))
        await site.report(await site.run(name="other"), RunStatus.FINISHED, result=FAILED)
        new = [after - before for before, after in pairwise([0, *told])]

        assert [0, 0, 1, 0, 0, 1, 0, 0, 1] == new
        assert told[-1] + 1 == len(await site.rows("SELECT id FROM deliveries"))

    play(scenario)


def test_a_disabled_channel_collects_nothing(play: Play) -> None:
    """Neither then nor afterwards."""

    async def scenario(site: Site) -> None:
        await site.channel(enabled=False)
        await site.run()

        assert [] == await site.rows("SELECT id FROM deliveries")

    play(scenario)


def test_a_run_that_nobody_wants_is_a_fact_all_the_same(play: Play) -> None:
    """The event is kept, with no delivery."""

    async def scenario(site: Site) -> None:
        await site.channel(subscription=Subscription(events=(EventName.TEST_HOOK,)))
        await site.run()

        assert (1, 0) == (
            len(await site.rows("SELECT id FROM events")), len(await site.rows("SELECT id FROM deliveries")),
        )  # fmt: skip

    play(scenario)
