"""kill -9 of ``loadbell serve`` while it records the answer that pauses a channel."""

import json
from pathlib import Path
from typing import Any

from loadbell.testing import ScriptedReceiver, respond
from tests.e2e.test_kill import CRASHING, ENVIRONMENT
from tests.support.server import Client, Server, set_up, wait_until


def test_a_kill_between_a_pause_and_its_notice_loses_neither(tmp_path: Path) -> None:
    """Killed in the transaction that pauses, after its statements: nothing has happened; the next life does it all."""
    made = set_up(tmp_path)
    path = f"/organizations/{made['organization_id']}/channels"

    def channel(client: Client, name: str, url: str, event: str) -> Any:
        subscription = {"events": [event]}
        body = {"kind": "webhook", "name": name, "settings": {"url": url}, "subscription": subscription}
        return client.ok("POST", path, body)

    with ScriptedReceiver([respond(410)]) as scripted_receiver, ScriptedReceiver() as well:
        with Server(tmp_path, ENVIRONMENT, program=(CRASHING, "record", "1")) as server:
            client = Client(server.url, made["token"])
            paused = channel(client, "gone", scripted_receiver.url, "test.started")
            channel(client, "well", well.url, "channel.paused")
            client.ok("POST", "/runs", {"name": "refused"})
            wait_until(lambda: server.process.poll() is not None)
        assert [] == well.requests
        with Server(tmp_path, ENVIRONMENT) as server:
            client = Client(server.url, made["token"])
            (notice,) = well.wait_for(1)
            shown = client.ok("GET", f"/channels/{paused['id']}")
            wait_until(
                lambda: client.ok("GET", f"/channels/{paused['id']}/deliveries")["items"][0]["status"] == "failed"
            )
        told = json.loads(notice.body)

    assert ("channel.paused", paused["id"], shown["paused_reason"]) == (
        told["event"], told["channel_id"], told["reason"],
    )  # fmt: skip
    assert 1 == len(well.requests)
    assert 2 == len(scripted_receiver.requests), (
        "the attempt that could not be recorded was made again, under the same id"
    )
    assert 1 == len({request.header("X-LoadImpact-ID") for request in scripted_receiver.requests})
