"""A delivery under random outcomes, redeliveries and cancellations, for as long as hypothesis likes."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from loadbell.domain.deliveries import MOVES, Cause, FinalStatus, Outcome, Reason, Verdict, after_attempt
from loadbell.domain.ids import SECOND
from loadbell.domain.retry import RetrySchedule

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
    """The log of one delivery with the work on it; persons and receivers do as they like."""

    @initialize(
        waits=st.lists(st.integers(0, 36_000 * SECOND), max_size=5),
        cause=st.sampled_from([Cause.SCHEDULED, Cause.SCHEDULED, Cause.TEST]),
    )
    def begin(self, waits: list[int], cause: Cause) -> None:
        """A new delivery is pending."""
        self.schedule = RetrySchedule(tuple(waits))
        self.cause = cause
        self.final: FinalStatus | None = None
        self.is_open = True  # there is work on it
        self.retry_index = self.number = self.now = 0
        self.counted = 0  # scheduled attempts that were neither rate-limited nor successful
        self.ever_delivered = False
        self.test = cause is Cause.TEST
        self.is_replay = False

    def _end(self, final: FinalStatus | None) -> None:
        assert final is self.final or final in MOVES[self.final], f"{self.final} → {final}"
        self.final = final

    @precondition(lambda self: self.is_open)
    @rule(outcome=OUTCOMES, chance=st.floats(0, 1, exclude_max=True), took=st.integers(0, 15 * SECOND))
    def attempt(self, outcome: Outcome, chance: float, took: int) -> None:
        """A worker makes the attempt that is due, and its outcome decides."""
        self.number += 1
        self.now += took
        before = self.retry_index
        verdict = after_attempt(
            outcome,
            cause=self.cause,
            final=self.final,
            retry_index=self.retry_index,
            number=self.number,
            is_replay=self.is_replay,
            schedule=self.schedule,
            now=self.now,
            chance=chance,
        )
        limited = outcome.reason is Reason.RATE_LIMITED
        if self.cause is Cause.SCHEDULED and not limited and not outcome.ok:
            self.counted += 1
        else:
            assert before == verdict.retry_index, "only a scheduled failure uses up a wait"
        self._check(outcome, verdict)
        self._end(verdict.final)
        self.retry_index, self.is_open = verdict.retry_index, verdict.due_at is not None
        self.ever_delivered |= outcome.ok
        if verdict.due_at is not None:
            self.cause = Cause.SCHEDULED if self.final is None else self.cause
            self.now = verdict.due_at

    def _check(self, outcome: Outcome, verdict: Verdict) -> None:
        assert verdict.final is not None or verdict.due_at is not None, "what has not ended is tried again"
        limited = outcome.reason is Reason.RATE_LIMITED and self.cause is not Cause.TEST
        assert limited == (verdict.throttle_until is not None)
        if outcome.ok:
            assert (FinalStatus.DELIVERED, None) == (verdict.final, verdict.due_at)
        elif self.final is not None:
            assert verdict.final is self.final
            assert (limited and self.is_replay) == (verdict.due_at is not None)
        for instant in (verdict.due_at, verdict.throttle_until):
            assert instant is None or instant >= self.now + (outcome.retry_after or 0)
        if self.cause is Cause.TEST:
            assert verdict.due_at is None, "a Test Hook is tried once"

    @rule()
    def redeliver(self) -> None:
        """A person presses Redeliver."""
        if not (self.cause is Cause.TEST and self.is_open):
            self.cause = Cause.MANUAL
        if not self.is_open:
            self.retry_index = self.number
        self.is_open, self.is_replay = True, False

    @precondition(lambda self: not self.is_open and not self.test)
    @rule()
    def replay(self) -> None:
        """It has its turn in a replay."""
        self.retry_index = self.number
        self.is_open, self.cause, self.is_replay = True, Cause.MANUAL, True

    @precondition(lambda self: self.is_open)
    @rule()
    def cancel(self) -> None:
        """A person calls it off; a Redeliver that is called off leaves the end as it was."""
        self._end(self.final or FinalStatus.CANCELLED)
        self.is_open = False

    @invariant()
    def what_was_delivered_stays_delivered(self) -> None:
        """No later attempt takes it back."""
        if getattr(self, "ever_delivered", False):
            assert self.final is FinalStatus.DELIVERED

    @invariant()
    def what_has_not_ended_has_work(self) -> None:
        """Nothing is pending for ever."""
        assert getattr(self, "is_open", True) or self.final is not None

    @invariant()
    def the_schedule_bounds_the_attempts(self) -> None:
        """However often it is limited or redelivered, it is not tried more often by itself than the schedule has."""
        if hasattr(self, "schedule"):
            assert self.counted <= len(self.schedule.waits) + 1
            assert self.final is not None or self.retry_index <= len(self.schedule.waits)


TestDeliveryLife = DeliveryLife.TestCase
