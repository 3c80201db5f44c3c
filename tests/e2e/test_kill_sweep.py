"""kill -9 of ``loadbell serve`` in the middle of a sweep: the next one goes on, nothing is lost."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from loadbell.store.sweeps import BATCH
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.support.crowds import hold_deliveries
from tests.support.server import Client, DidNotStart, Server, set_up, wait_until
from tests.support.stores import open_store

MANY = 3 * BATCH
CRASHING = str(Path(__file__).parent.parent / "support" / "crashing_server.py")


async def _fill(data_dir: Path, organization_id: int, channel_id: int) -> None:
    async with open_store(f"sqlite:///{data_dir}/loadbell.sqlite3") as database:
        await hold_deliveries(database, organization_id, channel_id, MANY, (time.time_ns() // 1000) - 1_000_000)


@pytest.mark.parametrize("way", ["drop", "deliver", "delete"])
def test_a_sweep_survives_kill(tmp_path: Path, way: str) -> None:
    """Killed in two of its batches, it ends by itself; a run reported meanwhile is told, and held ones in order."""
    body = set_up(tmp_path)
    with ScriptedReceiver() as receiver:
        receiver.play([respond()])
        new: dict[str, Any] = {"kind": "webhook", "name": "r", "settings": {"url": receiver.url}}
        at = f"/organizations/{body['organization_id']}/channels"
        with Server(tmp_path) as server:
            client = Client(server.url, body["token"])
            channel, other = (client.ok("POST", at, new)["id"] for _ in range(2))
            client.ok("POST", f"/channels/{channel}/pause", {})
        asyncio.run(_fill(tmp_path, body["organization_id"], channel))
        with Server(tmp_path, program=(CRASHING, "sweep", "2")) as server:
            client = Client(server.url, body["token"])
            if way == "delete":
                client.ok("DELETE", f"/channels/{channel}")
            else:
                client.ok("POST", f"/channels/{channel}/resume", {"held": way})
            wait_until(lambda: server.process.poll() is not None)
        try:
            with Server(tmp_path, program=(CRASHING, "sweep", "1")) as server:
                wait_until(lambda: server.process.poll() is not None)
        except DidNotStart:
            pass  # it came to its place before it answered
        with Server(tmp_path) as server:
            client = Client(server.url, body["token"])
            client.ok("POST", "/runs", {"name": "reported after the kill"})
            status = "delivered" if way == "deliver" else "cancelled"
            told = 1 if way == "delete" else 2

            def counted() -> dict[str, int]:
                log = _log(client, body["organization_id"])
                return {one: sum(item["status"] == one for item in log) for one in {item["status"] for item in log}}

            wait_until(
                lambda: counted() in ({status: MANY, "delivered": told}, {"delivered": MANY + told}), timeout=120
            )
            bodies = [item["id"] for item in reversed(_log(client, body["organization_id"])) if item["run_id"] is None]
        sent = list(dict.fromkeys(request.header("X-LoadImpact-ID") for request in receiver.requests))

    assert MANY == len(bodies)
    if way == "deliver":
        assert bodies == [text for text in sent if text in set(bodies)], "in order"
    else:
        assert told == len(sent)
    assert other != channel


def _log(client: Client, organization_id: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = client.ok("GET", f"/organizations/{organization_id}/deliveries?limit=200{cursor}")
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = f"&cursor={page['next_cursor']}"
