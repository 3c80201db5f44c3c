"""Channels; their settings and signing secrets are encrypted at rest."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from loadbell.domain.channels import Channel, ChannelKind, SigningSecret, Subscription, Waiting
from loadbell.domain.ids import MAX_ID, Micros
from loadbell.store.engine.db import Row, Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, insert_into
from loadbell.store.schema import channels

_INSERT = Statement(
    insert_into(
        channels,
        "organization_id",
        "kind",
        "name",
        "settings",
        "signing_secrets",
        "subscription",
        "enabled",
        "created_at",
        throttled_until=0,
    ).returning(channels.c.id)
)
_GET = Statement(
    sa.select(channels).where(
        channels.c.id == sa.bindparam("id"), channels.c.organization_id == sa.bindparam("organization_id")
    )
)
_LOCK = Statement(
    sa.select(channels)
    .where(channels.c.id == sa.bindparam("id"), channels.c.organization_id == sa.bindparam("organization_id"))
    .with_for_update()
)
_UPDATE = Statement(
    sa.update(channels)
    .where(channels.c.id == sa.bindparam("channel_id"))
    .values({column: sa.bindparam(column) for column in ("name", "settings", "subscription", "enabled")})
)
_GET_SECRETS = Statement(sa.select(channels.c.signing_secrets).where(channels.c.id == sa.bindparam("id")))
_KEEP_SECRETS = Statement(
    sa.update(channels)
    .where(channels.c.id == sa.bindparam("channel_id"))
    .values(signing_secrets=sa.bindparam("signing_secrets"))
)
_DELETE = Statement(sa.delete(channels).where(channels.c.id == sa.bindparam("id")))
_PAGE = Statement(
    sa.select(channels)
    .where(channels.c.organization_id == sa.bindparam("organization_id"), channels.c.id < sa.bindparam("before"))
    .order_by(channels.c.id.desc())
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_NAMES_OF = Statement(
    "SELECT id, name, paused_at IS NOT NULL AS paused FROM channels "
    "WHERE +organization_id = :organization_id AND id IN LIST(:ids, bigint)"
)
_LOCK_BUCKETS = Statement(
    # Skips buckets that another worker has locked. NO KEY: run reports don't wait for this lock.
    "SELECT id, bucket_full_at FROM channels WHERE id IN LIST(:ids, bigint) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
)
_DRAW = Statement("UPDATE channels SET bucket_full_at = :bucket_full_at WHERE id = :id")
_FIRST_OF_KINDS = Statement(
    "SELECT * FROM channels WHERE id IN "
    "(SELECT min(id) FROM channels WHERE organization_id = :organization_id GROUP BY kind)"
)
_PAUSED = Statement(
    "SELECT id, name, kind, paused_at, paused_reason FROM channels "
    "WHERE organization_id = :organization_id AND paused_at IS NOT NULL ORDER BY paused_at DESC, id DESC LIMIT :limit"
)
_LISTENING = Statement(
    # FOR KEY SHARE: a channel can't be deleted between this look and the commit of the deliveries made from it.
    sa.select(channels.c.id, channels.c.kind, channels.c.subscription)
    .where(channels.c.organization_id == sa.bindparam("organization_id"), channels.c.enabled.is_(True))
    .order_by(channels.c.id)
    .with_for_update(read=True, key_share=True)
)
_RESET_HEALTH = Statement(
    "UPDATE channels SET failing_since = NULL, throttled_until = 0, rate_limits = 0, health_since = :now WHERE id = :id"
)
_THROTTLE = Statement(
    # The same results may arrive twice, so nothing is added up.
    "UPDATE channels SET "
    "throttled_since = CASE WHEN rate_limits > 0 AND throttled_since IS NOT NULL THEN throttled_since "
    "ELSE CAST(:since AS bigint) END, "
    "throttled_reason = CASE WHEN throttled_until < :until OR throttled_reason IS NULL THEN CAST(:reason AS text) "
    "ELSE throttled_reason END, "
    "throttled_until = CASE WHEN throttled_until < :until THEN CAST(:until AS bigint) ELSE throttled_until END, "
    "rate_limits = CASE WHEN rate_limits < :rate_limits THEN CAST(:rate_limits AS integer) ELSE rate_limits END, "
    "bucket_full_at = CASE WHEN bucket_full_at < :bucket_full_at "
    "THEN CAST(:bucket_full_at AS bigint) ELSE bucket_full_at END WHERE id = :id"
)
_FORGET_RATE_LIMITS = Statement("UPDATE channels SET rate_limits = 0 WHERE id = :id AND rate_limits > 0")
_WAITING = Statement(
    "SELECT id, name, throttled_since, throttled_until, throttled_reason FROM channels "
    "WHERE organization_id = :organization_id AND paused_at IS NULL AND throttled_until > :now "
    "AND throttled_since <= :before AND throttled_reason IS NOT NULL "
    "ORDER BY throttled_since DESC, id DESC LIMIT :limit"
)


@dataclass(frozen=True)
class Listener:
    """An enabled channel as routing sees it."""

    id: int
    kind: ChannelKind
    subscription: Subscription


async def insert_channel(  # noqa: PLR0913 - one argument for each column
    tx: Transaction,
    *,
    organization_id: int,
    kind: ChannelKind,
    name: str,
    settings: dict[str, Any],
    signing_secrets: tuple[str, ...],
    subscription: Subscription,
    enabled: bool,
) -> int:
    """Adds a channel and returns its id."""
    row = await tx.first(
        _INSERT,
        organization_id=organization_id,
        kind=kind,
        name=name,
        settings=_seal_settings(tx, settings),
        signing_secrets=tx.seal(_write_secrets([SigningSecret(secret) for secret in signing_secrets])),
        subscription=msgspec.json.encode(subscription).decode(),
        enabled=enabled,
        created_at=tx.now,
    )
    assert row is not None
    return int(row["id"])


async def get_channel(tx: Transaction, organization_id: int, channel_id: int) -> Channel | None:
    """Returns the channel, if it is the organization's."""
    row = await tx.first(_GET, id=channel_id, organization_id=organization_id)
    return None if row is None else _channel(tx, row)


async def lock_channel(tx: Transaction, organization_id: int, channel_id: int) -> Channel | None:
    """Like :func:`get_channel`, and locks the channel until this transaction ends."""
    row = await tx.first(_LOCK, id=channel_id, organization_id=organization_id)
    return None if row is None else _channel(tx, row)


async def update_channel(tx: Transaction, channel: Channel) -> None:
    """Saves the name, settings, subscription and switch of ``channel``, which this transaction has locked."""
    await tx.run(
        _UPDATE,
        channel_id=channel.id,
        name=channel.name,
        settings=_seal_settings(tx, channel.settings),
        subscription=msgspec.json.encode(channel.subscription).decode(),
        enabled=channel.enabled,
    )


async def signing_secrets(tx: Transaction, channel_id: int) -> tuple[SigningSecret, ...]:
    """Returns the signing secrets of a channel that this transaction has locked, newest first, with expired ones."""
    row = await tx.first(_GET_SECRETS, id=channel_id)
    assert row is not None
    return read_secrets(tx.unseal(row["signing_secrets"]))


async def save_signing_secrets(tx: Transaction, channel_id: int, secrets: tuple[SigningSecret, ...]) -> None:
    """Saves ``secrets``, newest first, for a channel that this transaction has locked."""
    await tx.run(_KEEP_SECRETS, channel_id=channel_id, signing_secrets=tx.seal(_write_secrets(secrets)))


def read_secrets(text: str) -> tuple[SigningSecret, ...]:
    """Reads the decrypted ``channels.signing_secrets``; a secret that doesn't expire is stored as a plain string.

    Raises:
        ValueError: the text has another format.
    """
    stored = msgspec.json.decode(text, type=list[str | SigningSecret])
    return tuple(SigningSecret(one) if isinstance(one, str) else one for one in stored)


def _write_secrets(secrets: Iterable[SigningSecret]) -> str:
    return msgspec.json.encode(
        [signing_secret.secret if signing_secret.expires_at is None else signing_secret for signing_secret in secrets]
    ).decode()


async def delete_channel(tx: Transaction, channel_id: int) -> None:
    """Deletes the channel with its secrets; its deliveries stay."""
    await tx.run(_DELETE, id=channel_id)


async def list_channels(tx: Transaction, organization_id: int, *, before: int | None, limit: int) -> list[Channel]:
    """Returns up to ``limit`` channels of the organization, newest first, with ids below ``before``."""
    rows = await tx.all(
        _PAGE, organization_id=organization_id, before=MAX_ID if before is None else before, limit=limit
    )
    return [_channel(tx, row) for row in rows]


@dataclass(frozen=True)
class ChannelName:
    """A channel as shown beside its deliveries."""

    id: int
    name: str
    paused: bool


async def list_names(tx: Transaction, organization_id: int, ids: Collection[int]) -> list[ChannelName]:
    """Returns the organization's channels with these ids."""
    rows = await tx.all(_NAMES_OF, organization_id=organization_id, ids=sorted(ids))
    return [ChannelName(row["id"], row["name"], bool(row["paused"])) for row in rows]


async def first_channels(tx: Transaction, organization_id: int) -> dict[ChannelKind, Channel]:
    """Returns the organization's oldest channel of each kind."""
    found = [_channel(tx, row) for row in await tx.all(_FIRST_OF_KINDS, organization_id=organization_id)]
    return {channel.kind: channel for channel in found}


@dataclass(frozen=True)
class Paused:
    """A paused channel: it sends only Test Hooks."""

    id: int
    name: str
    kind: ChannelKind
    since: Micros
    reason: str


async def paused_channels(tx: Transaction, organization_id: int, *, limit: int) -> list[Paused]:
    """Returns up to ``limit`` paused channels of the organization, the last paused first."""
    rows = await tx.all(_PAUSED, organization_id=organization_id, limit=limit)
    return [
        Paused(row["id"], row["name"], ChannelKind(row["kind"]), row["paused_at"], row["paused_reason"]) for row in rows
    ]


async def listeners(tx: Transaction, organization_id: int) -> list[Listener]:
    """Returns every enabled channel of the organization, and paused ones, too: they collect deliveries."""
    rows = await tx.all(_LISTENING, organization_id=organization_id)
    return [
        Listener(row["id"], ChannelKind(row["kind"]), msgspec.json.decode(row["subscription"], type=Subscription))
        for row in rows
    ]


async def reset_health(tx: Transaction, channel_id: int) -> None:
    """Clears the failures and rate limits of a channel that this transaction has locked."""
    await tx.run(_RESET_HEALTH, id=channel_id, now=tx.now)


@dataclass(frozen=True)
class Throttle:
    """Until when a channel waits, and when its bucket is full after that (see ``domain/token_bucket.py``).

    ``since`` and ``reason``: when and why it began to wait. ``rate_limits``: how often in a row.
    """

    until: Micros
    bucket_full_at: Micros
    since: Micros
    reason: str
    rate_limits: int


async def throttle_channels(
    tx: Transaction, throttles: Mapping[int, Throttle], *, recovered: Collection[int] = ()
) -> None:
    """Stops each of these channels from sending until its instant, and makes it restart slowly.

    Clears the count of rate limits of those that have ``recovered``, which may be throttled, too.
    """
    for channel in sorted({*throttles, *recovered}):
        if channel in recovered:
            await tx.run(_FORGET_RATE_LIMITS, id=channel)
        if channel in throttles:
            await tx.run(_THROTTLE, id=channel, **asdict(throttles[channel]))


async def lock_buckets(tx: Transaction, channel_ids: Collection[int]) -> dict[int, Micros]:
    """Locks the buckets of these channels and returns when each is full; skips those locked by another worker."""
    if not channel_ids:
        return {}
    return {row["id"]: row["bucket_full_at"] for row in await tx.all(_LOCK_BUCKETS, ids=channel_ids)}


async def draw_from_buckets(tx: Transaction, bucket_full_at: Mapping[int, Micros]) -> None:
    """Saves when the bucket of each of these channels, which this transaction has locked, is full."""
    await tx.run_many(
        _DRAW, [{"id": channel, "bucket_full_at": instant} for channel, instant in bucket_full_at.items()]
    )


async def waiting_channels(
    tx: Transaction, organization_id: int, *, before: Micros, limit: int
) -> list[tuple[int, str, Waiting]]:
    """Returns id, name and cause of up to ``limit`` of the organization's channels that wait since ``before``."""
    rows = await tx.all(_WAITING, organization_id=organization_id, before=before, now=tx.now, limit=limit)
    return [
        (row["id"], row["name"], Waiting(row["throttled_since"], row["throttled_until"], row["throttled_reason"]))
        for row in rows
    ]


def _seal_settings(tx: Transaction, settings: dict[str, Any]) -> str:
    return tx.seal(msgspec.json.encode(settings).decode())


def _channel(tx: Transaction, row: Row) -> Channel:
    return read_row(
        Channel,
        row,
        settings=msgspec.json.decode(tx.unseal(row["settings"])),
        last_wait=None
        if row["throttled_since"] is None
        else Waiting(row["throttled_since"], row["throttled_until"], row["throttled_reason"]),
    )
