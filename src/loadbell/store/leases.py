# long: statements and their use stay side by side; splitting them would part what must change together
"""
The worker's part of the deliveries: find what is due, lease it, record what became of it, take over from the dead.

A lease is the worker's number, a time, and the number of the attempt it is for. The attempt's number is the fence: it
grows with each lease, so that a worker which lost its lease can still record what it did but not move the delivery.

Statements that the worker runs all the time are text, so that both databases can use their partial indexes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import structlog

from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Attempt, Cause, DeliveryStatus, Reason, Verdict
from loadbell.domain.events import EventName
from loadbell.domain.ids import Micros
from loadbell.store.channels import throttle_channels
from loadbell.store.db import Transaction, WrongState
from loadbell.store.postgresql import WORKER_LOCKS
from loadbell.store.statements import Statement

T = TypeVar("T")
log = structlog.get_logger()

INTERRUPTED = (
    "loadbell was stopped while this attempt was under way; whether it reached the receiver is not known. "
    "A repeat carries the same X-LoadImpact-ID."
)

_LANES = Statement(
    """
    WITH RECURSIVE lanes(lane) AS (
        SELECT min(lane) FROM deliveries WHERE status = 'pending' AND waits_for IS NULL AND retrying = :retrying
        UNION ALL
        SELECT (SELECT min(d.lane) FROM deliveries d WHERE d.status = 'pending' AND d.waits_for IS NULL
                AND d.retrying = :retrying AND d.lane > lanes.lane)
        FROM lanes WHERE lanes.lane IS NOT NULL
    )
    SELECT lanes.lane AS lane, coalesce(c.throttled_until, 0) AS throttled_until,
        (SELECT min(d.next_attempt_at) FROM deliveries d WHERE d.status = 'pending' AND d.waits_for IS NULL
         AND d.retrying = :retrying AND d.lane = lanes.lane) AS due
    FROM lanes LEFT JOIN channels c ON c.id = lanes.lane
    WHERE lanes.lane IS NOT NULL
    """
)
_PICK_IN_LANE = Statement(
    "SELECT id FROM deliveries WHERE status = 'pending' AND waits_for IS NULL AND retrying = :retrying "
    "AND lane = :lane AND next_attempt_at <= :now ORDER BY next_attempt_at LIMIT :room"
)
_LEASE_ONE = Statement(
    "UPDATE deliveries SET status = 'sending', lease_owner = :owner, lease_until = :until, leased_at = :now, "
    "attempts_begun = attempts_begun + 1 WHERE id = :id AND status = 'pending'"
)
_LEASE_MANY = Statement(
    """
    WITH picked AS (
        SELECT d.id FROM unnest(CAST(:lanes AS bigint[]), CAST(:rooms AS integer[]))
            WITH ORDINALITY AS l(lane, room, position)
        CROSS JOIN LATERAL (
            SELECT id FROM deliveries
            WHERE status = 'pending' AND waits_for IS NULL AND retrying = :retrying AND lane = l.lane
                AND next_attempt_at <= :now
            ORDER BY next_attempt_at LIMIT l.room FOR UPDATE SKIP LOCKED
        ) d
        ORDER BY l.position LIMIT :limit
    )
    UPDATE deliveries SET status = 'sending', lease_owner = :owner, lease_until = :until, leased_at = :now,
        attempts_begun = attempts_begun + 1
    FROM picked WHERE deliveries.id = picked.id RETURNING deliveries.id
    """
)
_LEASED_COLUMNS = (
    "SELECT d.id, d.organization_id, d.lane, d.kind, d.event, d.cause, d.settled, d.step, d.attempts_begun, "
    "d.form, e.payload, e.occurred_at, c.settings, c.signing_secrets "
    "FROM deliveries d JOIN events e ON e.id = d.event_id LEFT JOIN channels c ON c.id = d.channel_id "
)
_LEASED = Statement(
    _LEASED_COLUMNS + "WHERE d.id IN (SELECT value FROM json_each(:ids))",
    _LEASED_COLUMNS + "WHERE d.id = ANY(CAST(:ids AS text[]))",
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
    "lease_owner = NULL, lease_until = NULL, leased_at = NULL, settled = NULL, form = NULL, "
    "cause = CASE WHEN {u}status = 'pending' THEN 'scheduled' ELSE cause END, "
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
_RELEASE_WAITING = Statement(
    "UPDATE deliveries SET waits_for = NULL WHERE waits_for = :id",
    "UPDATE deliveries SET waits_for = NULL WHERE waits_for = ANY(CAST(:ids AS text[]))",
)
_GIVE_BACK = Statement(
    "UPDATE deliveries SET status = 'pending', attempts_begun = attempts_begun - 1, lease_owner = NULL, "
    "lease_until = NULL, leased_at = NULL WHERE status = 'sending' AND lease_owner = :owner"
)
_CALL_OFF = Statement(
    "UPDATE deliveries SET status = coalesce(settled, 'cancelled'), settled = NULL, "
    "attempts_begun = attempts_begun - 1, lease_owner = NULL, lease_until = NULL, leased_at = NULL, "
    "next_attempt_at = NULL, form = NULL, "
    "message = 'The channel was deleted before this was sent.', finished_at = coalesce(finished_at, :now) "
    "WHERE id = :id AND status = 'sending'"
)
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
    "SELECT id, attempts_begun, cause, settled, step, lease_owner, leased_at FROM deliveries WHERE status = 'sending' "
    "AND (lease_until <= :now OR lease_owner <> :me)",
    f"""
    SELECT id, attempts_begun, cause, settled, step, lease_owner, leased_at FROM deliveries WHERE status = 'sending'
    AND (lease_until <= :now OR lease_owner <> :me AND lease_owner NOT IN (
        SELECT CAST(objid AS bigint) FROM pg_locks WHERE locktype = 'advisory' AND classid = {WORKER_LOCKS} AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )) ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
    """,
)


@dataclass(frozen=True)
class Leased:
    """A delivery that this worker may make one attempt of, with all that the attempt needs."""

    id: UUID
    organization_id: int
    lane: int
    kind: ChannelKind
    event: EventName
    occurred_at: Micros
    payload: bytes
    cause: Cause
    settled: DeliveryStatus | None
    step: int
    number: int
    owner: int
    settings: dict[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Completion:
    """What became of an attempt, and where it takes the delivery."""

    leased: Leased
    attempt: Attempt
    verdict: Verdict
    answered: bool
    finished_at: Micros | None


@dataclass(frozen=True)
class Room:
    """How much a worker can take: in all, in each lane, and what is left of that in lanes that are busy."""

    total: int
    in_lane: int
    left: Mapping[int, int]


@dataclass(frozen=True)
class Look:
    """What a look for due deliveries found.

    ``due``: when the next one waits for nothing but time; None: none does. ``held``: lanes in which more may be due
    than there was room for.
    """

    leased: list[Leased]
    due: Micros | None
    held: frozenset[int]


async def lease_due(  # noqa: PLR0913 - what to look for, and the lease to give
    tx: Transaction, *, retrying: bool, room: Room, owner: int, now: Micros, until: Micros
) -> Look:
    """Leases what is due, oldest lanes first, within ``room``.

    ``retrying`` picks between first attempts and repeated ones. What belongs to a channel that no longer exists is
    cancelled instead.
    """
    ready: list[tuple[Micros, int, int]] = []
    full: set[int] = set()
    soonest: Micros | None = None
    for row in await tx.all(_LANES, retrying=int(retrying)):
        lane, due = row["lane"], max(row["due"], row["throttled_until"])
        if due > now:
            soonest = due if soonest is None else min(soonest, due)
            continue
        free = room.left.get(lane, room.in_lane)
        if free > 0 and room.total > 0:
            ready.append((due, lane, free))
        else:
            full.add(lane)
    if not ready:
        return Look([], soonest, frozenset(full))
    ready.sort()
    ids = await _lease(tx, ready, retrying=retrying, limit=room.total, owner=owner, now=now, until=until)
    leased = await _load(tx, ids, owner=owner, now=now)
    taken = Counter(item.lane for item in leased)
    full.update(lane for _, lane, free in ready if taken[lane] >= free or len(ids) >= room.total)
    return Look(leased, soonest, frozenset(full))


async def _lease(  # noqa: PLR0913 - as above
    tx: Transaction,
    ready: Sequence[tuple[Micros, int, int]],
    *,
    retrying: bool,
    limit: int,
    owner: int,
    now: Micros,
    until: Micros,
) -> list[str]:
    if tx.dialect == "postgresql":
        rows = await tx.all(
            _LEASE_MANY,
            lanes=[lane for _, lane, _ in ready],
            rooms=[free for _, _, free in ready],
            retrying=int(retrying),
            limit=limit,
            owner=owner,
            now=now,
            until=until,
        )
        return [row["id"] for row in rows]
    ids: list[str] = []
    for _, lane, free in ready:
        if len(ids) >= limit:
            break
        picked = await tx.all(
            _PICK_IN_LANE, retrying=int(retrying), lane=lane, now=now, room=min(free, limit - len(ids))
        )
        ids.extend(row["id"] for row in picked)
    await tx.run_many(_LEASE_ONE, [{"id": item, "owner": owner, "now": now, "until": until} for item in ids])
    return ids


async def _load(tx: Transaction, ids: Sequence[str], *, owner: int, now: Micros) -> list[Leased]:
    if not ids:
        return []
    rows = await tx.all(_LEASED, ids=list(ids) if tx.dialect == "postgresql" else msgspec.json.encode(ids).decode())
    leased = []
    for row in rows:
        sealed = row["settings"] if row["form"] is None else row["form"]
        if sealed is None:
            await tx.run(_CALL_OFF, id=row["id"], now=now)
            continue
        leased.append(
            Leased(
                id=UUID(row["id"]),
                organization_id=row["organization_id"],
                lane=row["lane"],
                kind=ChannelKind(row["kind"]),
                event=EventName(row["event"]),
                occurred_at=row["occurred_at"],
                payload=row["payload"].encode(),
                cause=Cause(row["cause"]),
                settled=None if row["settled"] is None else DeliveryStatus(row["settled"]),
                step=row["step"],
                number=row["attempts_begun"],
                owner=owner,
                settings=_open(tx, sealed, dict[str, Any], {}),
                secrets=_open(tx, row["signing_secrets"], tuple[str, ...], ()),
            )
        )
    return leased


def _open(tx: Transaction, sealed: str | None, kind: type[T], nothing: T) -> T:
    """The sealed JSON; ``nothing`` where no key opens it: one lost key must not stop the deliveries of all others."""
    if sealed is None:
        return nothing
    try:
        return msgspec.json.decode(tx.unseal(sealed), type=kind)
    except WrongState as error:
        log.error("A channel's secrets can't be opened", error=str(error))
        return nothing


async def complete_batch(tx: Transaction, completions: Sequence[Completion]) -> int:
    """Appends every attempt to the log and moves every delivery whose lease still stands. Safe to run twice.

    Gives how many other deliveries had waited for these and are free to go now.
    """
    if not completions:
        return 0
    attempts = [_attempt_row(str(done.leased.id), done.attempt) for done in completions]
    moves = [_move_row(done) for done in completions]
    over = [str(done.leased.id) for done in completions if done.answered or done.finished_at is not None]
    if tx.dialect == "postgresql":
        await tx.all(_LOCK_MANY, ids=[move["id"] for move in moves])
        await tx.run(_APPEND, **_columns(attempts))
        await tx.run(_MOVE, **_columns(moves))
        released = await tx.run(_RELEASE_WAITING, ids=over)
    else:
        await tx.run_many(_APPEND, attempts)
        await tx.run_many(_MOVE, moves)
        released = sum([await tx.run(_RELEASE_WAITING, id=item) for item in over])
    throttles: dict[int, Micros] = {}
    for done in completions:
        until = done.verdict.throttle_until
        if until is not None and done.leased.lane > 0:
            throttles[done.leased.lane] = max(until, throttles.get(done.leased.lane, 0))
    await throttle_channels(tx, throttles)
    return released


async def give_back(tx: Transaction, owner: int) -> int:
    """Returns what this worker still holds to pending, with no attempt counted; gives how many."""
    return await tx.run(_GIVE_BACK, owner=owner)


async def reap(tx: Transaction, *, owner: int, now: Micros) -> int:
    """Takes back what dead workers held: due again at once, the attempt noted as interrupted. Gives how many.

    A Test Hook is not repeated: nobody waits for it any more.
    """
    rows = await tx.all(_ORPHANS, now=now, me=owner)
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
    if tx.dialect == "postgresql":
        if attempts:
            await tx.run(_APPEND, **_columns(attempts))
    else:
        await tx.run_many(_APPEND, attempts)
    await tx.run_many(_TAKE_BACK, [{"id": row["id"], "number": row["attempts_begun"], "now": now} for row in moves])
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
