"""Channels: where an organization wants to be told, and of what."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from loadbell.domain.events import EventName
from loadbell.domain.ids import Micros
from loadbell.domain.runs import Result, RunStatus, Trigger


class ChannelKind(StrEnum):
    """The kinds of channel that the mission names. Each is implemented by one file in ``loadbell.channels``."""

    SLACK = "slack"
    HIPCHAT = "hipchat"
    WEBHOOK = "webhook"


@dataclass(frozen=True)
class Subscription:
    """What a channel wants to hear. An empty tuple means all.

    ``statuses``, ``results`` and ``only_on_change`` narrow test.finished only: a start has no end to judge.
    """

    events: tuple[EventName, ...] = ()
    statuses: tuple[RunStatus, ...] = ()
    results: tuple[Result, ...] = ()
    projects: tuple[int, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    only_on_change: bool = False


@dataclass(frozen=True)
class Channel:
    """One place to tell, as it stands. ``settings`` are the kind's own, in clear: they never leave the server whole."""

    id: int
    organization_id: int
    kind: ChannelKind
    name: str
    settings: dict[str, Any] = field(repr=False)
    subscription: Subscription
    enabled: bool
    paused_reason: str | None
    created_at: Micros
