"""Use cases: which channels send nothing for now, for the notices on pages and in a tool's output."""

from dataclasses import dataclass

from loadbell.domain.channels import ChannelKind, Waiting
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Action, Principal
from loadbell.store import channels as store
from loadbell.store.delivery_stats import count_held
from loadbell.store.unit_of_work import UnitOfWork

MAX_PAUSED = 20
"""Paused channels that are told of at once: nobody reads more in a notice, and what they hold is counted."""

WAITING_NOTICE_AFTER: Micros = 15 * 60 * SECOND
"""A channel that has waited for so long, and still does, is told of on every page."""


@dataclass(frozen=True)
class PausedNotice:
    """A channel that sends nothing until a person resumes it, why, and how many deliveries wait in it."""

    id: int
    name: str
    kind: ChannelKind
    since: Micros
    reason: str
    held: int  #: up to ``store.delivery_stats.HELD_COUNTED``


async def paused_channels(unit: UnitOfWork[Principal]) -> list[PausedNotice]:
    """The paused channels of the organization, up to ``MAX_PAUSED``, the last paused first."""
    unit.principal.require(Action.READ_CHANNELS)
    found = await store.paused_channels(unit.tx, unit.principal.organization_id, limit=MAX_PAUSED)
    return [
        PausedNotice(one.id, one.name, one.kind, one.since, one.reason, await count_held(unit.tx, one.id))
        for one in found
    ]


@dataclass(frozen=True)
class WaitingNotice:
    """A channel that makes no attempt for now, because of its receiver."""

    id: int
    name: str
    wait: Waiting


async def waiting_channels(unit: UnitOfWork[Principal]) -> list[WaitingNotice]:
    """The channels that have waited for ``WAITING_NOTICE_AFTER`` or longer, up to ``MAX_PAUSED``, newest first."""
    unit.principal.require(Action.READ_CHANNELS)
    found = await store.waiting_channels(
        unit.tx, unit.principal.organization_id, before=unit.now - WAITING_NOTICE_AFTER, limit=MAX_PAUSED
    )
    return [WaitingNotice(*one) for one in found]


async def list_paused_names(unit: UnitOfWork[Principal]) -> list[str]:
    """The names of the organization's paused channels, up to ``MAX_PAUSED``: no more than whoever reports needs."""
    unit.principal.require(Action.REPORT_RUNS)
    return [one.name for one in await store.paused_channels(unit.tx, unit.principal.organization_id, limit=MAX_PAUSED)]
