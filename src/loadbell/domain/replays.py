"""Replays: deliveries of a channel that have ended and are sent again, a few at a time."""

from dataclasses import dataclass

from loadbell.domain.deliveries import FinalStatus
from loadbell.domain.ids import Micros


@dataclass(frozen=True)
class Replay:
    """One request to send again, and how far it has come.

    ``count``: how many deliveries were meant when it was asked for. ``done``: how many have had their turn since, with
    an attempt or called off before it; what was sent by hand or removed before its turn came is not among them. It can
    end above ``count``, by what had its answer before the request and was recorded after it.
    """

    id: int
    channel_id: int
    statuses: tuple[FinalStatus, ...]
    count: int
    done: int
    created_at: Micros
    finished_at: Micros | None
