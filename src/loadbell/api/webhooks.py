"""The requests to WebHook receivers, for the OpenAPI document: legacy bodies and headers, and the signature."""

from typing import Any, Literal

import msgspec

from loadbell.channels.contract import USER_AGENT
from loadbell.domain.events import EventName
from loadbell.domain.runs import RunStatus


class RunStarted(msgspec.Struct, kw_only=True):
    """A load test became Running."""

    status: RunStatus
    status_text: str
    user_id: int
    name: str
    organization_id: int
    load_test_id: int
    load_test_run_id: int
    project_id: int
    event: Literal["test.started"]


class RunFinished(msgspec.Struct, kw_only=True):
    """A load test ended: finished, aborted or failed."""

    status: RunStatus
    status_text: str
    user_id: int
    name: str
    organization_id: int
    load_test_id: int
    load_test_run_id: int
    project_id: int
    event: Literal["test.finished"]


class TestHook(msgspec.Struct):
    """A Test Hook was sent."""

    event: Literal["test.notification_channel"]


class ChannelPaused(msgspec.Struct, kw_only=True):
    """Another channel of the organization was paused. Not a LoadImpact event."""

    organization_id: int
    channel_id: int
    name: str
    reason: str
    event: Literal["channel.paused"]


PAYLOADS: dict[EventName, type[msgspec.Struct]] = {
    EventName.STARTED: RunStarted,
    EventName.FINISHED: RunFinished,
    EventName.TEST_HOOK: TestHook,
    EventName.CHANNEL_PAUSED: ChannelPaused,
}

_SUMMARIES = {
    EventName.STARTED: "A load test started",
    EventName.FINISHED: "A load test ended",
    EventName.TEST_HOOK: "A Test Hook was pressed",
    EventName.CHANNEL_PAUSED: "A channel was paused",
}

_HEADERS = {
    "X-LoadImpact-ID": "The delivery: the same on every repeat, never shared by two. Drop what you have seen.",
    "X-LoadImpact-Event": "The event, as in the body.",
    "User-Agent": f"Begins with {USER_AGENT}.",
    "webhook-id": "The same as X-LoadImpact-ID (Standard Webhooks).",
    "webhook-timestamp": "Seconds since 1970-01-01T00:00:00Z at which this attempt was made.",
    "webhook-signature": "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body` with the channel's secret; "
    "several, separated by spaces, while a secret is being changed. Absent when settings are tested unsaved.",
}


def describe_webhooks(schemas: dict[EventName, dict[str, Any]]) -> dict[str, Any]:
    """The ``webhooks`` section; ``schemas`` are those of :data:`PAYLOADS`."""
    return {
        name.value: {
            "post": {
                "operationId": name.value.replace(".", "_"),
                "summary": _SUMMARIES[name],
                "description": "Delivered at least once, by POST, to every channel that wants to know.",
                "security": [],
                "parameters": [
                    {
                        "name": header,
                        "in": "header",
                        "required": header != "webhook-signature",
                        "description": meaning,
                        "schema": {"type": "string"},
                    }
                    for header, meaning in _HEADERS.items()
                ],
                "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
                "responses": {
                    "2XX": {"description": "Taken."},
                    "410": {"description": "No more of this, please: the channel is not tried again for this event."},
                    "default": {"description": "Not taken; it is sent again on the retry schedule."},
                },
            }
        }
        for name, schema in schemas.items()
    }
