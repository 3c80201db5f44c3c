"""Leases due deliveries, by the queues, the worker's room and the rate limits."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from loadbell.domain.ids import SECOND, Micros
from loadbell.notify.worker.capacity import Room, at_pace, plan
from loadbell.store.channels import draw_from_buckets, lock_buckets
from loadbell.store.engine.db import Transaction
from loadbell.store.outbox import Leased, lease, list_queues

_CROWDED: Micros = SECOND // 50  # until the next try for a bucket that another worker had locked


@dataclass(frozen=True)
class LeaseResult:
    """The leased deliveries, and when to try again.

    ``next_due``: the next due time among those that wait for time only, if any. ``held``: channels that may have more
    due than they have room for. ``full``: the total room was too small.
    """

    leased: list[Leased]
    next_due: Micros | None
    held: frozenset[int]
    full: bool


async def lease_due(tx: Transaction, *, is_retry: bool, room: Room, owner: int, until: Micros) -> LeaseResult:
    """Leases due deliveries within ``room``, healthy channels first, then the longest due.

    ``is_retry`` selects retries or first attempts. Deliveries whose channel, project or organization is gone are
    cancelled instead; those of a channel that is paused or being swept stay.
    """
    chosen = plan(await list_queues(tx, is_retry=is_retry), room, tx.now)
    buckets = chosen.buckets
    paced = [key for key, _ in chosen.places if key in buckets]
    full_at = await lock_buckets(tx, paced)
    again = [buckets[key].next_at(full_at[key]) if key in full_at else tx.now + _CROWDED for key in paced]
    places = at_pace(chosen.places, buckets, full_at, tx.now)
    if not places:
        return LeaseResult([], _soonest(tx, [chosen.next_due, *again]), chosen.held, chosen.full)
    leased, count = await lease(tx, places, is_retry=is_retry, limit=room.total, owner=owner, until=until)
    taken = Counter(item.channel_key for item in leased)
    values = {key: buckets[key].after(full_at[key], tx.now, taken[key]) for key in full_at if taken[key]}
    await draw_from_buckets(tx, values)
    again += [buckets[key].next_at(instant) for key, instant in values.items()]
    held = chosen.held.union(key for key, free in places if taken[key] >= free)
    return LeaseResult(leased, _soonest(tx, [chosen.next_due, *again]), held, chosen.full or count >= room.total)


def _soonest(tx: Transaction, instants: Iterable[Micros | None]) -> Micros | None:
    return min((instant for instant in instants if instant is not None and instant > tx.now), default=None)
