"""The rows of deliveries under two workers, persons and deaths in any order; what must hold after every step."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from loadbell.domain.deliveries import MOVES, Cause, FinalStatus
from loadbell.domain.errors import Conflict, NotFound
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.runs import Run, RunStatus
from loadbell.notify import deliveries
from loadbell.notify.channels import Held, delete_channel, pause, resume
from loadbell.notify.replay import MAX_PENDING, Replayer, start_replay
from loadbell.notify.sweeper import expire_held, find_late
from loadbell.outbound.messages import NoReply, Reply
from loadbell.store.deliveries import read_final
from loadbell.store.engine.db import Database
from loadbell.store.outbox import Leased, give_back, reap
from tests.support.leasing import (
    BROKEN,
    GONE,
    LIMITED,
    OK,
    SILENT,
    WAITS,
    DeliveryRow,
    attempts,
    completion,
    delivery_rows,
    lease,
    lease_all,
    limited,
    record,
)
from tests.support.stores import NOON, Site, settle

T = TypeVar("T")
WORKERS = (1, 2)
ANSWERS: list[Reply | NoReply] = [OK, BROKEN, SILENT, LIMITED, GONE, limited(0), limited(90)]
OPEN = {"pending", "sending"}


class DeliveryRows(RuleBasedStateMachine):
    """``store`` opens a new, migrated, empty database."""

    def __init__(self, store: AbstractAsyncContextManager[Database]) -> None:
        super().__init__()
        self._store = store
        self._runner = asyncio.Runner()
        self.site: Site = self._do(self._begin())
        self.in_hand: dict[int, list[Leased]] = {worker: [] for worker in WORKERS}
        self.leased_at: dict[tuple[UUID, int, int], Micros] = {}  # when each attempt begins
        self.runs: list[Run] = []
        self.before: dict[str, dict[str, Any]] = {}
        self.delivered: set[str] = set()
        self.paused: set[int] = set()
        self.in_line: set[str] = set()  # waits since a resume, maybe for one that has to be answered once more
        self.meant: dict[int, set[str]] = {}  # what each replay was asked for, as far as nobody else has taken it
        self.doubtful: dict[int, set[str]] = {}  # what each may also send: somebody else has laid hands on it
        self.sent: dict[int, set[str]] = {}  # what each has sent
        self.replayer = Replayer(self.site.database)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    async def _begin(self) -> Site:
        site = await settle(await self._store.__aenter__())
        self.channels = [(await site.channel()).id for _ in range(2)]
        return site

    def teardown(self) -> None:
        """Nothing is stuck: with a well receiver and a living worker every delivery comes to its end by itself."""
        try:
            self._do(self._drain())
        finally:
            self._do(self._store.__aexit__(None, None, None))
            self._runner.close()

    async def _drain(self) -> None:
        for channel in self.paused & set(self.channels):
            await self.site.do(resume, self.site.owner, channel, Held.DELIVER)
        for _ in range(8 + len(self.before)):
            self.site.clock.advance(200 * SECOND)
            await self.site.do(reap, owner=3)
            await self.replayer.advance_all()
            self._note_sent(await delivery_rows(self.site))
            for leased in await lease_all(self.site, owner=3):
                await record(self.site, completion(self.site, leased, OK))
            if [[], []] == await self._unfinished():
                break
        assert [[], []] == await self._unfinished()
        await self._check_replays()

    async def _unfinished(self) -> list[list[Any]]:
        """The deliveries and the replays that have not come to their end."""
        open_ones = [row for row in await delivery_rows(self.site) if row["status"] in OPEN]
        return [open_ones, await self.site.rows("SELECT * FROM replays WHERE finished_at IS NULL")]

    async def _check_replays(self) -> None:
        """Each replay has sent what it was asked for, but for what somebody else has sent, and nothing else.

        A channel that is gone has taken its replays with it before they could do so.
        """
        channels = {row["id"]: row["channel_id"] for row in await self.site.rows("SELECT * FROM replays")}
        for replay_id in self.meant.keys() & channels.keys():
            sent = self.sent.get(replay_id, set())
            assert self.meant[replay_id] <= sent <= self.meant[replay_id] | self.doubtful[replay_id]

    def _note_sent(self, rows: Iterable[DeliveryRow]) -> None:
        for row in rows:
            if row["replay_id"] is not None:
                self.sent.setdefault(row["replay_id"], set()).add(row["id"])

    def _doubt(self, taken: set[str]) -> None:
        """Whether the replays send these depends on what becomes of them and when."""
        for replay_id, items in self.meant.items():
            self.doubtful[replay_id] |= items & taken
            items.difference_update(taken)

    @rule()
    def start_a_run(self) -> None:
        """A report makes an event and its deliveries."""
        self.runs.append(self._do(self.site.run()))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def finish_a_run(self, data: st.DataObject) -> None:
        """As above; what is not answered yet is waited for."""
        run = self.runs.pop(data.draw(st.integers(0, len(self.runs) - 1)))
        self._do(self.site.report(run, RunStatus.FINISHED))

    @rule(seconds=st.sampled_from([1, 10, 46, 101]))
    def pass_time(self, seconds: int) -> None:
        """Retries become due, throttles and leases expire."""
        self.site.clock.advance(seconds * SECOND)

    @rule(worker=st.sampled_from(WORKERS), is_retry=st.booleans(), per_channel=st.integers(1, 3))
    def lease_some(self, worker: int, is_retry: bool, per_channel: int) -> None:
        """A worker leases what is due."""
        leased = self._do(lease(self.site, owner=worker, is_retry=is_retry, per_channel=per_channel))
        keys = [item.channel_key for item in leased]
        assert not self.paused & set(keys)
        assert all(keys.count(key) <= per_channel for key in keys)
        rows = self._rows()
        for item in leased:
            row = rows[str(item.id)]
            assert ("sending", worker, item.number) == (row["status"], row["lease_owner"], row["attempts_started"])
            if item.event is EventName.FINISHED and item.cause is Cause.SCHEDULED:
                self._check_order(row, rows)
        self._take(worker, leased)

    def _take(self, worker: int, leased: list[Leased]) -> None:
        self.in_hand[worker] += leased
        self.leased_at.update({(item.id, item.number, worker): self.site.clock.now for item in leased})

    def _check_order(self, finished: dict[str, Any], rows: dict[str, dict[str, Any]]) -> None:
        """test.started has been answered or has ended before its test.finished goes out."""
        items = self._answered()
        waited_for = [
            row
            for row in rows.values()
            if (row["run_id"], row["channel_id"]) == (finished["run_id"], finished["channel_id"])
            and row["event"] == EventName.STARTED.value
        ]
        for row in waited_for:
            assert row["log_status"] != "pending" or row["answered"] or row["id"] in items, (
                "test.finished went out before test.started"
            )

    @precondition(lambda self: any(self.in_hand.values()))
    @rule(data=st.data(), answer=st.sampled_from(ANSWERS))
    def record_a_result(self, data: st.DataObject, answer: Reply | NoReply) -> None:
        """A worker records what it held, whether or not the lease still stands; sometimes twice."""
        worker = data.draw(st.sampled_from([worker for worker in WORKERS if self.in_hand[worker]]))
        leased = self.in_hand[worker].pop(data.draw(st.integers(0, len(self.in_hand[worker]) - 1)))
        begun = self.leased_at[leased.id, leased.number, worker]
        made = completion(self.site, leased, answer, started_at=begun)
        key = str(leased.id)
        before = self.before[key]
        stands = ("sending", worker, leased.number) == tuple(
            before[name] for name in ("status", "lease_owner", "attempts_started")
        )
        final, again = made.verdict.final, made.verdict.due_at is not None
        if again and before["channel_id"] not in self.channels:
            final, again = final or FinalStatus.CANCELLED, False
        if not stands:
            self._doubt({key})  # it counts as an attempt of now
        elif not leased.is_replay:
            for doubtful in self.doubtful.values():
                doubtful.discard(key)
        for _ in range(data.draw(st.integers(1, 2))):
            self._do(record(self.site, made))
            after = self._rows()[key]
            if stands:
                assert (final or "pending", again) == (after["log_status"], after["delivery_id"] is not None)
                assert not again or made.verdict.retry_index == after["retry_index"]
            else:
                moved = {name for name in after if before[name] != after[name]}
                assert moved <= {"after"}, "a result without its lease moves nothing"

    @rule(worker=st.sampled_from(WORKERS))
    def reap_the_dead(self, worker: int) -> None:
        """One worker takes over from the other, which may yet come back with results."""
        self._do(self.site.do(reap, owner=worker))

    @precondition(lambda self: any(self.in_hand.values()))
    @rule(worker=st.sampled_from(WORKERS))
    def take_over(self, worker: int) -> None:
        """One worker takes over from the other and begins at once, while the other may still bring results."""
        self._do(self.site.do(reap, owner=worker))
        self._take(worker, self._do(lease_all(self.site, owner=worker)))

    @rule(worker=st.sampled_from(WORKERS))
    def stop(self, worker: int) -> None:
        """A worker stops in order."""
        self._do(self.site.do(give_back, worker))
        self.in_hand[worker].clear()

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: int) -> None:
        """A worker is killed with what it holds."""
        self.in_hand[worker].clear()

    @precondition(lambda self: self.before)
    @rule(data=st.data(), action=st.sampled_from([deliveries.redeliver, deliveries.cancel]))
    def act(self, data: st.DataObject, action: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        """A person redelivers or cancels; while it is being sent that is refused."""
        chosen = data.draw(st.sampled_from(sorted(self.before)))
        status = self.before[chosen]["status"]
        try:
            self._do(self.site.do(action, self.site.owner, UUID(chosen)))
            assert status != "sending"
            if action is deliveries.redeliver:
                self._doubt({chosen})
        except Conflict:
            assert (
                action is deliveries.cancel
                or status == "sending"
                or self.before[chosen]["channel_id"] not in set(self.channels) - self.paused
            )
            assert action is deliveries.redeliver or status != "pending"

    @rule(which=st.integers(0, 1))
    def test_a_channel(self, which: int) -> None:
        """A person presses Test Hook."""
        if which < len(self.channels):
            self._do(self.site.do(deliveries.test_saved, self.site.owner, self.channels[which]))

    @rule(which=st.integers(0, 1))
    def pause_a_channel(self, which: int) -> None:
        """A person pauses a channel, or it is paused already."""
        if which < len(self.channels):
            self._do(self.site.do(pause, self.site.owner, self.channels[which]))
            self.paused.add(self.channels[which])

    @precondition(lambda self: self.paused & set(self.channels))
    @rule(held=st.sampled_from(Held))
    def resume_the_paused(self, held: Held) -> None:
        """A person resumes what is paused; nothing that was held is forgotten."""
        for channel in sorted(self.paused & set(self.channels)):
            self._do(self.site.do(resume, self.site.owner, channel, held))
            waiting = [
                row for row in self._rows().values() if row["channel_key"] == channel and row["status"] == "pending"
            ]
            assert held is Held.DELIVER or not waiting
            assert all(row["due_at"] <= self.site.clock.now for row in waiting)
            self.in_line.update(row["id"] for row in waiting)
        self.paused.clear()

    @rule(seconds=st.sampled_from([60, 200]))
    def give_up_what_waited_too_long(self, seconds: int) -> None:
        """A worker ends what is held too long, and what met nothing but rate limits."""
        late = self._do(self.site.do(find_late, hold_for=seconds * SECOND))
        self._do(self.site.do(expire_held, late, hold_for=seconds * SECOND))

    @rule(which=st.integers(0, 1), statuses=st.sets(st.sampled_from(FinalStatus), min_size=1))
    def replay_a_channel(self, which: int, statuses: set[FinalStatus]) -> None:
        """A person asks for a replay; while one is going on that is refused."""
        if which >= len(self.channels):
            return
        self.site.clock.advance(SECOND)  # what was created just now is before now
        body: dict[str, Any] = {"since": NOON, "until": None, "statuses": tuple(statuses), "dry_run": False}
        try:
            replay_id, count = self._do(self.site.do(start_replay, self.site.owner, self.channels[which], **body))
        except Conflict:
            return
        assert replay_id is not None
        items = {
            key
            for key, row in self._rows().items()
            if row["channel_id"] == self.channels[which]
            and row["status"] in set(statuses)
            and row["event"] != EventName.TEST_HOOK.value
        }
        assert count == len(items)
        self._doubt(items)
        self.meant[replay_id], self.doubtful[replay_id] = items, set()

    @rule(times=st.integers(1, 3))
    def carry_replays_on(self, times: int) -> None:
        """Some processes look for replays with room."""
        for _ in range(times):
            self._do(self.replayer.advance_all())

    @precondition(lambda self: len(self.channels) > 1)
    @rule()
    def delete_a_channel(self) -> None:
        """A person deletes a channel, once."""
        try:
            self._do(self.site.do(delete_channel, self.site.owner, self.channels.pop()))
        except NotFound:
            raise AssertionError("it was there") from None

    def _rows(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self._do(delivery_rows(self.site))}

    def _answered(self) -> set[str]:
        """Deliveries with an attempt in the log that was answered, other than rate-limited."""
        return {
            row["delivery_id"]
            for row in self._do(attempts(self.site))
            if row["reason"] in {"ok", "http_5xx", "http_4xx", "http_3xx", "gone"}
        }

    @invariant()
    def rows_are_sound(self) -> None:
        """Every row moved legally and is whole."""
        rows, items = self._rows(), self._answered()
        replayed = Counter(row["replay_id"] for row in rows.values())
        assert all(count <= MAX_PENDING for replay_id, count in replayed.items() if replay_id is not None)
        numbers: dict[str, set[int]] = {}
        for entry in self._do(attempts(self.site)):
            numbers.setdefault(entry["delivery_id"], set()).add(entry["number"])
            created_at = rows[entry["delivery_id"]]["created_at"]
            assert created_at <= entry["started_at"] <= self.site.clock.now, "an attempt lies between creation and now"
        assert set(self.before) <= set(rows), "no delivery is ever lost"
        self._note_sent(rows.values())
        for key, row in rows.items():
            self._check_row(row)
            finished_before = self.before[key]["finished_at"] if key in self.before else None
            if row["finished_at"] != finished_before:
                assert row["finished_at"] == self.site.clock.now, "what ends in this step ends now"
            final = read_final(row["log_status"])
            if key in self.before:
                old = read_final(self.before[key]["log_status"])
                assert final is old or final in MOVES[old], f"{old} → {final}"
            if row["after"] is not None:
                other = rows[row["after"]]
                assert other["status"] in OPEN, "it waits for what will never come"
                assert key in self.in_line or not other["answered"], "it waits for what has come"
            assert set(range(1, row["attempt_count"] + 1)) == numbers.get(key, set()), (
                "each attempt is in the log, once"
            )
            if final is FinalStatus.DELIVERED:
                assert key in items
                self.delivered.add(key)
            assert key not in self.delivered or final is FinalStatus.DELIVERED, "what was delivered stays delivered"
        self.before = rows

    @staticmethod
    def _check_row(row: dict[str, Any]) -> None:
        has_ended, has_work = row["log_status"] != "pending", row["delivery_id"] is not None
        assert has_ended or has_work, "what is pending has work"
        assert has_ended == (row["finished_at"] is not None)
        leased = [row[name] is not None for name in ("lease_owner", "lease_until", "leased_at")]
        assert leased == [row["status"] == "sending"] * 3
        assert row["attempts_started"] == row["attempt_count"] + (row["status"] == "sending")
        if has_work:
            assert has_ended or 0 <= row["retry_index"] <= len(WAITS.waits)
            assert not has_ended or row["cause"] == "manual", "what has ended is sent again because somebody asked"
        if has_work and row["event"] == EventName.TEST_HOOK.value:
            assert row["cause"] != "scheduled", "a Test Hook is not retried"
