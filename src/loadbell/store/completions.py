"""
What became of attempts: recorded in batches, and of the ones that a lost worker had begun, taken back.

The attempt's number is the fence of the lease (see ``leases.py``): whoever lost its lease meanwhile can still record
what it did, but not move the delivery.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from loadbell.domain.deliveries import Attempt, Cause, DeliveryStatus, Reason, Verdict
from loadbell.domain.ids import Micros
from loadbell.domain.pace import Pace
from loadbell.store.calling_off import call_off_lost
from loadbell.store.channels import Throttle, throttle_channels
from loadbell.store.db import Transaction
from loadbell.store.leases import Leased
from loadbell.store.postgresql import WORKER_LOCKS
from loadbell.store.statements import Statement

INTERRUPTED = (
    "loadbell was stopped while this attempt was under way; whether it reached the receiver is not known. "
    "A repeat carries the same X-LoadImpact-ID."
)

_ATTEMPT_COLUMNS = {
    "delivery_id": "text",
    "number": "integer",
    "cause": "text",
    "started_at": "bigint",
    "duration": "bigint",
    "reason": "text",
    "message": "text",
    "exchange": "text",
}
_MOVE_COLUMNS = {
    "id": "text",
    "number": "integer",
    "owner": "bigint",
    "status": "text",
    "step": "integer",
    "next_attempt_at": "bigint",
    "answered": "boolean",
    "retrying": "integer",
    "reason": "text",
    "message": "text",
    "finished_at": "bigint",
}


def _unnest(columns: Mapping[str, str]) -> str:
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
    return f"unnest({arrays}) AS u({', '.join(columns)})"


# The log takes what really happened: a result replaces the "interrupted" that a reaper may have noted meanwhile.
_REPLACE = "DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in list(_ATTEMPT_COLUMNS)[2:])
_APPEND = Statement(
    f"INSERT INTO attempts ({', '.join(_ATTEMPT_COLUMNS)}) "
    f"SELECT {', '.join(f':{name}' for name in _ATTEMPT_COLUMNS)} "
    f"WHERE EXISTS (SELECT 1 FROM deliveries WHERE id = :delivery_id) ON CONFLICT (delivery_id, number) {_REPLACE}",
    f"INSERT INTO attempts ({', '.join(_ATTEMPT_COLUMNS)}) SELECT u.* FROM {_unnest(_ATTEMPT_COLUMNS)} "
    f"JOIN deliveries d ON d.id = u.delivery_id ON CONFLICT (delivery_id, number) {_REPLACE}",
)
_MOVED = (
    "lease_owner = NULL, lease_until = NULL, leased_at = NULL, resume_at = NULL, form = NULL, "
    "cause = CASE WHEN {u}status = 'pending' AND settled IS NULL THEN 'scheduled' ELSE cause END, "
    "settled = CASE WHEN {u}status = 'pending' THEN settled END, "
    "status = {u}status, step = {u}step, next_attempt_at = {u}next_attempt_at, answered = answered OR {u}answered, "
    "retrying = {u}retrying, reason = {u}reason, message = {u}message, "
    "finished_at = coalesce({u}finished_at, finished_at)"
)
_MOVE = Statement(
    "UPDATE deliveries SET " + _MOVED.format(u=":") + " WHERE id = :id AND status = 'sending' "
    "AND attempts_begun = :number AND lease_owner = :owner",
    "UPDATE deliveries d SET "
    + _MOVED.format(u="u.")
    .replace("ELSE cause", "ELSE d.cause")
    .replace("= answered OR", "= d.answered OR")
    .replace(", finished_at)", ", d.finished_at)")
    + f" FROM {_unnest(_MOVE_COLUMNS)} WHERE d.id = u.id AND d.status = 'sending' "
    "AND d.attempts_begun = u.number AND d.lease_owner = u.owner",
)
_LOCK_MANY = Statement("SELECT id FROM deliveries WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id FOR UPDATE")
# An end without an answer counts as it stands now: the result of an attempt whose lease was lost has ended nothing.
_IS_OVER = (
    " AND EXISTS (SELECT 1 FROM deliveries earlier WHERE earlier.id = deliveries.waits_for "
    "AND (earlier.answered OR earlier.status IN ('delivered', 'failed', 'cancelled')))"
)
_RELEASE_ANSWERED = Statement(
    "UPDATE deliveries SET waits_for = NULL WHERE waits_for = :id",
    "UPDATE deliveries SET waits_for = NULL WHERE waits_for = ANY(CAST(:ids AS text[]))",
)
_RELEASE_ENDED = Statement("UPDATE deliveries SET waits_for = NULL WHERE waits_for = :id" + _IS_OVER)

_TAKE_BACK = Statement(
    "UPDATE deliveries SET status = CASE WHEN cause = 'test' THEN 'failed' ELSE 'pending' END, "
    "next_attempt_at = CASE WHEN cause = 'test' THEN NULL ELSE CAST(:now AS bigint) END, "
    "finished_at = CASE WHEN cause = 'test' THEN CAST(:now AS bigint) ELSE finished_at END, "
    "form = CASE WHEN cause = 'test' THEN NULL ELSE form END, "
    "reason = 'internal', message = 'loadbell was stopped in the middle of the last attempt.', "
    "lease_owner = NULL, lease_until = NULL, leased_at = NULL "
    "WHERE id = :id AND status = 'sending' AND attempts_begun = :number"
)
_ORPHANS = Statement(
    "SELECT id, organization_id, attempts_begun, cause, settled, step, lease_owner, leased_at "
    "FROM deliveries WHERE status = 'sending' "
    "AND (lease_until <= :now OR lease_owner <> :me) LIMIT 500",
    f"""
    SELECT id, organization_id, attempts_begun, cause, settled, step, lease_owner, leased_at
    FROM deliveries WHERE status = 'sending' AND (lease_until <= :now OR lease_owner <> :me AND lease_owner NOT IN (
        SELECT CAST(objid AS bigint) FROM pg_locks WHERE locktype = 'advisory' AND classid = {WORKER_LOCKS} AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )) ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
    """,
)


@dataclass(frozen=True)
class Completion:
    """What became of an attempt, and where it takes the delivery."""

    leased: Leased
    attempt: Attempt
    verdict: Verdict
    answered: bool
    finished_at: Micros | None
    pace: Pace | None = None  #: of the channel's kind
    pauses: bool = False  #: the channel can't work until somebody has seen to it
    throttle_reason: str = ""  #: why the channel waits, in words, if it does


async def complete_batch(tx: Transaction, completions: Sequence[Completion]) -> int:
    """Appends every attempt to the log and moves every delivery whose lease still stands. Safe to run twice.

    What has lost its channel, project or organization meanwhile ends ``now``.
    Gives how many other deliveries had waited for these and are free to go now.
    """
    if not completions:
        return 0
    attempts = [_attempt_row(str(done.leased.id), done.attempt) for done in completions]
    moves = [_move_row(done) for done in completions]
    answered = [str(done.leased.id) for done in completions if done.answered]
    ended = [
        str(done.leased.id)
        for done in completions
        if done.verdict.status is not DeliveryStatus.PENDING and not done.answered
    ]
    for done in completions:
        tx.changed(done.leased.organization_id)
    # Channels before deliveries, as everybody locks them.
    await throttle_channels(tx, _throttles(completions), recovered=_recovered(completions))
    if tx.dialect == "postgresql":
        await tx.all(_LOCK_MANY, ids=[move["id"] for move in moves])
        await tx.run(_APPEND, **_columns(attempts))
        await tx.run(_MOVE, **_columns(moves))
        released = await tx.run(_RELEASE_ANSWERED, ids=answered)
    else:
        await tx.run_many(_APPEND, attempts)
        await tx.run_many(_MOVE, moves)
        released = sum([await tx.run(_RELEASE_ANSWERED, id=item) for item in answered])
    released += sum([await tx.run(_RELEASE_ENDED, id=item) for item in ended])
    again = [str(done.leased.id) for done in completions if done.verdict.status is DeliveryStatus.PENDING]
    return released + await call_off_lost(tx, again)


def _throttles(completions: Sequence[Completion]) -> dict[int, Throttle]:
    """Until when each channel that was rate-limited waits."""
    throttles: dict[int, Throttle] = {}
    for done in completions:
        lane, until = done.leased.lane, done.verdict.throttle_until
        if until is not None and lane > 0 and (lane not in throttles or until > throttles[lane].until):
            throttles[lane] = Throttle(
                until,
                full_at=0 if done.pace is None else done.pace.drained(until),
                since=done.attempt.started_at,
                reason=done.throttle_reason,
                rate_limits=(done.leased.rate_limits + 1) * _is_limited(done),
            )
    return throttles


def _recovered(completions: Sequence[Completion]) -> set[int]:
    """The channels that were refused for coming too fast before, and are not now."""
    limited = {done.leased.lane for done in completions if _is_limited(done)}
    return {done.leased.lane for done in completions if done.leased.lane > 0 and done.leased.rate_limits} - limited


def _is_limited(done: Completion) -> bool:
    return done.attempt.reason is Reason.RATE_LIMITED


async def reap(tx: Transaction, *, owner: int, expired_by: Micros | None = None) -> int:
    """Takes back some of what dead workers held: due again at once, the attempt noted as interrupted. Gives how many.

    A Test Hook is not repeated: nobody waits for it any more. ``expired_by``: leases that ran out by then count as a
    dead worker's; by default, now.
    """
    rows = await tx.all(_ORPHANS, now=tx.now if expired_by is None else expired_by, me=owner)
    attempts, moves = [], []
    for row in rows:
        attempt = Attempt(
            number=row["attempts_begun"],
            cause=Cause(row["cause"]),
            started_at=row["leased_at"],
            duration=0,
            reason=Reason.INTERNAL,
            message=INTERRUPTED,
            exchange=None,
        )
        attempts.append(_attempt_row(row["id"], attempt))
        moves.append(row)
        tx.changed(row["organization_id"])
    if tx.dialect == "postgresql":
        if attempts:
            await tx.run(_APPEND, **_columns(attempts))
    else:
        await tx.run_many(_APPEND, attempts)
    await tx.run_many(_TAKE_BACK, [{"id": row["id"], "number": row["attempts_begun"], "now": tx.now} for row in moves])
    await call_off_lost(tx, [row["id"] for row in rows])
    if rows:
        tx.wake_workers()
    return len(rows)


def _attempt_row(delivery_id: str, attempt: Attempt) -> dict[str, Any]:
    return {
        "delivery_id": delivery_id,
        "number": attempt.number,
        "cause": attempt.cause.value,
        "started_at": attempt.started_at,
        "duration": attempt.duration,
        "reason": attempt.reason.value,
        "message": attempt.message,
        "exchange": None if attempt.exchange is None else msgspec.json.encode(attempt.exchange).decode(),
    }


def _move_row(done: Completion) -> dict[str, Any]:
    return {
        "id": str(done.leased.id),
        "number": done.leased.number,
        "owner": done.leased.owner,
        "status": done.verdict.status.value,
        "step": done.verdict.step,
        "next_attempt_at": done.verdict.next_attempt_at,
        "answered": done.answered,
        "retrying": int(done.verdict.status is DeliveryStatus.PENDING),
        "reason": done.attempt.reason.value,
        "message": done.attempt.message,
        "finished_at": done.finished_at,
    }


def _columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns
