"""Which channels are told of what: subscriptions, and "only on change", against tables written by hand."""

from dataclasses import replace
from itertools import pairwise

import pytest

from loadbell.domain.channels import Subscription
from loadbell.domain.events import EventName
from loadbell.domain.runs import Result, RunStatus, Trigger
from loadbell.notify.route import Happening, is_change, wants
from tests.domain.test_payloads import RUN
from tests.support.stores import Play, Site

STARTED = Happening(EventName.STARTED, replace(RUN, project_id=7, trigger=Trigger.CI), changed=False)
FINISHED = Happening(
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
    ],
)
def test_what_a_subscription_wants(subscription: Subscription, started: bool, finished: bool) -> None:
    """An empty list is all; statuses, results and only_on_change narrow test.finished only; all filters must agree."""
    assert (started, finished) == (wants(subscription, STARTED), wants(subscription, FINISHED))


def test_a_change_is_wanted() -> None:
    """With only_on_change an end that differs is told."""
    assert wants(Subscription(only_on_change=True), replace(FINISHED, changed=True))


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
