"""Where the outcome of an attempt takes a delivery, as a table."""

from dataclasses import replace

import pytest

from loadbell.domain.deliveries import Cause, FinalStatus, Outcome, Reason, Verdict, after_attempt
from loadbell.domain.ids import SECOND
from loadbell.domain.retry import RetrySchedule

DELIVERED, FAILED, CANCELLED = FinalStatus.DELIVERED, FinalStatus.FAILED, FinalStatus.CANCELLED
WAITS = RetrySchedule((10 * SECOND, 100 * SECOND))
NOW = 1_800_000_000 * SECOND
OK = Outcome(Reason.OK, "taken")
BUSY = Outcome(Reason.HTTP_5XX, "later", retry=True)
BUSY_FOR_A_MINUTE = replace(BUSY, retry_after=60 * SECOND)
LIMITED = Outcome(Reason.RATE_LIMITED, "slow down", retry=True)
GONE = Outcome(Reason.GONE, "never again")


def _after(  # noqa: PLR0913 - the facts that decide
    outcome: Outcome,
    *,
    cause: Cause = Cause.SCHEDULED,
    final: FinalStatus | None = None,
    retry_index: int = 0,
    number: int = 1,
    resume_at: int | None = None,
    is_replay: bool = False,
    rate_limits: int = 0,
    schedule: RetrySchedule = WAITS,
) -> Verdict:
    return after_attempt(
        outcome,
        cause=cause,
        final=final,
        retry_index=retry_index,
        number=number,
        resume_at=resume_at,
        is_replay=is_replay,
        rate_limits=rate_limits,
        schedule=schedule,
        now=NOW,
        chance=0.5,
    )


@pytest.mark.parametrize("cause", Cause)
def test_a_taken_message_is_delivered(cause: Cause) -> None:
    """Success ends a delivery, whatever set the attempt off."""
    assert Verdict(DELIVERED, 1) == _after(OK, cause=cause, retry_index=1)


def test_whoever_takes_a_message_may_ask_for_a_pause() -> None:
    """A 2xx with a rate hint lets the channel wait for as long as it says; without one it waits for nothing."""
    hinted = _after(replace(OK, retry_after=7 * SECOND))

    assert Verdict(DELIVERED, 0, throttle_until=NOW + 7 * SECOND) == hinted


def test_a_manual_attempt_before_any_of_the_schedule() -> None:
    """It uses up no wait: what failed goes on after the first one, as if it had not been made."""
    assert Verdict(None, 0, due_at=NOW + 10 * SECOND) == _after(BUSY, cause=Cause.MANUAL)


@pytest.mark.parametrize(("retry_index", "wait"), [(0, 10), (1, 100)])
def test_a_failure_waits_as_the_schedule_says(retry_index: int, wait: int) -> None:
    """Each scheduled failure uses up the next wait."""
    assert Verdict(None, retry_index + 1, due_at=NOW + wait * SECOND) == _after(BUSY, retry_index=retry_index)


def test_the_end_of_the_schedule_fails_the_delivery() -> None:
    """After the last wait there is no further attempt."""
    assert Verdict(FAILED, 2) == _after(BUSY, retry_index=2)


@pytest.mark.parametrize(("retry_index", "wait"), [(0, 60), (1, 100)])
def test_a_wish_of_the_receiver_only_lengthens_a_wait(retry_index: int, wait: int) -> None:
    """Never before the Retry-After, and never before the schedule."""
    assert NOW + wait * SECOND == _after(BUSY_FOR_A_MINUTE, retry_index=retry_index).due_at


def test_what_is_refused_for_good_fails_at_once() -> None:
    """A permanent answer is not retried."""
    assert Verdict(FAILED, 0) == _after(GONE)


def test_a_test_hook_is_tried_once() -> None:
    """Neither a failure nor a rate limit brings a second attempt."""
    assert [FAILED] * 2 == [_after(outcome, cause=Cause.TEST).final for outcome in (BUSY, LIMITED)]


@pytest.mark.parametrize("hint", [None, 3600 * SECOND])
def test_a_rate_limit_uses_up_no_wait_and_slows_the_channel(hint: int | None) -> None:
    """The delivery uses up no wait; it and its whole channel wait until the same instant, in full."""
    verdict = _after(replace(LIMITED, retry_after=hint), retry_index=2)

    assert (None, 2) == (verdict.final, verdict.retry_index)
    assert NOW + (hint or 10 * SECOND) == verdict.due_at == verdict.throttle_until


@pytest.mark.parametrize("hint", [0, 1])
@pytest.mark.parametrize("schedule", [WAITS, RetrySchedule(()), RetrySchedule((0,))])
def test_a_rate_limit_that_asks_for_no_wait_gets_one(hint: int, schedule: RetrySchedule) -> None:
    """``Retry-After: 0`` with 429 for ever does not become a loop without a pause."""
    verdict = _after(replace(LIMITED, retry_after=hint), schedule=schedule)

    assert NOW + SECOND == verdict.due_at == verdict.throttle_until


@pytest.mark.parametrize("hint", [None, 0, 1, SECOND, 99 * SECOND])
def test_from_the_third_rate_limit_in_a_row_the_schedule_decides(hint: int | None) -> None:
    """Counted over the channel, the whole channel slows; counted over one delivery, that one does."""
    schedule = RetrySchedule((10 * SECOND, 20 * SECOND, 100 * SECOND, 900 * SECOND))
    limited = replace(LIMITED, retry_after=hint)
    channel = [_after(limited, rate_limits=count, schedule=schedule) for count in (2, 3)]
    delivery = [_after(limited, number=number, retry_index=1, schedule=schedule) for number in (4, 5)]

    assert [NOW + 100 * SECOND, NOW + 900 * SECOND] == [verdict.throttle_until for verdict in channel]
    assert [NOW + 100 * SECOND, NOW + 900 * SECOND] == [verdict.due_at for verdict in channel]
    assert [NOW + 100 * SECOND, NOW + 900 * SECOND] == [verdict.due_at for verdict in delivery]
    assert all(
        verdict.throttle_until is not None and verdict.throttle_until <= NOW + 99 * SECOND for verdict in delivery
    )


def test_a_longer_wish_than_the_schedule_is_obeyed() -> None:
    """However many rate limits there were: the schedule only lengthens a wait."""
    verdict = _after(replace(LIMITED, retry_after=3600 * SECOND), rate_limits=5, number=6)

    assert NOW + 3600 * SECOND == verdict.due_at == verdict.throttle_until


def test_a_limit_without_a_time_holds_the_channel_up_to_a_minute() -> None:
    """The delivery itself waits longer each time; what else its channel has to say waits a minute at most."""
    schedule = RetrySchedule((10 * SECOND, 600 * SECOND))
    first = _after(LIMITED, number=1, schedule=schedule)
    second = _after(LIMITED, number=2, schedule=schedule)

    assert (NOW + 10 * SECOND, NOW + 10 * SECOND) == (first.due_at, first.throttle_until)
    assert (NOW + 600 * SECOND, NOW + 60 * SECOND) == (second.due_at, second.throttle_until)


@pytest.mark.parametrize("final", [DELIVERED, FAILED, CANCELLED])
@pytest.mark.parametrize("outcome", [BUSY, GONE, LIMITED], ids=["busy", "gone", "limited"])
def test_a_redelivery_that_fails_changes_no_end(final: FinalStatus, outcome: Outcome) -> None:
    """What had ended returns to its end; only a rate limit is still minded by the channel."""
    verdict = _after(outcome, cause=Cause.MANUAL, final=final, retry_index=2)

    assert (final, 2, None) == (verdict.final, verdict.retry_index, verdict.due_at)
    assert (outcome is LIMITED) == (verdict.throttle_until is not None)


@pytest.mark.parametrize("final", [DELIVERED, FAILED, CANCELLED])
def test_a_rate_limited_replay_keeps_its_turn(final: FinalStatus) -> None:
    """It waits as long as its channel does, and uses up nothing; any other failure ends its turn."""
    limited, busy = (
        _after(outcome, cause=Cause.MANUAL, final=final, retry_index=2, is_replay=True) for outcome in (LIMITED, BUSY)
    )

    assert Verdict(final, 2, due_at=limited.throttle_until, throttle_until=NOW + 10 * SECOND) == limited
    assert Verdict(final, 2) == busy


@pytest.mark.parametrize("final", [FAILED, CANCELLED, DELIVERED])
def test_a_redelivery_that_succeeds_delivers(final: FinalStatus) -> None:
    """Whatever end the delivery had come to before."""
    assert Verdict(DELIVERED, 2) == _after(OK, cause=Cause.MANUAL, final=final, retry_index=2)


@pytest.mark.parametrize("retry_index", [0, 1, 2])
def test_a_manual_failure_leaves_the_schedule_as_it_was(retry_index: int) -> None:
    """It uses up no wait, not even before the last scheduled attempt, and the next one comes when it would have."""
    later = _after(BUSY, cause=Cause.MANUAL, retry_index=retry_index, resume_at=NOW + 7 * SECOND)
    overdue = _after(BUSY, cause=Cause.MANUAL, retry_index=retry_index, resume_at=NOW - SECOND)

    assert Verdict(None, retry_index, due_at=NOW + 7 * SECOND) == later
    assert Verdict(None, retry_index, due_at=NOW) == overdue


def test_a_manual_failure_does_not_take_the_only_attempt() -> None:
    """With an empty schedule the one scheduled attempt is still made."""
    verdict = _after(BUSY, cause=Cause.MANUAL, schedule=RetrySchedule(()))

    assert Verdict(None, 0, due_at=NOW + SECOND) == verdict


def test_reasons_are_a_closed_set() -> None:
    """These words and no others stand in logs, metrics, API and pages."""
    words = (
        "ok timeout connect dns tls protocol http_3xx http_4xx http_5xx rate_limited gone rejected blocked_address "
        "bad_settings bad_payload expired internal"
    )

    assert words == " ".join(reason.value for reason in Reason)
