"""
Events: immutable facts that channels are notified of, each with its payload frozen when it happened.

Names, keys, key order and types of the payload are those of the LoadImpact 3.0 documentation, page "Notifications",
section "WebHook". White space on the wire is not specified there; ours is compact JSON in UTF-8.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import msgspec

from loadbell.domain.ids import Micros
from loadbell.domain.runs import Run


class EventName(StrEnum):
    """An event, by its legacy name."""

    STARTED = "test.started"  #: a run became Running
    FINISHED = "test.finished"  #: a run ended: finished, aborted or failed
    TEST_HOOK = "test.notification_channel"  #: somebody pressed Test Hook
    CHANNEL_PAUSED = "channel.paused"  #: not in LoadImpact: another channel of the organization was paused


@dataclass(frozen=True)
class Event:
    """One event. ``run_id`` and ``project_id`` are None if it doesn't belong to a run."""

    id: UUID
    organization_id: int
    name: EventName
    occurred_at: Micros
    payload: bytes  #: compact UTF-8 JSON, sent to a WebHook byte for byte with every attempt
    notice: str  #: the message for people, from ``domain.notices.encode_notice``; frozen too
    run_id: int | None = None
    project_id: int | None = None


def run_payload(run: Run, name: EventName) -> bytes:
    """The legacy body for a run's event: nine keys in their documented order."""
    return msgspec.json.encode(
        {
            "status": run.status.value,
            "status_text": run.status.text,
            "user_id": run.user_id,
            "name": run.name,
            "organization_id": run.organization_id,
            "load_test_id": run.test_id,
            "load_test_run_id": run.id,
            "project_id": run.project_id,
            "event": name.value,
        }
    )


def test_hook_payload() -> bytes:
    """The legacy body of a Test Hook: the event's name and nothing else."""
    return msgspec.json.encode({"event": EventName.TEST_HOOK.value})


def channel_paused_payload(*, organization_id: int, channel_id: int, name: str, reason: str) -> bytes:
    """The WebHook body for another channel's pause."""
    return msgspec.json.encode(
        {
            "organization_id": organization_id,
            "channel_id": channel_id,
            "name": name,
            "reason": reason,
            "event": EventName.CHANNEL_PAUSED.value,
        }
    )
