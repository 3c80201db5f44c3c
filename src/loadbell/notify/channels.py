"""Use cases on notification channels. Settings are validated here, before they are stored."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from enum import StrEnum
from functools import partial
from typing import Any

from loadbell.channels import channel_type, channel_types
from loadbell.channels.settings import masked_settings, parse_settings, stored_settings
from loadbell.domain.changes import diff_fields
from loadbell.domain.channels import MAX_OVERLAP, Channel, ChannelKind, SigningSecret, Subscription, rotate_secrets
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound
from loadbell.domain.ids import Micros, rfc3339
from loadbell.domain.orgs import Action, Principal
from loadbell.domain.retry import parse_duration
from loadbell.outbound.addresses import AddressPolicy, check_url
from loadbell.outbound.signing import new_secret
from loadbell.outbound.urls import has_other_host
from loadbell.store import channels as store
from loadbell.store import pauses
from loadbell.store.audit import append_entry
from loadbell.store.cancellation import CHANNEL_DELETED
from loadbell.store.engine.db import Transaction
from loadbell.store.organizations import organization_names, project_ids
from loadbell.store.quotas import require_quota
from loadbell.store.sweeps import MORE_THAN_COUNTED, sweep_channel, sweep_held
from loadbell.store.unit_of_work import UnitOfWork

DEFAULT_OVERLAP = "24h"
"""How long previous signing secrets keep signing, by default."""

_DROPPED = "The channel was resumed and its queued notifications were dropped. Redeliver this if you still need it."
_SETTINGS = "settings."  # prefix of a setting's name in an audit entry


class Held(StrEnum):
    """What to do with a paused channel's queued notifications when it is resumed."""

    DELIVER = "deliver"  #: sent one by one, in the order of the events
    DROP = "drop"  #: cancelled


async def create_channel(  # noqa: PLR0913 - one argument for each property
    unit: UnitOfWork[Principal],
    organization_id: int,
    *,
    kind: str,
    name: str,
    settings: Mapping[str, Any],
    subscription: Subscription,
    enabled: bool,
) -> tuple[Channel, str | None]:
    """Adds a channel. Returns it with its signing secret, only this once, if its kind signs.

    Raises:
        NotFound: the organization isn't the caller's.
        Invalid: the kind is not known, or a setting is wrong.
        Conflict: the organization has reached its quota of channels.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.MANAGE_CHANNELS)
    channel_kind = parse_kind(kind)
    parsed = check_form(channel_kind, settings, policy=unit.installation.policy)
    await _check_subscription(unit.tx, organization_id, subscription)
    await require_quota(unit.tx, organization_id, "channels", unit.installation.quotas.channels)
    secret = new_secret(unit.random) if channel_type(channel_kind).signs else None
    channel = Channel(
        id=0,
        organization_id=organization_id,
        kind=channel_kind,
        name=name,
        settings=parsed,
        subscription=subscription,
        enabled=enabled,
        paused_reason=None,
        created_at=unit.now,
    )
    channel_id = await store.insert_channel(
        unit.tx,
        organization_id=organization_id,
        kind=channel_kind,
        name=name,
        settings=parsed,
        signing_secrets=() if secret is None else (secret,),
        subscription=subscription,
        enabled=enabled,
    )
    made = replace(channel, id=channel_id)
    changes = {"kind": channel_kind, **_audit_values(made), "settings": masked_settings(channel_kind, parsed)}
    await append_entry(unit.tx, unit.principal, "channel.created", f"channel {channel_id}", changes)
    return made, secret


async def get_channel(unit: UnitOfWork[Principal], channel_id: int) -> Channel:
    """The channel.

    Raises:
        NotFound: it isn't in the caller's organization.
    """
    unit.principal.require(Action.READ_CHANNELS)
    channel = await store.get_channel(unit.tx, unit.principal.organization_id, channel_id)
    if channel is None:
        raise _no_channel(channel_id)
    return channel


async def list_channels(
    unit: UnitOfWork[Principal], organization_id: int, *, before: int | None, limit: int
) -> list[Channel]:
    """Returns up to ``limit`` channels older than ``before``, newest first.

    Raises:
        NotFound: the organization isn't the caller's.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.READ_CHANNELS)
    return await store.list_channels(unit.tx, organization_id, before=before, limit=limit)


async def list_first_channels(unit: UnitOfWork[Principal], organization_id: int) -> dict[ChannelKind, Channel]:
    """Returns the oldest channel of each kind.

    Raises:
        NotFound: the organization isn't the caller's.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.READ_CHANNELS)
    return await store.first_channels(unit.tx, organization_id)


async def list_channel_names(
    unit: UnitOfWork[Principal], channel_ids: Iterable[int | None]
) -> dict[int, store.ChannelName]:
    """Returns the names of the organization's channels among these ids; None is skipped."""
    unit.principal.require(Action.READ_CHANNELS)
    ids = {one for one in channel_ids if one is not None}
    return {one.id: one for one in await store.list_names(unit.tx, unit.principal.organization_id, ids)} if ids else {}


async def update_channel(  # noqa: PLR0913 - one argument for each property
    unit: UnitOfWork[Principal],
    channel_id: int,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    subscription: Subscription | None = None,
    enabled: bool | None = None,
) -> tuple[Channel, str | None]:
    """Changes the given properties; absent ones, and absent fields of ``settings``, stay as they are.

    No secret follows the URL to another scheme, host or port: its settings must be entered again, and a kind that signs
    gets a new signing secret, returned only this once; the old ones expire.

    Raises:
        NotFound: it isn't in the caller's organization.
        Invalid: a setting is wrong, a masked value was sent back, or a secret would follow the URL elsewhere.
    """
    channel = former = await lock_channel(unit, channel_id)
    if settings is not None:
        parsed = check_form(channel.kind, settings, policy=unit.installation.policy, current=channel.settings)
        channel = replace(channel, settings=parsed)
    if subscription is not None:
        await _check_subscription(
            unit.tx, unit.principal.organization_id, subscription, kept=channel.subscription.projects
        )
        channel = replace(channel, subscription=subscription)
    channel = replace(
        channel,
        name=channel.name if name is None else name,
        enabled=channel.enabled if enabled is None else enabled,
    )
    await store.update_channel(unit.tx, channel)
    changes = _changes(former, channel)
    if any(name.startswith(_SETTINGS) for name in changes):
        await store.reset_health(unit.tx, channel_id)  # the old settings' results say nothing about these
        channel = replace(channel, last_wait=None)
        unit.tx.wake_workers()
    if changes:
        values = {**audit_name(channel), **changes}
        await append_entry(unit.tx, unit.principal, "channel.changed", f"channel {channel_id}", values)
    secret = None
    if channel_type(channel.kind).signs and has_other_host(channel.settings["url"], former.settings["url"]):
        secret = new_secret(unit.random)
        await store.save_signing_secrets(unit.tx, channel_id, (SigningSecret(secret),))
        ends = {**audit_name(channel), "previous_expires_at": rfc3339(unit.now)}
        await append_entry(unit.tx, unit.principal, "channel.secret_rotated", f"channel {channel_id}", ends)
    return channel, secret


async def rotate_secret(unit: UnitOfWork[Principal], channel_id: int, overlap: str) -> tuple[str, Micros]:
    """Creates a signing secret. Returns it, only this once, and when the previous ones expire.

    ``overlap`` is a duration from ``0s`` to ``7d``.

    Raises:
        NotFound: the channel isn't in the caller's organization.
        Invalid: ``overlap`` isn't such a duration.
        Conflict: channels of this kind don't sign, or too many secrets would be live.
    """
    channel = await lock_channel(unit, channel_id)
    kind = channel_type(channel.kind)
    if not kind.signs:
        raise Conflict(f"{kind.title} channels have no signing secret to rotate.")
    until = unit.now + _overlap(overlap)
    fresh = new_secret(unit.random)
    kept = rotate_secrets(await store.signing_secrets(unit.tx, channel_id), fresh, until=until, now=unit.now)
    await store.save_signing_secrets(unit.tx, channel_id, kept)
    changes = {"previous_expires_at": rfc3339(until)}
    await append_entry(unit.tx, unit.principal, "channel.secret_rotated", f"channel {channel_id}", changes)
    return fresh, until


async def pause(unit: UnitOfWork[Principal], channel_id: int) -> Channel:
    """Pauses the channel: only Test Hooks are sent, and notifications are queued. No effect on a paused channel.

    Raises:
        NotFound: it isn't in the caller's organization.
    """
    await lock_channel(unit, channel_id)
    _, text = await organization_names(unit.tx, unit.principal.organization_id, unit.principal.user_id)
    reason = f"Paused by {text or 'a user'}."
    if await pauses.pause_channel(unit.tx, channel_id, reason):
        changes = diff_fields({"paused_reason": None}, {"paused_reason": reason})
        await append_entry(unit.tx, unit.principal, "channel.paused", f"channel {channel_id}", changes)
    return await get_channel(unit, channel_id)


async def resume(unit: UnitOfWork[Principal], channel_id: int, held: Held) -> Channel:
    """Resumes the channel, and delivers or drops its queue. No effect unless the channel is paused.

    A channel with a very long queue sends again after a sweep has processed all of it.

    Raises:
        NotFound: it isn't in the caller's organization.
    """
    channel = await lock_channel(unit, channel_id)
    if channel.paused_reason is None:
        return channel
    rate_limit = channel_type(channel.kind).rate_limit
    await pauses.resume_channel(
        unit.tx, channel_id, bucket_full_at=0 if rate_limit is None else rate_limit.drained(unit.now)
    )
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


async def delete_channel(unit: UnitOfWork[Principal], channel_id: int) -> None:
    """Deletes the channel and its secrets. Pending deliveries are cancelled; the log stays.

    Raises:
        NotFound: it isn't in the caller's organization.
    """
    channel = await lock_channel(unit, channel_id)
    await store.delete_channel(unit.tx, channel_id)
    cancelled, were_all = await sweep_channel(unit.tx, unit.principal.organization_id, channel_id, CHANNEL_DELETED)
    changes = {
        "kind": channel.kind,
        "name": channel.name,
        "cancelled_deliveries": cancelled if were_all else MORE_THAN_COUNTED,
    }
    await append_entry(unit.tx, unit.principal, "channel.deleted", f"channel {channel_id}", changes)


async def lock_channel(unit: UnitOfWork[Principal], channel_id: int) -> Channel:
    """Locks a channel that the caller may change until this transaction ends, and returns it.

    Raises:
        NotFound: it isn't in the caller's organization.
    """
    unit.principal.require(Action.READ_CHANNELS)
    channel = await store.lock_channel(unit.tx, unit.principal.organization_id, channel_id)
    if channel is None:
        raise _no_channel(channel_id)
    unit.principal.require(Action.MANAGE_CHANNELS)
    return channel


def parse_kind(kind: str) -> ChannelKind:
    """Returns the kind of that name.

    Raises:
        Invalid: this installation doesn't implement it; the message names the kinds that it does.
    """
    if kind not in channel_types():
        raise Invalid(FieldError("kind", f"unknown kind; choose one of: {', '.join(channel_types())}"))
    return ChannelKind(kind)


def check_form(
    kind: ChannelKind,
    settings: Mapping[str, Any],
    *,
    policy: AddressPolicy,
    current: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns a form's settings ready to be stored; absent fields are taken from ``current``.

    Raises:
        Invalid: a field is wrong.
    """
    parsed: Any = parse_settings(kind, settings, check_url=partial(check_url, policy=policy), current=current)
    return asdict(parsed)


async def _check_subscription(
    tx: Transaction, organization_id: int, subscription: Subscription, *, kept: tuple[int, ...] = ()
) -> None:
    """``kept``: projects it names already, also deleted ones, since an empty list would mean all projects."""
    unknown = set(subscription.projects) - set(kept) - set(await project_ids(tx, organization_id))
    if unknown:
        text = ", ".join(str(project) for project in sorted(unknown))
        raise Invalid(FieldError("subscription.projects", f"the organization has no project {text}"))


def audit_name(channel: Channel) -> dict[str, Any]:
    """The channel in an audit entry: its name, and its URL without path and query."""
    return {"name": channel.name, **audit_url(channel.kind, channel.settings)}


def audit_url(kind: ChannelKind, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The URL of these settings in an audit entry, without path and query."""
    return {_SETTINGS + "url": masked_settings(kind, settings).get("url")}


def _audit_values(channel: Channel) -> dict[str, Any]:
    return {"name": channel.name, "subscription": asdict(channel.subscription), "enabled": channel.enabled}


def _overlap(text: str) -> Micros:
    try:
        span = parse_duration(text)
    except ValueError as error:
        raise Invalid(FieldError("overlap", str(error))) from None
    if span > MAX_OVERLAP:
        raise Invalid(FieldError("overlap", "must be at most 7d"))
    return span


def _changes(former: Channel, channel: Channel) -> dict[str, dict[str, Any]]:
    """The changes for the audit log: each setting separately, masked."""
    settings = diff_fields(
        asdict(stored_settings(former.kind, former.settings)),  # with the fields that older settings lack
        channel.settings,
        shown=lambda clear: masked_settings(channel.kind, clear),
    )
    values = {_SETTINGS + name: change for name, change in settings.items()}
    return {**diff_fields(_audit_values(former), _audit_values(channel)), **values}


def _no_channel(channel_id: int) -> NotFound:
    return NotFound(f"There is no channel {channel_id}.")
