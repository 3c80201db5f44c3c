"""A delivery under random outcomes, redeliveries and cancellations, for as long as hypothesis likes."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from loadbell.domain.deliveries import ENDED, MOVES, Cause, DeliveryStatus, Outcome, Reason, Verdict, after_attempt
from loadbell.domain.ids import SECOND
from loadbell.domain.retry import RetrySchedule

PENDING, SENDING = DeliveryStatus.PENDING, DeliveryStatus.SENDING
HINTS = st.none() | st.integers(0, 7 * 86_400 * SECOND)
OUTCOMES = st.one_of(
    st.just(Outcome(Reason.OK, "")),
    st.builds(
        Outcome,
        st.sampled_from([Reason.HTTP_5XX, Reason.HTTP_3XX, Reason.TIMEOUT, Reason.CONNECT]),
        st.just(""),
        st.just(True),
        HINTS,
    ),
    st.builds(Outcome, st.just(Reason.RATE_LIMITED), st.just(""), st.just(True), HINTS),
    st.builds(Outcome, st.sampled_from([Reason.GONE, Reason.BLOCKED_ADDRESS, Reason.BAD_SETTINGS]), st.just("")),
)


class DeliveryLife(RuleBasedStateMachine):
    """The status of one delivery with what a row remembers of it; persons and receivers do as they like."""

    @initialize(
        waits=st.lists(st.integers(0, 36_000 * SECOND), max_size=5),
        cause=st.sampled_from([Cause.SCHEDULED, Cause.SCHEDULED, Cause.TEST]),
    )
    def begin(self, waits: list[int], cause: Cause) -> None:
        """A new delivery is pending."""
        self.schedule = RetrySchedule(tuple(waits))
        self.status, self.cause = PENDING, cause
        self.settled: DeliveryStatus | None = None
        self.step = self.number = self.now = 0
        self.counted = 0  # scheduled attempts that were neither rate-limited nor successful
        self.ever_delivered = False
        self.test = cause is Cause.TEST
        self.replayed = False

    def _move(self, status: DeliveryStatus) -> None:
        assert status in MOVES[self.status], f"{self.status} → {status}"
        self.status = status

    @precondition(lambda self: self.status is PENDING)
    @rule(outcome=OUTCOMES, chance=st.floats(0, 1, exclude_max=True), took=st.integers(0, 15 * SECOND))
    def attempt(self, outcome: Outcome, chance: float, took: int) -> None:
        """A worker makes the attempt that is due, and its outcome decides."""
        self._move(SENDING)
        self.number += 1
        self.now += took
        before, settled = self.step, self.settled
        verdict = after_attempt(
            outcome,
            cause=self.cause,
            settled=settled,
            step=self.step,
            number=self.number,
            replayed=self.replayed,
            schedule=self.schedule,
            now=self.now,
            chance=chance,
        )
        limited = outcome.reason is Reason.RATE_LIMITED
        if self.cause is Cause.SCHEDULED and not limited and not outcome.ok:
            self.counted += 1
        else:
            assert before == verdict.step, "only a scheduled failure uses up a wait"
        self._check(outcome, verdict, settled)
        self._move(verdict.status)
        self.step, self.settled = verdict.step, settled if self.status is PENDING else None
        self.ever_delivered |= outcome.ok
        if self.status is PENDING:
            self.cause = self.cause if settled else Cause.SCHEDULED
            assert verdict.next_attempt_at is not None
            self.now = verdict.next_attempt_at

    def _check(self, outcome: Outcome, verdict: Verdict, settled: DeliveryStatus | None) -> None:
        assert (verdict.status is PENDING) == (verdict.next_attempt_at is not None)
        limited = outcome.reason is Reason.RATE_LIMITED and self.cause is not Cause.TEST
        assert limited == (verdict.throttle_until is not None)
        if outcome.ok:
            assert verdict.status is DeliveryStatus.DELIVERED
        elif settled is not None:
            assert verdict.status is (PENDING if limited and self.replayed else settled)
        for instant in (verdict.next_attempt_at, verdict.throttle_until):
            assert instant is None or instant >= self.now + (outcome.retry_after or 0)
        if self.cause is Cause.TEST:
            assert verdict.status in ENDED, "a Test Hook is tried once"

    @precondition(lambda self: self.status is not SENDING)
    @rule()
    def redeliver(self) -> None:
        """A person presses Redeliver."""
        if self.status in ENDED:
            self.settled = self.status
            self._move(PENDING)
        if not (self.cause is Cause.TEST and self.settled is None):
            self.cause = Cause.MANUAL
        self.replayed = False

    @precondition(lambda self: self.status in ENDED and not self.test)
    @rule()
    def replay(self) -> None:
        """It has its turn in a replay."""
        self.settled, self.cause, self.replayed = self.status, Cause.MANUAL, True
        self._move(PENDING)

    @precondition(lambda self: self.status is PENDING)
    @rule()
    def cancel(self) -> None:
        """A person calls it off; a Redeliver that is called off leaves the end as it was."""
        self._move(self.settled or DeliveryStatus.CANCELLED)
        self.settled = None

    @invariant()
    def what_was_delivered_stays_delivered(self) -> None:
        """No later attempt takes it back."""
        if getattr(self, "ever_delivered", False):
            assert self.status is DeliveryStatus.DELIVERED or self.settled is DeliveryStatus.DELIVERED

    @invariant()
    def the_schedule_bounds_the_attempts(self) -> None:
        """However often it is limited or redelivered, it is not tried more often by itself than the schedule has."""
        if hasattr(self, "schedule"):
            assert self.counted <= len(self.schedule.waits) + 1
            assert self.step <= len(self.schedule.waits)


TestDeliveryLife = DeliveryLife.TestCase
