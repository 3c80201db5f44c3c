"""
The worker's loop: leases due deliveries, hands them to the sender, records the results.

Each turn is one transaction: it records the results since the last turn and, if deliveries may be due, leases as many
as there is room for. No transaction is open while the sender works. Results that could not be recorded, because the
database is unavailable, are kept for the next turn.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from loadbell.channels import channel_types
from loadbell.domain.deliveries import FinalStatus, Reason
from loadbell.domain.errors import Unavailable
from loadbell.domain.ids import SECOND, Clock, Micros, rfc3339
from loadbell.domain.retry import RetrySchedule
from loadbell.notify.channel_notices import WAITING_NOTICE_AFTER
from loadbell.notify.replay import Replayer
from loadbell.notify.sweeper import Sweeper
from loadbell.notify.worker.attempt import Prepared, build_request, judge_result
from loadbell.notify.worker.capacity import Room, room_beside
from loadbell.notify.worker.channel_health import Paused, apply_results
from loadbell.notify.worker.due_times import DueTimes
from loadbell.notify.worker.fetch import LeaseResult, lease_due
from loadbell.notify.worker.hosts import Hosts
from loadbell.outbound.messages import NoReply, Reply
from loadbell.outbound.sender import Exchange, Sender
from loadbell.store.clock_steps import MIN_STEP, follow_step_back, skip_gap
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.outbox import Completion, Leased, complete, give_back, reap, return_leases

log = structlog.get_logger()

LEASE_SLACK: Micros = 30 * SECOND
MAX_GAP: Micros = 5 * SECOND
"""There is a turn each second; if one is later than this, the process was suspended or the clock was set."""

_LOOK_EVERY: Micros = SECOND  # a backstop: due deliveries wake the worker
_REAP_EVERY: Micros = SECOND
_AWAY_SECONDS = 0.5


class Worker:
    """Delivers from :meth:`start` until :meth:`stop`."""

    def __init__(  # noqa: PLR0913 - its dependencies, wired by app.py
        self,
        database: Database,
        sender: Sender,
        *,
        schedule: RetrySchedule,
        send_timeout: Micros,
        base_url: str,
        pause_after: Micros,
        hold_for: Micros,
        clock: Clock,
        monotonic: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._database = database
        self._sender = sender
        self._schedule = schedule
        self._lease: Micros = send_timeout + LEASE_SLACK
        self._base_url = base_url
        self._pause_after = pause_after
        self._rate_limits = {
            kind: known.rate_limit for kind, known in channel_types().items() if known.rate_limit is not None
        }
        self._clock = clock
        self._monotonic = monotonic
        self._times: tuple[Micros, Micros] | None = None  # of the last turn: monotonic clock, system clock
        self._due_times: DueTimes | None = None  # still to move after a clock was set back
        self._chance = chance
        self._replayer = Replayer(database)
        self._sweeper = Sweeper(database, hold_for=hold_for)
        self._wake = asyncio.Event()
        self._look = True  # deliveries may be due
        self._look_at: Micros = 0  # when some may be due, at the latest
        self._held: frozenset[int] = frozenset()  # channels with more due than they had room for
        self._done: list[Completion] = []
        self._one_by_one = False  # a batch of results could not be recorded
        self._per_key: Counter[int] = Counter()
        self._full = False  # more was due than the total room
        self._healthy: set[int] = set()  # channels whose last attempt succeeded
        self._retries = 0
        self._in_flight = 0
        self._hosts = Hosts()
        self._surplus: list[Leased] = []  # leased although their host has no place; to be returned
        self._stopping = False
        self._owner = 0
        self._reaped_at: Micros = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Registers this worker, takes over the leases of dead ones, and starts.

        Raises:
            Unavailable: the database can't be reached.
        """
        self._owner = await self._database.enlist_worker()
        await self._reap()
        self._database.on_wake(self._look_soon)
        self._task = asyncio.create_task(self._run(), name="worker")
        self._replayer.start()
        self._sweeper.start()

    async def stop(self, grace_s: float) -> None:
        """Stops leasing, waits up to ``grace_s`` seconds for attempts in flight, and returns the rest.

        Returned deliveries are pending again, with no attempt counted.
        """
        if self._task is None:
            return
        self._stopping = True
        self._wake.set()
        await self._replayer.stop()
        await self._sweeper.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._task), grace_s)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

        async def hand_over(tx: Transaction) -> int:
            await self._record(tx, self._done)
            return await give_back(tx, self._owner)

        try:
            try:
                returned = await self._database.write(hand_over)
            except Unavailable:
                raise
            except Exception:
                log.exception("The last results couldn't be recorded; their attempts will be repeated")
                returned = await self._database.write(give_back, self._owner)
            log.info("The worker stopped", given_back=returned)
        except Unavailable as error:
            log.warning(
                "The worker stopped while the database was unreachable; another worker takes over", error=str(error)
            )

    async def _run(self) -> None:
        while not (self._stopping and self._in_flight == 0 and not self._done):
            try:
                await self._follow_clocks()
                pause = await self._turn()
                await self._reap_now_and_then()  # after the turn: results from an outage count
            except Unavailable as error:
                log.warning("The worker can't reach the database; retrying", error=str(error))
                pause = _AWAY_SECONDS
            except Exception:
                log.exception("The worker failed; retrying")
                self._doubt_results()
                pause = _AWAY_SECONDS
            if pause > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause)

    async def _follow_clocks(self) -> None:
        """Handles a clock that was set back and a suspended process since the last call."""
        await self._follow()
        times = self._read_clocks()
        before, now = self._times or times, times[1]
        steady, system = times[0] - before[0], now - before[1]
        back, gap = steady - system, max(steady, system)
        if back >= MIN_STEP:
            followed = await self._database.write(follow_step_back, owner=self._owner, back=back, now=now)
            log.warning("The clock was set back", seconds=back // SECOND, due_times_followed=followed)
            self._due_times = DueTimes(back, now) if followed else None
            self._reaped_at = min(self._reaped_at, now)
            self._look_soon()
        elif gap >= MAX_GAP:
            until = now + self._lease
            await self._database.write(skip_gap, owner=self._owner, gap=gap, now=now, until=until)
            log.warning("The worker was delayed, or the clock was set forward", seconds=gap // SECOND)
        self._times = times
        await self._follow()

    async def _follow(self) -> None:
        if self._due_times is not None:
            await self._due_times.follow(self._database)
            self._due_times = None

    def _read_clocks(self) -> tuple[Micros, Micros]:
        """Reads both clocks without a suspension in between."""
        while True:
            before, system = self._monotonic(), self._clock()
            if self._monotonic() - before < SECOND // 10:
                return before, system

    def _doubt_results(self) -> None:
        """After a failed turn, records one result per turn and drops a result that fails alone.

        Its lease expires and the delivery is tried again; otherwise no other result would ever be recorded.
        """
        if self._one_by_one and self._done:
            lost = self._done.pop(0)
            self._count(lost.leased, -1)
            log.error("The result of an attempt couldn't be recorded", delivery=str(lost.leased.id))
        self._one_by_one = bool(self._done)

    def _look_soon(self) -> None:
        self._look = True
        self._wake.set()

    async def _turn(self) -> float:
        """Records results and leases due deliveries. Returns the seconds until the next turn."""
        self._wake.clear()
        completions, now = self._done[: 1 if self._one_by_one else None], self._clock()
        made_room = any(self._full or item.leased.channel_key in self._held for item in completions)
        look = self._look or now >= self._look_at or made_room
        self._look = False
        surplus = list(self._surplus)
        leaving = [*(item.leased for item in completions), *surplus]
        busy = self._per_key - Counter(leased.channel_key for leased in leaving)
        retries = self._retries - sum(map(_is_retry, leaving))
        first_ones = busy.total() - retries

        async def work(tx: Transaction) -> tuple[list[Paused], tuple[LeaseResult, LeaseResult] | None]:
            paused, released = await self._record(tx, completions)
            await return_leases(tx, [str(leased.id) for leased in surplus])
            if not (look or released) or self._stopping:
                return paused, None
            until = now + self._lease
            room = self._room(busy, is_retry=False, of_kind=first_ones)
            first = await lease_due(tx, is_retry=False, room=room, owner=self._owner, until=until)
            busier = busy + Counter(item.channel_key for item in first.leased)
            room = self._room(busier, is_retry=True, of_kind=retries)
            again = await lease_due(tx, is_retry=True, room=room, owner=self._owner, until=until)
            return paused, (first, again)

        try:
            paused, looks = await self._database.write(work)
        except BaseException:
            self._look = True
            raise
        del self._done[: len(completions)]
        self._forget_surplus(surplus)
        if any(item.leased.is_replay for item in completions):
            self._replayer.wake()
        self._one_by_one = self._one_by_one and bool(self._done)
        for completion in completions:
            self._count(completion.leased, -1)
            if completion.verdict.due_at is not None:
                self._look_at = min(self._look_at, completion.verdict.due_at)
        for channel in paused:
            log.warning("A channel was paused", channel=channel.channel_id, reason=channel.reason)
        if looks is not None:
            self._take(looks, now)
        if self._look or self._done:
            return 0
        pause = (self._look_at - self._clock()) / SECOND
        return min(max(pause, 0.001), _LOOK_EVERY / SECOND)  # the clock may have been set back during this turn

    def _forget_surplus(self, surplus: Sequence[Leased]) -> None:
        del self._surplus[: len(surplus)]
        for leased in surplus:
            self._count(leased, -1)

    def _take(self, looks: tuple[LeaseResult, LeaseResult], now: Micros) -> None:
        """Sends what was leased, and remembers when to lease again."""
        dues = [lease_result.next_due for lease_result in looks if lease_result.next_due is not None]
        self._look_at = min([*dues, now + _LOOK_EVERY])
        self._held = looks[0].held | looks[1].held
        self._full = looks[0].full or looks[1].full
        leased = looks[0].leased + looks[1].leased
        for item in leased:
            self._count(item, 1)
        self._send(leased)

    async def _record(self, tx: Transaction, completions: Sequence[Completion]) -> tuple[list[Paused], int]:
        """Returns the channels that the results paused, and how many deliveries no longer wait."""
        paused = await apply_results(tx, completions, pause_after=self._pause_after)
        return paused, await complete(tx, completions)

    def _room(self, busy: Counter[int], *, is_retry: bool, of_kind: int) -> Room:
        return room_beside(
            busy,
            is_retry=is_retry,
            of_kind=of_kind,
            healthy=self._healthy,
            rate_limits=self._rate_limits,
            hosts=self._hosts.of_key,
            host_left=self._hosts.left(busy),
        )

    def _send(self, leased: Sequence[Leased]) -> None:
        exchanges = []
        all_prepared = [build_request(item, self._clock(), self._base_url) for item in leased]
        surplus = self._hosts.surplus(all_prepared, self._per_key)
        self._surplus += [prepared.leased for prepared in surplus]
        self._look = self._look or bool(surplus)
        ids = {prepared.leased.id for prepared in surplus}
        for prepared in all_prepared:
            if prepared.leased.id in ids:
                continue
            if prepared.message is not None:
                exchanges.append(Exchange(prepared, prepared.message))
            elif prepared.refusal is not None:
                self._conclude(prepared, prepared.refusal)
        if exchanges:
            self._sender.submit(exchanges, self._complete_results)

    def _complete_results(self, results: Sequence[tuple[Exchange, Reply | NoReply]]) -> None:
        for exchange, result in results:
            assert isinstance(exchange.key, Prepared)
            self._conclude(exchange.key, result)
        self._wake.set()

    def _conclude(self, prepared: Prepared, result: Reply | NoReply) -> None:
        now = self._clock()
        completion = judge_result(prepared, result, schedule=self._schedule, now=now, chance=self._chance())
        self._done.append(completion)
        key = completion.leased.channel_key
        if completion.attempt.reason is not Reason.OK:
            self._healthy.discard(key)
        elif key > 0:  # the key of a Test Hook is never used again
            self._healthy.add(key)
        until = completion.verdict.throttle_until
        if until is not None and until - now >= WAITING_NOTICE_AFTER and key > 0:
            log.warning("A channel is waiting for its receiver", channel=key, until=rfc3339(until))
        if completion.verdict.final is FinalStatus.FAILED and completion.finished_at is not None:
            # The delivery log has every attempt; logging each here, too, would cost more than sending.
            log.warning(
                "A delivery failed permanently",
                delivery=str(completion.leased.id),
                delivery_event=completion.leased.event.value,
                attempt=completion.attempt.number,
                reason=completion.attempt.reason.value,
            )

    def _count(self, leased: Leased, change: int) -> None:
        self._in_flight += change
        self._retries += change * _is_retry(leased)
        self._per_key[leased.channel_key] += change
        if not self._per_key[leased.channel_key]:
            del self._per_key[leased.channel_key]

    async def _reap_now_and_then(self) -> None:
        if self._clock() - self._reaped_at >= _REAP_EVERY:
            await self._reap()

    async def _reap(self) -> None:
        # By the time when the clocks were compared, and our leases renewed if this process was suspended: a process
        # suspended after that finds its own leases expired, and they are not a dead worker's.
        now = self._times[1] if self._times else self._clock()
        taken = await self._database.write(reap, owner=self._owner, expired_by=now)
        self._reaped_at = now
        if taken:
            log.warning("Took over deliveries of a lost worker", deliveries=taken)


def _is_retry(leased: Leased) -> bool:
    return leased.number > 1
