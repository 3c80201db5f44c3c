"""Use case: a channel gets a new signing secret, and the former ones stay live for a while."""

from loadbell.channels import channel_type
from loadbell.domain.channels import MAX_OVERLAP, rotate_secrets
from loadbell.domain.errors import Conflict, FieldError, Invalid
from loadbell.domain.ids import Micros, rfc3339
from loadbell.domain.orgs import Principal
from loadbell.domain.retry import parse_duration
from loadbell.notify.channels import lock_channel
from loadbell.outbound.signing import new_secret
from loadbell.store.audit import append_entry
from loadbell.store.channels import save_signing_secrets, signing_secrets
from loadbell.store.unit_of_work import UnitOfWork

DEFAULT_OVERLAP = "24h"


async def rotate_secret(unit: UnitOfWork[Principal], channel_id: int, overlap: str) -> tuple[str, Micros]:
    """Gives the channel a new signing secret; gives it, this once, and until when the former ones sign beside it.

    ``overlap`` is a duration from ``0s`` to ``7d``.

    Raises:
        NotFound: the channel is not of the asker's organization.
        Invalid: ``overlap`` is no such duration.
        Conflict: channels of this kind don't sign, or too many secrets would be live.
    """
    channel = await lock_channel(unit, channel_id)
    kind = channel_type(channel.kind)
    if not kind.signs:
        raise Conflict(f"A {kind.title} channel has no signing secret. There is nothing to rotate.")
    until = unit.now + _overlap(overlap)
    fresh = new_secret(unit.random)
    kept = rotate_secrets(await signing_secrets(unit.tx, channel_id), fresh, until=until, now=unit.now)
    await save_signing_secrets(unit.tx, channel_id, kept)
    changes = {"previous_expires_at": rfc3339(until)}
    await append_entry(unit.tx, unit.principal, "channel.secret_rotated", f"channel {channel_id}", changes)
    return fresh, until


def _overlap(text: str) -> Micros:
    try:
        span = parse_duration(text)
    except ValueError as error:
        raise Invalid(FieldError("overlap", str(error))) from None
    if span > MAX_OVERLAP:
        raise Invalid(FieldError("overlap", "must be at most 7d"))
    return span
