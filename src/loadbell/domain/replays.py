"""Replays: ended deliveries of a channel that are sent again, a few at a time."""

from dataclasses import dataclass

from loadbell.domain.deliveries import FinalStatus
from loadbell.domain.ids import Micros


@dataclass(frozen=True)
class Replay:
    """One replay and its progress.

    ``count``: the deliveries that matched when it was requested. ``done``: those that had their turn since, attempted
    or cancelled, without those redelivered manually or removed before. ``done`` can end above ``count``: by deliveries
    whose response came before the request but was recorded after it.
    """

    id: int
    channel_id: int
    statuses: tuple[FinalStatus, ...]
    count: int
    done: int
    created_at: Micros
    finished_at: Micros | None
