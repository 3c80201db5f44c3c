"""
The outbox: work on deliveries. A row exists only while an attempt is due or in progress.

A worker leases due rows and completes them: it appends the attempt to the log, moves the log, and deletes the row or
schedules the next attempt. Only this module takes and ends leases; ``clock_steps`` renews them after a standstill.

A lease is the worker's number, a time, and the attempt's number. The attempt's number is the fence: it grows with each
lease, so that a worker that lost its lease can still record its attempt but not move the delivery.

PostgreSQL rows are locked in this order everywhere: channels and then the outbox, both in ascending order, the log.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import structlog

from loadbell.domain.channels import ChannelKind, SigningSecret, live_secrets
from loadbell.domain.deliveries import Attempt, Cause, FinalStatus, Reason, Verdict
from loadbell.domain.events import EventName
from loadbell.domain.ids import Micros
from loadbell.domain.token_bucket import TokenBucket
from loadbell.store.attempts import append_attempts
from loadbell.store.cancellation import LOST, cancel_lost, delete_work
from loadbell.store.channels import read_secrets
from loadbell.store.deliveries import (
    LogEntry,
    move_deliveries,
    read_final,
)
from loadbell.store.engine.db import Row, Transaction
from loadbell.store.engine.postgresql import WORKER_LOCKS
from loadbell.store.engine.problems import WrongState
from loadbell.store.engine.statements import Statement, unnest
from loadbell.store.ordering import release

T = TypeVar("T")
log = structlog.get_logger()

INTERRUPTED = (
    "loadbell was stopped during this attempt; it is unknown whether it reached the receiver. "
    "A repeat carries the same X-LoadImpact-ID."
)
_STOPPED = "loadbell was stopped during the last attempt."

_NO_LEASE = "lease_owner = NULL, lease_until = NULL, leased_at = NULL"

_QUEUES = Statement(
    """
    WITH RECURSIVE queues(channel_key) AS (
        -- One index step from each key to the next: the cost grows with the channels, not with the work.
        SELECT min(channel_key) FROM outbox WHERE lease_owner IS NULL AND after IS NULL AND is_retry = :is_retry
        UNION ALL
        SELECT (SELECT min(o.channel_key) FROM outbox o WHERE o.lease_owner IS NULL AND o.after IS NULL
                AND o.is_retry = :is_retry AND o.channel_key > queues.channel_key)
        FROM queues WHERE queues.channel_key IS NOT NULL
    )
    SELECT queues.channel_key AS channel_key, coalesce(c.throttled_until, 0) AS throttled_until, c.kind AS kind,
        c.bucket_full_at AS bucket_full_at,
        (SELECT min(o.due_at) FROM outbox o WHERE o.lease_owner IS NULL AND o.after IS NULL
         AND o.is_retry = :is_retry AND o.channel_key = queues.channel_key) AS due_at
    FROM queues LEFT JOIN channels c ON c.id = queues.channel_key  -- none: a Test Hook, which nothing delays
    WHERE queues.channel_key IS NOT NULL AND c.paused_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM sweeps s WHERE s.channel_id = queues.channel_key)
    """
)
_PICK = Statement(
    "SELECT delivery_id FROM outbox WHERE lease_owner IS NULL AND after IS NULL AND is_retry = :is_retry "
    "AND channel_key = :channel_key AND due_at <= :now ORDER BY due_at LIMIT :places"
)
_LEASE_ONE = Statement(
    "UPDATE outbox SET lease_owner = :owner, lease_until = :until, leased_at = :now, "
    "attempts_started = attempts_started + 1 WHERE delivery_id = :id AND lease_owner IS NULL"
)
_LEASE_MANY = Statement(
    """
    WITH picked AS (
        SELECT work.delivery_id FROM unnest(CAST(:channel_keys AS bigint[]), CAST(:places AS integer[]))
            WITH ORDINALITY AS queue(channel_key, places, position)  -- in the order in which they are served
        CROSS JOIN LATERAL (
            SELECT delivery_id FROM outbox
            WHERE lease_owner IS NULL AND after IS NULL AND is_retry = :is_retry AND channel_key = queue.channel_key
                AND due_at <= :now
            -- Another worker is leasing those that are locked.
            ORDER BY due_at LIMIT queue.places FOR UPDATE SKIP LOCKED
        ) work
        ORDER BY queue.position LIMIT :limit
    )
    UPDATE outbox SET lease_owner = :owner, lease_until = :until, leased_at = :now,
        attempts_started = attempts_started + 1
    FROM picked WHERE outbox.delivery_id = picked.delivery_id RETURNING outbox.delivery_id
    """
)
_LEASED = Statement(
    "SELECT d.id, d.organization_id, o.channel_key, d.kind, d.event, o.cause, d.status, o.retry_index, o.resume_at, "
    "o.attempts_started, o.form, o.replay_id, e.payload, e.notice, e.occurred_at, c.settings, c.signing_secrets, "
    f"c.rate_limits, {LOST} AS lost FROM outbox o JOIN deliveries d ON d.id = o.delivery_id "
    "JOIN events e ON e.id = d.event_id LEFT JOIN channels c ON c.id = d.channel_id "
    "WHERE o.delivery_id IN LIST(:ids, text)"
)
_GIVE_BACK = f"UPDATE outbox SET {_NO_LEASE}, attempts_started = attempts_started - 1 WHERE lease_owner "
_GIVE_ALL_BACK = Statement(_GIVE_BACK + "= :owner RETURNING delivery_id")
_GIVE_THESE_BACK = Statement(_GIVE_BACK + "IS NOT NULL AND delivery_id IN LIST(:ids, text)")

_LOCK_LEASED = Statement(
    "SELECT delivery_id, attempts_started, lease_owner FROM outbox WHERE delivery_id IN LIST(:ids, text) "
    "AND lease_owner IS NOT NULL ORDER BY delivery_id FOR UPDATE"
)
_AGAIN_COLUMNS = {
    "id": "text",
    "due_at": "bigint",
    "retry_index": "integer",
    "answered": "boolean",
    "is_over": "boolean",
}
_AGAIN = (
    f"UPDATE outbox SET {_NO_LEASE}, is_retry = 1, due_at = {{u}}due_at, retry_index = {{u}}retry_index, "
    "answered = {o}answered OR {u}answered, resume_at = NULL, form = NULL, "
    # A Redeliver is one attempt; then the schedule continues. For a delivery that had ended, it stays a Redeliver.
    "cause = CASE WHEN {u}is_over THEN cause ELSE 'scheduled' END "
)
_DATE_AGAIN = Statement(
    _AGAIN.format(u=":", o="") + "WHERE delivery_id = :id",
    _AGAIN.format(u="u.", o="outbox.") + f"FROM {unnest(_AGAIN_COLUMNS)} WHERE outbox.delivery_id = u.id",
    columns=_AGAIN_COLUMNS,
)

_ORPHAN_COLUMNS = "o.delivery_id, o.organization_id, o.attempts_started, o.cause, o.leased_at, d.status"
_ORPHANS = Statement(
    f"SELECT {_ORPHAN_COLUMNS} FROM outbox o JOIN deliveries d ON d.id = o.delivery_id "
    "WHERE o.lease_owner IS NOT NULL AND (o.lease_until <= :now OR o.lease_owner <> :me) LIMIT 500",
    f"""
    SELECT {_ORPHAN_COLUMNS} FROM outbox o JOIN deliveries d ON d.id = o.delivery_id
    WHERE o.lease_owner IS NOT NULL
        -- A live worker holds its advisory lock, which PostgreSQL releases with its session.
        AND (o.lease_until <= :now OR o.lease_owner <> :me AND o.lease_owner NOT IN (
            SELECT CAST(objid AS bigint) FROM pg_locks
            WHERE locktype = 'advisory' AND classid = {WORKER_LOCKS} AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())))
    ORDER BY o.delivery_id LIMIT 500 FOR UPDATE OF o SKIP LOCKED
    """,
)
_TAKE_BACK = Statement(f"UPDATE outbox SET {_NO_LEASE}, due_at = :now WHERE delivery_id IN LIST(:ids, text)")


@dataclass(frozen=True)
class Queue:
    """Waiting work of one channel or Test Hook: either first attempts or retries."""

    channel_key: int
    due_at: Micros  #: when the first delivery may be sent
    kind: ChannelKind | None  #: the channel's; None: a Test Hook
    bucket_full_at: Micros  #: see ``domain/token_bucket.py``


async def list_queues(tx: Transaction, *, is_retry: bool) -> list[Queue]:
    """Returns each channel with waiting first attempts or retries, except paused channels and those in a sweep."""
    return [
        Queue(row["channel_key"], max(row["due_at"], row["throttled_until"]), row["kind"], row["bucket_full_at"] or 0)
        for row in await tx.all(_QUEUES, is_retry=int(is_retry))
    ]


@dataclass(frozen=True)
class Leased:
    """A delivery leased to this worker for one attempt, with all that the attempt needs."""

    id: UUID
    organization_id: int
    channel_key: int
    kind: ChannelKind
    event: EventName
    occurred_at: Micros
    payload: bytes
    notice: str | None  #: as stored; None in events from before notices existed
    cause: Cause
    final: FinalStatus | None  #: how the delivery had ended before
    retry_index: int
    resume_at: Micros | None
    number: int
    owner: int
    is_replay: bool
    rate_limits: int  #: the channel's, in a row, before this attempt
    settings: dict[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)  #: unexpired ones, newest first


async def lease(  # noqa: PLR0913 - what, how much, and the three parts of a lease
    tx: Transaction, places: Sequence[tuple[int, int]], *, is_retry: bool, limit: int, owner: int, until: Micros
) -> tuple[list[Leased], int]:
    """Leases due deliveries, oldest first: for each channel key up to its places, and ``limit`` in all.

    Cancels those whose channel, project or organization was deleted. Returns the leased ones, and how many were picked
    including cancelled and unreadable ones.
    """
    ids = await _pick(tx, places, is_retry=is_retry, limit=limit, owner=owner, until=until)
    if not ids:
        return [], 0
    rows = await tx.all(_LEASED, ids=ids)
    lost = [row["id"] for row in rows if row["lost"] is not None]
    if lost:
        await return_leases(tx, lost)
        tx.wake_workers()
    leased = []
    for row in rows:
        if row["lost"] is not None:
            continue
        try:
            leased.append(_leased(tx, row, owner=owner))
        except ValueError:
            # A row that this version can't read must not stop all other deliveries; its lease expires.
            log.exception("A delivery can't be read", delivery=row["id"])
    return leased, len(ids)


async def _pick(  # noqa: PLR0913 - as above
    tx: Transaction, places: Sequence[tuple[int, int]], *, is_retry: bool, limit: int, owner: int, until: Micros
) -> list[str]:
    lease_of = {"owner": owner, "until": until, "now": tx.now}
    if tx.dialect == "postgresql":
        keys, counts = [key for key, _ in places], [count for _, count in places]
        rows = await tx.all(
            _LEASE_MANY, channel_keys=keys, places=counts, is_retry=int(is_retry), limit=limit, **lease_of
        )
        return [row["delivery_id"] for row in rows]
    ids: list[str] = []
    for key, count in places:
        if len(ids) >= limit:
            break
        picked = await tx.all(
            _PICK, is_retry=int(is_retry), channel_key=key, now=tx.now, places=min(count, limit - len(ids))
        )
        ids.extend(row["delivery_id"] for row in picked)
    await tx.run_many(_LEASE_ONE, [{"id": item, **lease_of} for item in ids])
    return ids


def _leased(tx: Transaction, row: Row, *, owner: int) -> Leased:
    signing: tuple[SigningSecret, ...] = _open(tx, row["signing_secrets"], read_secrets, ())
    return Leased(
        id=UUID(row["id"]),
        organization_id=row["organization_id"],
        channel_key=row["channel_key"],
        kind=ChannelKind(row["kind"]),
        event=EventName(row["event"]),
        occurred_at=row["occurred_at"],
        payload=row["payload"].encode(),
        notice=row["notice"],
        cause=Cause(row["cause"]),
        final=read_final(row["status"]),
        retry_index=row["retry_index"],
        resume_at=row["resume_at"],
        number=row["attempts_started"],
        owner=owner,
        is_replay=row["replay_id"] is not None,
        rate_limits=row["rate_limits"] or 0,
        settings=_open(tx, row["settings"] if row["form"] is None else row["form"], _read_settings, {}),
        secrets=tuple(signing_secret.secret for signing_secret in live_secrets(signing, tx.now)),
    )


def _read_settings(text: str) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any])


def _open(tx: Transaction, sealed: str | None, read: Callable[[str], T], nothing: T) -> T:
    """Reads sealed JSON; ``nothing`` if no key decrypts it: a lost key must not stop all other deliveries."""
    if sealed is None:
        return nothing
    try:
        return read(tx.unseal(sealed))
    except WrongState as error:
        log.error("A channel's secrets can't be decrypted", error=str(error))
        return nothing


async def return_leases(tx: Transaction, delivery_ids: Collection[str]) -> None:
    """Like :func:`give_back`, for these deliveries only."""
    if delivery_ids:
        await tx.run(_GIVE_THESE_BACK, ids=delivery_ids)
        await cancel_lost(tx, delivery_ids)


async def give_back(tx: Transaction, owner: int) -> int:
    """Returns all deliveries leased to this worker to pending, without counting an attempt; returns how many.

    Cancels those whose channel, project or organization was deleted meanwhile.
    """
    returned = [row["delivery_id"] for row in await tx.all(_GIVE_ALL_BACK, owner=owner)]
    await cancel_lost(tx, returned)
    return len(returned)


@dataclass(frozen=True)
class Completion:
    """The result of an attempt, and what it does to the delivery."""

    leased: Leased
    attempt: Attempt
    verdict: Verdict
    answered: bool
    finished_at: Micros | None
    rate_limit: TokenBucket | None = None  #: for the channel's kind
    pauses: bool = False  #: the channel can't work until somebody fixes it
    throttle_reason: str = ""  #: a sentence about why the channel waits, if it does


async def complete(tx: Transaction, completions: Sequence[Completion]) -> int:
    """Appends every attempt to the log; moves the log and the work of every delivery whose lease is still valid.

    Safe to run twice. Cancels deliveries to retry whose channel, project or organization was deleted meanwhile. Returns
    how many other deliveries were released that had waited for these.
    """
    if not completions:
        return 0
    for completion in completions:
        tx.changed(completion.leased.organization_id)
    ids = [str(completion.leased.id) for completion in completions]
    stands = {
        (row["delivery_id"], row["attempts_started"], row["lease_owner"]) for row in await tx.all(_LOCK_LEASED, ids=ids)
    }
    await append_attempts(tx, [(str(completion.leased.id), completion.attempt) for completion in completions])
    ours = [
        completion
        for completion in completions
        if (str(completion.leased.id), completion.leased.number, completion.leased.owner) in stands
    ]
    await move_deliveries(tx, [_log_entry(completion) for completion in ours])
    again = [completion for completion in ours if completion.verdict.due_at is not None]
    over = [str(completion.leased.id) for completion in ours if completion.verdict.due_at is None]
    await tx.run_many(_DATE_AGAIN, [_again_row(completion) for completion in again])
    await delete_work(tx, over)
    # Without a response, only an end under a valid lease releases others: a lost lease ended nothing.
    released = await release(
        tx, {*over, *(str(completion.leased.id) for completion in completions if completion.answered)}
    )
    return released + await cancel_lost(tx, [str(completion.leased.id) for completion in again])


def _log_entry(completion: Completion) -> LogEntry:
    leased = completion.leased
    return LogEntry(str(leased.id), leased.final, completion.verdict.final, completion.attempt, completion.finished_at)


def _again_row(completion: Completion) -> Mapping[str, Any]:
    return {
        "id": str(completion.leased.id),
        "due_at": completion.verdict.due_at,
        "retry_index": completion.verdict.retry_index,
        "answered": completion.answered,
        "is_over": completion.verdict.final is not None,
    }


async def reap(tx: Transaction, *, owner: int, expired_by: Micros | None = None) -> int:
    """Takes back up to 500 leases of dead workers and logs their attempts as interrupted; returns how many.

    The deliveries are due again at once, except Test Hooks: nobody waits for those any more. ``expired_by``: leases
    that expired by then count as a dead worker's; by default, now.
    """
    rows = await tx.all(_ORPHANS, now=tx.now if expired_by is None else expired_by, me=owner)
    if not rows:
        return 0
    attempts: list[tuple[str, Attempt]] = []
    entries: list[LogEntry] = []
    over: list[str] = []
    again: list[str] = []
    for row in rows:
        key, cause, before = row["delivery_id"], Cause(row["cause"]), read_final(row["status"])
        is_over = cause is Cause.TEST
        attempt = Attempt(row["attempts_started"], cause, row["leased_at"], 0, Reason.INTERNAL, INTERRUPTED, None)
        attempts.append((key, attempt))
        stopped = replace(attempt, message=_STOPPED)
        final = FinalStatus.FAILED if is_over else before
        entries.append(LogEntry(key, before, final, stopped, tx.now if is_over else None))
        (over if is_over else again).append(key)
        tx.changed(row["organization_id"])
    await append_attempts(tx, attempts)
    await move_deliveries(tx, entries)
    await delete_work(tx, over)
    if again:
        await tx.run(_TAKE_BACK, ids=again, now=tx.now)
    await cancel_lost(tx, again)
    tx.wake_workers()
    return len(rows)
