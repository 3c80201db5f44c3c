"""
Decides how much to lease from which queue, so that no channel holds up others. Pure.

A channel whose last attempt succeeded (a healthy one) has at most :data:`MAX_PER_CHANNEL` attempts in flight and is
served first; any other (an unproven one) has one, and all of those together at most :data:`MAX_UNPROVEN`. First
attempts and retries each leave some places to the other kind. Among equals, the longest due goes first.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from loadbell.domain.channels import ChannelKind
from loadbell.domain.ids import MAX_ID, Micros
from loadbell.domain.token_bucket import TokenBucket
from loadbell.store.outbox import Queue

MAX_IN_FLIGHT = 512
MAX_PER_CHANNEL = 4
RESERVED_FOR_FIRST = 128
RESERVED_FOR_RETRIES = 64
MAX_UNPROVEN = MAX_IN_FLIGHT // 2


@dataclass(frozen=True)
class Room:
    """How much a worker can lease: in all, per channel, and what is left for channels that are in use.

    Channels that are ``healthy`` are served first; all others together get at most ``unproven`` places.
    ``rate_limits``: by kind. ``hosts``: of channels, as far as known. ``host_left``: places left by host; a host that
    isn't in it has room.
    """

    total: int
    per_channel: int = 1
    left: Mapping[int, int] = field(default_factory=dict)
    healthy: Collection[int] = ()
    unproven: int = MAX_ID
    rate_limits: Mapping[ChannelKind, TokenBucket] = field(default_factory=dict)
    hosts: Mapping[int, str] = field(default_factory=dict)
    host_left: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The channels to lease from, in this order, and how much of each.

    ``buckets``: the rate limits of those that have one. ``held``: channels with more due than they have room for.
    ``full``: the total room was too small. ``next_due``: the next due time among those that wait for time only, if any.
    """

    places: list[tuple[int, int]]
    buckets: dict[int, TokenBucket]
    held: frozenset[int]
    full: bool
    next_due: Micros | None


def room_beside(  # noqa: PLR0913 - what a worker knows of its channels and hosts
    busy: Counter[int],
    *,
    is_retry: bool,
    of_kind: int,
    healthy: Collection[int],
    rate_limits: Mapping[ChannelKind, TokenBucket],
    hosts: Mapping[int, str],
    host_left: Mapping[str, int],
) -> Room:
    """Returns the room beside the ``busy``, for first attempts or retries; ``of_kind`` of the busy are of that kind."""
    reserved = RESERVED_FOR_FIRST if is_retry else RESERVED_FOR_RETRIES
    unproven = sum(count for key, count in busy.items() if key not in healthy)
    return Room(
        min(MAX_IN_FLIGHT - busy.total(), MAX_IN_FLIGHT - reserved - of_kind),
        left={key: (MAX_PER_CHANNEL if key in healthy else 1) - busy[key] for key in {*busy, *healthy}},
        healthy=healthy,
        unproven=MAX_UNPROVEN - unproven,
        rate_limits=rate_limits,
        hosts=hosts,
        host_left=host_left,
    )


def plan(queues: Sequence[Queue], room: Room, now: Micros) -> Plan:
    """Selects the queues to serve within ``room``: healthy channels first, among equals the longest due."""
    buckets: dict[int, TokenBucket] = {}
    ready: list[tuple[bool, Micros, int, int]] = []
    held: set[int] = set()
    later: list[Micros] = []
    for queue in queues:
        due = queue.due_at
        rate_limit = None if queue.kind is None else room.rate_limits.get(queue.kind)
        if rate_limit is not None:
            buckets[queue.channel_key] = rate_limit
            due = max(due, rate_limit.next_at(queue.bucket_full_at))
        if due > now:
            later.append(due)
            continue
        free = room.left.get(queue.channel_key, room.per_channel)
        if free > 0:
            ready.append((queue.channel_key not in room.healthy, due, queue.channel_key, free))
        else:
            held.add(queue.channel_key)
    places = _within(sorted(ready), room)
    return Plan(places, buckets, frozenset(held), len(places) < len(ready), min(later, default=None))


def _within(ready: Sequence[tuple[bool, Micros, int, int]], room: Room) -> list[tuple[int, int]]:
    """Returns the channels to lease from and how much of each, within the limit of unproven ones."""
    places: list[tuple[int, int]] = []
    unproven = room.unproven
    host_left = dict(room.host_left)
    for is_unproven, _, key, free in ready if room.total > 0 else ():
        count = min(free, unproven) if is_unproven else free
        host = room.hosts.get(key)
        if host in host_left:
            count = min(count, host_left[host])
            host_left[host] -= max(count, 0)
        unproven -= count if is_unproven else 0
        if count > 0:
            places.append((key, count))
    return places


def at_pace(
    places: Sequence[tuple[int, int]], buckets: Mapping[int, TokenBucket], full_at: Mapping[int, Micros], now: Micros
) -> list[tuple[int, int]]:
    """Limits ``places`` to each channel's bucket; none if another worker has locked the bucket."""
    allowed = {key: buckets[key].allowed(instant, now) for key, instant in full_at.items()}
    cut = [(key, min(free, allowed.get(key, 0)) if key in buckets else free) for key, free in places]
    return [(key, free) for key, free in cut if free > 0]
