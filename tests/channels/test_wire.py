"""What a receiver reads off the wire from every kind: the header names byte for byte, through the real sender."""

from dataclasses import replace

import pytest

from loadbell.channels import channel_types
from loadbell.domain.channels import ChannelKind
from loadbell.outbound.sender import Sender
from loadbell.testing import ScriptedReceiver
from tests.channels.conformance import cases, render
from tests.outbound.sending import scenario


@pytest.mark.parametrize("kind", channel_types())
def test_header_names_are_spelled_on_the_wire_as_documented(kind: ChannelKind) -> None:
    """Every request has the three legacy headers once, so spelled, and each header as the channel gave it."""
    with ScriptedReceiver() as receiver:
        messages = [replace(render(kind, case), url=f"{receiver.url}hook") for case in cases().values()]

        async def send(sender: Sender) -> None:
            for message in messages:
                await sender.send(message)

        scenario(send)
        requests = receiver.requests
    assert len(messages) == len(requests)
    for message, received in zip(messages, requests, strict=True):
        names = [name for name, _ in received.headers]
        legacy = [name for name in names if name.lower() == "user-agent" or "impact" in name.lower()]

        assert ["X-LoadImpact-ID", "X-LoadImpact-Event", "User-Agent"] == legacy
        assert set(message.headers) <= set(received.headers)
        assert {"Host", "Content-Length"} == set(names) - {name for name, _ in message.headers}
        assert len(names) == len({name.lower() for name in names})
        assert str(received.header("User-Agent")).startswith("LoadImpactWebHook")
