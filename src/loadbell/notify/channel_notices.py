"""Lists the channels that send nothing at present, for notices on pages and in a tool's output."""

from dataclasses import dataclass

from loadbell.domain.channels import ChannelKind, Waiting
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Action, Principal
from loadbell.store import channels as store
from loadbell.store.delivery_stats import count_held
from loadbell.store.unit_of_work import UnitOfWork

MAX_PAUSED = 20
"""Paused channels listed at once: nobody reads more in a notice, and their queued deliveries are counted."""

WAITING_NOTICE_AFTER: Micros = 15 * 60 * SECOND
"""A channel that is still waiting after this long is listed on every page."""


@dataclass(frozen=True)
class PausedNotice:
    """A channel that sends nothing until a person resumes it, the reason, and its number of queued deliveries."""

    id: int
    name: str
    kind: ChannelKind
    since: Micros
    reason: str
    held: int  #: up to ``store.delivery_stats.HELD_COUNTED``


async def paused_channels(unit: UnitOfWork[Principal]) -> list[PausedNotice]:
    """Returns up to ``MAX_PAUSED`` paused channels of the organization, last paused first."""
    unit.principal.require(Action.READ_CHANNELS)
    found = await store.paused_channels(unit.tx, unit.principal.organization_id, limit=MAX_PAUSED)
    return [
        PausedNotice(one.id, one.name, one.kind, one.since, one.reason, await count_held(unit.tx, one.id))
        for one in found
    ]


@dataclass(frozen=True)
class WaitingNotice:
    """A channel that makes no attempt at present, because of its receiver."""

    id: int
    name: str
    wait: Waiting


async def waiting_channels(unit: UnitOfWork[Principal]) -> list[WaitingNotice]:
    """Returns up to ``MAX_PAUSED`` channels that have waited for ``WAITING_NOTICE_AFTER``, newest first."""
    unit.principal.require(Action.READ_CHANNELS)
    found = await store.waiting_channels(
        unit.tx, unit.principal.organization_id, before=unit.now - WAITING_NOTICE_AFTER, limit=MAX_PAUSED
    )
    return [WaitingNotice(*one) for one in found]


async def list_paused_names(unit: UnitOfWork[Principal]) -> list[str]:
    """Returns up to ``MAX_PAUSED`` names of paused channels, all that a reporting caller may see."""
    unit.principal.require(Action.REPORT_RUNS)
    return [one.name for one in await store.paused_channels(unit.tx, unit.principal.organization_id, limit=MAX_PAUSED)]
