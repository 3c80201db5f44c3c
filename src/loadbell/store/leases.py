"""
The worker's part of the deliveries: find what is due and lease it; ``completions.py`` records what became of it.

A lease is the worker's number, a time, and the number of the attempt it is for. The attempt's number is the fence: it
grows with each lease, so that a worker which lost its lease can still record what it did but not move the delivery.

Statements that the worker runs all the time are text, so that both databases can use their partial indexes.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import structlog

from loadbell.domain.channels import ChannelKind, SigningSecret, live_secrets
from loadbell.domain.deliveries import Cause, DeliveryStatus
from loadbell.domain.events import EventName
from loadbell.domain.ids import MAX_ID, SECOND, Micros
from loadbell.domain.pace import Pace
from loadbell.store.calling_off import LOST, call_off_lost
from loadbell.store.channels import read_secrets
from loadbell.store.db import Row, Transaction, WrongState
from loadbell.store.statements import Statement

T = TypeVar("T")
_CROWDED: Micros = SECOND // 50  # until the next look at a bucket that another worker held
log = structlog.get_logger()

_LANES = Statement(
    """
    WITH RECURSIVE lanes(lane) AS (
        SELECT min(lane) FROM deliveries WHERE status = 'pending' AND waits_for IS NULL AND retrying = :retrying
        UNION ALL
        SELECT (SELECT min(d.lane) FROM deliveries d WHERE d.status = 'pending' AND d.waits_for IS NULL
                AND d.retrying = :retrying AND d.lane > lanes.lane)
        FROM lanes WHERE lanes.lane IS NOT NULL
    )
    SELECT lanes.lane AS lane, coalesce(c.throttled_until, 0) AS throttled_until, c.kind AS kind, c.full_at AS full_at,
        (SELECT min(d.next_attempt_at) FROM deliveries d WHERE d.status = 'pending' AND d.waits_for IS NULL
         AND d.retrying = :retrying AND d.lane = lanes.lane) AS due
    FROM lanes LEFT JOIN channels c ON c.id = lanes.lane
    WHERE lanes.lane IS NOT NULL AND c.paused_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM sweeps s WHERE s.channel_id = lanes.lane)
    """
)
_LOCK_BUCKETS = Statement(
    # Another worker that takes from the same bucket just now is left to it. NO KEY: reports are not kept waiting.
    "SELECT id, full_at FROM channels WHERE id IN (SELECT value FROM json_each(:ids))",
    "SELECT id, full_at FROM channels WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
)
_TAKE = Statement("UPDATE channels SET full_at = :full_at WHERE id = :id")
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
    "SELECT d.id, d.organization_id, d.lane, d.kind, d.event, d.cause, d.settled, d.step, d.resume_at, "
    "d.attempts_begun, d.form, d.replay_id, e.payload, e.notice, e.occurred_at, c.settings, c.signing_secrets, "
    "c.rate_limits, "
    f"{LOST} AS lost FROM deliveries d JOIN events e ON e.id = d.event_id LEFT JOIN channels c ON c.id = d.channel_id "
)
_LEASED = Statement(
    _LEASED_COLUMNS + "WHERE d.id IN (SELECT value FROM json_each(:ids))",
    _LEASED_COLUMNS + "WHERE d.id = ANY(CAST(:ids AS text[]))",
)

_GIVE_BACK = Statement(
    "UPDATE deliveries SET status = 'pending', attempts_begun = attempts_begun - 1, lease_owner = NULL, "
    "lease_until = NULL, leased_at = NULL WHERE status = 'sending' AND lease_owner = :owner RETURNING id"
)
_GIVE_ONE_BACK = Statement(
    "UPDATE deliveries SET status = 'pending', attempts_begun = attempts_begun - 1, lease_owner = NULL, "
    "lease_until = NULL, leased_at = NULL WHERE id = :id AND status = 'sending'"
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
    notice: str | None  #: as it is stored; None in events from before there were notices
    cause: Cause
    settled: DeliveryStatus | None
    step: int
    resume_at: Micros | None
    number: int
    owner: int
    replayed: bool
    rate_limits: int  #: that the channel had in a row before
    settings: dict[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)  #: those that are live, newest first


@dataclass(frozen=True)
class Room:
    """How much a worker can take: in all, in each lane, and what is left of that in the lanes that are named.

    Lanes that are ``known`` to answer are served first; all others together get at most ``unknown`` places. ``paces``:
    how fast the channels of a kind may be told. ``hosts``: where lanes lead, as far as it is known;
    ``host_left``: what is left for those; a host that is not in it has room.
    """

    total: int
    in_lane: int
    left: Mapping[int, int]
    known: Collection[int] = ()
    unknown: int = MAX_ID
    paces: Mapping[str, Pace] = field(default_factory=dict)
    hosts: Mapping[int, str] = field(default_factory=dict)
    host_left: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """What a look for due deliveries found.

    ``due``: when the next one waits for nothing but time; None: none does. ``held``: lanes in which more may be due
    than there was room for in them. ``full``: something was left for want of room in all.
    """

    leased: list[Leased]
    due: Micros | None
    held: frozenset[int]
    full: bool


async def lease_due(tx: Transaction, *, retrying: bool, room: Room, owner: int, until: Micros) -> Look:
    """Leases what is due, lanes that answer first and the oldest of them first, within ``room``.

    ``retrying`` picks between first attempts and repeated ones. What has lost its channel, project or organization is
    cancelled instead; what belongs to a paused channel, or to one that is being swept, stays.
    """
    buckets: dict[int, Pace] = {}
    ready: list[tuple[bool, Micros, int, int]] = []
    held: set[int] = set()
    soonest: Micros | None = None
    for row in await tx.all(_LANES, retrying=int(retrying)):
        lane, due = row["lane"], max(row["due"], row["throttled_until"])
        pace = room.paces.get(row["kind"])
        if pace is not None:
            buckets[lane] = pace
            due = max(due, pace.next_at(row["full_at"]))
        if due > tx.now:
            soonest = _first([soonest, due])
            continue
        free = room.left.get(lane, room.in_lane)
        if free > 0:
            ready.append((lane not in room.known, due, lane, free))
        else:
            held.add(lane)
    within = _within(sorted(ready), room)
    paced = [lane for lane, _ in within if lane in buckets]
    full_at = await _lock_buckets(tx, paced)
    lanes = _at_pace(within, buckets, full_at, tx.now)
    again = [buckets[lane].next_at(full_at[lane]) if lane in full_at else tx.now + _CROWDED for lane in paced]
    soonest = _first([soonest, *(instant for instant in again if instant > tx.now)])
    if not lanes:
        return Look([], soonest, frozenset(held), full=len(within) < len(ready))
    ids = await _lease(tx, lanes, retrying=retrying, limit=room.total, owner=owner, until=until)
    leased = await _load(tx, ids, owner=owner)
    taken = Counter(item.lane for item in leased)
    held.update(lane for lane, free in within if taken[lane] >= free)
    drawn = {lane: buckets[lane].after(full_at[lane], tx.now, taken[lane]) for lane in full_at if taken[lane]}
    await tx.run_many(_TAKE, [{"id": lane, "full_at": instant} for lane, instant in drawn.items()])
    nexts = [buckets[lane].next_at(instant) for lane, instant in drawn.items()]
    soonest = _first([soonest, *(instant for instant in nexts if instant > tx.now)])
    return Look(leased, soonest, frozenset(held), full=len(within) < len(ready) or len(ids) >= room.total)


def _first(instants: Iterable[Micros | None]) -> Micros | None:
    return min((instant for instant in instants if instant is not None), default=None)


async def _lock_buckets(tx: Transaction, lanes: Sequence[int]) -> dict[int, Micros]:
    """When the bucket of each of these channels is full, but for those that another worker takes from just now."""
    if not lanes:
        return {}
    ids = list(lanes) if tx.dialect == "postgresql" else msgspec.json.encode(lanes).decode()
    return {row["id"]: row["full_at"] for row in await tx.all(_LOCK_BUCKETS, ids=ids)}


def _at_pace(
    lanes: Sequence[tuple[int, int]], buckets: Mapping[int, Pace], full_at: Mapping[int, Micros], now: Micros
) -> list[tuple[int, int]]:
    """``lanes`` with no more from each than its bucket holds."""
    allowed = {lane: buckets[lane].allowed(instant, now) for lane, instant in full_at.items()}
    cut = [(lane, min(free, allowed.get(lane, 0)) if lane in buckets else free) for lane, free in lanes]
    return [(lane, free) for lane, free in cut if free > 0]


def _within(ready: Sequence[tuple[bool, Micros, int, int]], room: Room) -> list[tuple[int, int]]:
    """The lanes to lease from and how much from each: of those not known to answer only as much as they get."""
    lanes: list[tuple[int, int]] = []
    unknown = room.unknown
    host_left = dict(room.host_left)
    for is_unknown, _, lane, free in ready if room.total > 0 else ():
        places = min(free, unknown) if is_unknown else free
        host = room.hosts.get(lane)
        if host in host_left:
            places = min(places, host_left[host])
            host_left[host] -= max(places, 0)
        unknown -= places if is_unknown else 0
        if places > 0:
            lanes.append((lane, places))
    return lanes


async def _lease(  # noqa: PLR0913 - as above
    tx: Transaction, ready: Sequence[tuple[int, int]], *, retrying: bool, limit: int, owner: int, until: Micros
) -> list[str]:
    if tx.dialect == "postgresql":
        rows = await tx.all(
            _LEASE_MANY,
            lanes=[lane for lane, _ in ready],
            rooms=[free for _, free in ready],
            retrying=int(retrying),
            limit=limit,
            owner=owner,
            now=tx.now,
            until=until,
        )
        return [row["id"] for row in rows]
    ids: list[str] = []
    for lane, free in ready:
        if len(ids) >= limit:
            break
        picked = await tx.all(
            _PICK_IN_LANE, retrying=int(retrying), lane=lane, now=tx.now, room=min(free, limit - len(ids))
        )
        ids.extend(row["id"] for row in picked)
    await tx.run_many(_LEASE_ONE, [{"id": item, "owner": owner, "now": tx.now, "until": until} for item in ids])
    return ids


async def _load(tx: Transaction, ids: Sequence[str], *, owner: int) -> list[Leased]:
    if not ids:
        return []
    rows = await tx.all(_LEASED, ids=list(ids) if tx.dialect == "postgresql" else msgspec.json.encode(ids).decode())
    lost = [row["id"] for row in rows if row["lost"] is not None]
    await tx.run_many(_GIVE_ONE_BACK, [{"id": item} for item in lost])
    if await call_off_lost(tx, lost):
        tx.wake_workers()
    leased = []
    for row in rows:
        if row["lost"] is not None:
            continue
        sealed = row["settings"] if row["form"] is None else row["form"]
        try:
            leased.append(_leased(tx, row, sealed, owner=owner))
        except ValueError:
            # A row that this version can't read must not stop the deliveries of all others; its lease runs out.
            log.exception("A delivery can't be read", delivery=row["id"])
    return leased


def _leased(tx: Transaction, row: Row, sealed: str, *, owner: int) -> Leased:
    signing: tuple[SigningSecret, ...] = _open(tx, row["signing_secrets"], read_secrets, ())
    return Leased(
        id=UUID(row["id"]),
        organization_id=row["organization_id"],
        lane=row["lane"],
        kind=ChannelKind(row["kind"]),
        event=EventName(row["event"]),
        occurred_at=row["occurred_at"],
        payload=row["payload"].encode(),
        notice=row["notice"],
        cause=Cause(row["cause"]),
        settled=None if row["settled"] is None else DeliveryStatus(row["settled"]),
        step=row["step"],
        resume_at=row["resume_at"],
        number=row["attempts_begun"],
        owner=owner,
        replayed=row["replay_id"] is not None,
        rate_limits=row["rate_limits"] or 0,
        settings=_open(tx, sealed, _read_settings, {}),
        secrets=tuple(one.secret for one in live_secrets(signing, tx.now)),
    )


def _read_settings(text: str) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any])


def _open(tx: Transaction, sealed: str | None, read: Callable[[str], T], nothing: T) -> T:
    """The sealed JSON; ``nothing`` where no key opens it: one lost key must not stop the deliveries of all others."""
    if sealed is None:
        return nothing
    try:
        return read(tx.unseal(sealed))
    except WrongState as error:
        log.error("A channel's secrets can't be opened", error=str(error))
        return nothing


async def return_leases(tx: Transaction, delivery_ids: Collection[str]) -> None:
    """Returns deliveries that this worker holds to pending, with no attempt counted; as :func:`give_back`."""
    await tx.run_many(_GIVE_ONE_BACK, [{"id": one} for one in sorted(delivery_ids)])
    await call_off_lost(tx, delivery_ids)


async def give_back(tx: Transaction, owner: int) -> int:
    """Returns what this worker still holds to pending, with no attempt counted; gives how many.

    What has lost its channel, project or organization meanwhile is cancelled.
    """
    returned = [row["id"] for row in await tx.all(_GIVE_BACK, owner=owner)]
    await call_off_lost(tx, returned)
    return len(returned)
