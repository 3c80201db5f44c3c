"""What a channel repeats of an answer stands in double quotes, so that it can be taken out."""

import json

import pytest

from loadbell.channels import channel_type, channel_types
from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import without_quotes
from loadbell.outbound.messages import Reply
from tests.channels.conformance import NOW

WORD = 'sentinel" and more'
BODIES = (
    WORD,
    json.dumps({"ok": False, "error": WORD, "message": WORD}),
    json.dumps({"error": {"code": 404, "type": WORD, "message": WORD}}),
    json.dumps({"error": {"code": WORD, "message": WORD}, "code": WORD, "type": WORD}),
    json.dumps({"errors": [{"message": WORD}], "detail": WORD, "retry_after": WORD}),
)
HEADERS = ("Location", "Retry-After", "Set-Cookie", "webhook-delivery", "X-Note", "Content-Type", "Server")


@pytest.mark.parametrize("kind", channel_types())
@pytest.mark.parametrize("status", [200, 202, 204, 302, 400, 401, 403, 404, 410, 413, 429, 500, 503, 599])
def test_a_message_without_its_quotes_says_nothing_of_the_answer(kind: ChannelKind, status: int) -> None:
    """Whatever header or body a receiver answers with, no word of it is left."""
    for body in BODIES:
        reply = Reply(status, tuple((name, WORD) for name in HEADERS), body.encode(), truncated=False, duration=0)
        text = without_quotes(channel_type(kind).judge(reply, NOW).message)

        assert "sentinel" not in text
        assert "and more" not in text
        assert text.endswith(".")
