"""
Channel health: a channel that can't work is paused until a person resumes it, and the others are notified.

The results of attempts are applied in the transaction that records them, so a pause, its audit entry and its event are
stored together or not at all. See ``docs/decisions/0012-pausing.md``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadbell.channels import channel_type
from loadbell.domain.changes import diff_fields
from loadbell.domain.deliveries import Reason, without_quotes
from loadbell.domain.events import Event, EventName, channel_paused_payload
from loadbell.domain.ids import Micros, to_datetime
from loadbell.domain.notices import encode_notice, pause_notice
from loadbell.notify.route import matches_pauses
from loadbell.store import pauses as store
from loadbell.store.audit import append_system_entry
from loadbell.store.channels import Throttle, throttle_channels
from loadbell.store.deliveries import insert_event
from loadbell.store.engine.db import Transaction
from loadbell.store.enqueue import NewDelivery, enqueue
from loadbell.store.outbox import Completion

_SAY_NOTHING = frozenset({Reason.RATE_LIMITED, Reason.BAD_PAYLOAD, Reason.INTERNAL, Reason.EXPIRED})


@dataclass(frozen=True)
class Paused:
    """A channel that was just paused, and the reason for people."""

    channel_id: int
    reason: str


@dataclass
class _Summary:
    """The summary of one channel's attempts in a batch."""

    succeeded: bool = False
    failing_since: Micros | None = None  #: the first failure after the last success
    message: str = ""  #: of the last failure
    refusal: str | None = None  #: why no message can succeed
    limited: bool = False  #: it is rate-limited, or was before


async def apply_results(tx: Transaction, done: Sequence[Completion], *, pause_after: Micros) -> list[Paused]:
    """Updates rate limits and failures of channels by these attempts. Returns the channels that it paused.

    Call it before the attempts are recorded: on PostgreSQL channels are locked first. A channel is paused when no
    message can succeed, or when all attempts failed for ``pause_after``; the organization's other channels are
    notified.
    """
    by_channel = _by_channel(done)
    values = {channel: _summarize(items) for channel, items in by_channel.items()}
    if not values:
        return []
    failing = {channel for channel, one in values.items() if one.failing_since is not None}
    mixed = {channel for channel in failing if values[channel].succeeded}
    standings = await store.lock_concerned(
        tx,
        touched={channel for channel, one in values.items() if one.limited or one.refusal is not None} | mixed,
        well={channel for channel, one in values.items() if one.succeeded} - mixed,
        failing=failing - mixed,
        before=tx.now - pause_after,
    )
    since: dict[int, Micros | None] = {}
    paused: list[tuple[store.ChannelHealth, str]] = []
    for channel in standings:
        one = values[channel.id]
        if channel.health_since:  # it was resumed or got new settings: earlier attempts don't count
            one = _summarize(item for item in by_channel[channel.id] if item.attempt.started_at >= channel.health_since)
        failing_since = one.failing_since
        if not one.succeeded and channel.failing_since is not None:
            failing_since = channel.failing_since
        if failing_since != channel.failing_since:
            since[channel.id] = failing_since
        reason = _reason(one, failing_since, pause_after=pause_after, now=tx.now)
        if reason is not None and await store.pause_channel(tx, channel.id, reason):
            paused.append((channel, reason))
    await store.note_failing(tx, since)
    for channel, reason in paused:
        await _notify(tx, channel, reason)
    await throttle(tx, done)
    return [Paused(channel.id, reason) for channel, reason in paused]


async def throttle(tx: Transaction, done: Sequence[Completion]) -> None:
    """Throttles channels that these attempts found rate-limited, and resets those that no longer are."""
    await throttle_channels(tx, _throttles(done), recovered=_recovered(done))


def _throttles(completions: Sequence[Completion]) -> dict[int, Throttle]:
    """Returns until when each rate-limited channel waits."""
    throttles: dict[int, Throttle] = {}
    for item in completions:
        key, until = item.leased.channel_key, item.verdict.throttle_until
        if until is not None and key > 0 and (key not in throttles or until > throttles[key].until):
            throttles[key] = Throttle(
                until,
                bucket_full_at=0 if item.rate_limit is None else item.rate_limit.drained(until),
                since=item.attempt.started_at,
                reason=item.throttle_reason,
                rate_limits=(item.leased.rate_limits + 1) * _is_limited(item),
            )
    return throttles


def _recovered(completions: Sequence[Completion]) -> set[int]:
    """The channels that were rate-limited before and no longer are."""
    limited = {item.leased.channel_key for item in completions if _is_limited(item)}
    before = {
        item.leased.channel_key for item in completions if item.leased.channel_key > 0 and item.leased.rate_limits
    }
    return before - limited


def _is_limited(item: Completion) -> bool:
    return item.attempt.reason is Reason.RATE_LIMITED


def _by_channel(completions: Iterable[Completion]) -> dict[int, list[Completion]]:
    """Groups attempts by channel, without Test Hooks, which have channel keys of their own."""
    by_channel: dict[int, list[Completion]] = {}
    for item in completions:
        if item.leased.channel_key > 0:
            by_channel.setdefault(item.leased.channel_key, []).append(item)
    return by_channel


def _summarize(items: Iterable[Completion]) -> _Summary:
    """Summarizes the attempts of one channel."""
    one = _Summary()
    for item in items:
        one.limited = one.limited or item.verdict.throttle_until is not None or item.leased.rate_limits > 0
        if item.pauses:
            one.refusal = without_quotes(item.attempt.message)
        if item.attempt.reason is Reason.OK:
            one.succeeded, one.failing_since = True, None
        elif item.attempt.reason not in _SAY_NOTHING:
            one.message = without_quotes(item.attempt.message)
            if one.failing_since is None:
                one.failing_since = item.attempt.started_at
    return one


def _reason(said: _Summary, failing_since: Micros | None, *, pause_after: Micros, now: Micros) -> str | None:
    if said.refusal is not None:
        return f"On {_minute(now)}: {said.refusal} Fix this, then resume the channel."
    if said.failing_since is not None and failing_since is not None and now - failing_since >= pause_after:
        return (
            f"Every attempt since {_minute(failing_since)} has failed. Last result: {said.message} "
            "Fix the receiver or the channel's settings, then resume the channel."
        )
    return None


def _minute(instant: Micros) -> str:
    return to_datetime(instant).strftime("%Y-%m-%d %H:%M UTC")


async def _notify(tx: Transaction, channel: store.ChannelHealth, reason: str) -> None:
    changes = {"name": channel.name, **diff_fields({"paused_reason": None}, {"paused_reason": reason})}
    await append_system_entry(tx, channel.organization_id, "channel.paused", f"channel {channel.id}", changes)
    listeners = [
        other
        for other in await store.list_pause_listeners(tx, channel.organization_id)
        if matches_pauses(other.subscription)
    ]
    if not listeners:
        return
    notice = pause_notice(
        channel_id=channel.id,
        channel=channel.name,
        title=channel_type(channel.kind).title,
        reason=reason,
        now=tx.now,
    )
    event = Event(
        id=tx.new_uuid(),
        organization_id=channel.organization_id,
        name=EventName.CHANNEL_PAUSED,
        occurred_at=tx.now,
        payload=channel_paused_payload(
            organization_id=channel.organization_id, channel_id=channel.id, name=channel.name, reason=reason
        ),
        notice=encode_notice(notice),
    )
    await insert_event(tx, event)
    await enqueue(tx, event, [NewDelivery(tx.new_uuid(), listener.id, listener.kind) for listener in listeners])
    tx.wake_workers()
