"""Pausing and resuming a channel by hand. See ``docs/decisions/0012-pausing.md``."""

from enum import StrEnum

from loadbell.channels import channel_type
from loadbell.domain.changes import diff_fields
from loadbell.domain.channels import Channel
from loadbell.domain.orgs import Principal
from loadbell.notify.channels import get_channel, lock_channel
from loadbell.store import pauses as store
from loadbell.store.audit import append_entry
from loadbell.store.organizations import organization_names
from loadbell.store.sweeps import MORE_THAN_COUNTED, sweep_held
from loadbell.store.unit_of_work import UnitOfWork

_DROPPED = "The channel was resumed without what it had held. Redeliver this if it is still of use."


class Held(StrEnum):
    """What becomes of all that a paused channel has collected, when it is resumed."""

    DELIVER = "deliver"  #: sent, one after the other in the order of the events
    DROP = "drop"  #: cancelled


async def pause(unit: UnitOfWork[Principal], channel_id: int) -> Channel:
    """Lets the channel send nothing but Test Hooks; it goes on collecting. A paused one stays as it is.

    Raises:
        NotFound: it is not of the asker's organization.
    """
    await lock_channel(unit, channel_id)
    _, text = await organization_names(unit.tx, unit.principal.organization_id, unit.principal.user_id)
    reason = f"Paused by {text or 'hand'}."
    if await store.pause_channel(unit.tx, channel_id, reason):
        changes = diff_fields({"paused_reason": None}, {"paused_reason": reason})
        await append_entry(unit.tx, unit.principal, "channel.paused", f"channel {channel_id}", changes)
    return await get_channel(unit, channel_id)


async def resume(unit: UnitOfWork[Principal], channel_id: int, held: Held) -> Channel:
    """Lets the channel send again, and delivers or drops what it has held. One that is not paused stays as it is.

    When it holds very many, it sends again once a sweep has been through all of them.

    Raises:
        NotFound: it is not of the asker's organization.
    """
    channel = await lock_channel(unit, channel_id)
    if channel.paused_reason is None:
        return channel
    pace = channel_type(channel.kind).pace
    await store.resume_channel(unit.tx, channel_id, bucket_full_at=0 if pace is None else pace.drained(unit.now))
    drop = _DROPPED if held is Held.DROP else None
    count, were_all = await sweep_held(unit.tx, unit.principal.organization_id, channel_id, drop=drop)
    unit.tx.wake_workers()
    changes = {
        **diff_fields({"paused_reason": channel.paused_reason}, {"paused_reason": None}),
        "held": held,
        "deliveries": count if were_all else MORE_THAN_COUNTED,
    }
    await append_entry(unit.tx, unit.principal, "channel.resumed", f"channel {channel_id}", changes)
    return await get_channel(unit, channel_id)
