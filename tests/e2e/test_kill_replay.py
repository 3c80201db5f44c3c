"""kill -9 of ``loadbell serve`` in the middle of a replay: it goes on by itself, and repeats no more than was open."""

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from loadbell.notify.replay import MAX_PENDING
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.support.server import Client, DidNotStart, Server, set_up, wait_until

PLACES = ("anywhere", "advance", "lease", "post", "record")
FAILED = 40
KILLS = 3
ENVIRONMENT = {"LOADBELL_RETRY_SCHEDULE": "10ms"}
CRASHING = str(Path(__file__).parent.parent / "support" / "crashing_server.py")


def _fail_deliveries(client: Client, organization_id: int, receiver: ScriptedReceiver) -> tuple[int, list[str]]:
    """A channel with failed deliveries whose receiver is well again from now on; their ids."""
    receiver.play([respond(500)])
    channel = client.ok(
        "POST",
        f"/organizations/{organization_id}/channels",
        {"kind": "webhook", "name": "receiver", "settings": {"url": receiver.url}},
    )
    for number in range(FAILED):
        client.ok("POST", "/runs", {"name": f"run {number}"})
    path = f"/channels/{channel['id']}/deliveries?status=failed&limit=200"
    wait_until(lambda: len(client.ok("GET", path)["items"]) == FAILED)
    receiver.play([respond()])
    return channel["id"], [item["id"] for item in client.ok("GET", path)["items"]]


def _live_and_die(data_dir: Path, place: str, chance: random.Random) -> None:
    """A server that goes on with the replay until it is killed, by itself at its place or by us."""
    program: tuple[str, ...] = ("-m", "loadbell")
    if place != "anywhere":
        program = (CRASHING, place, str(chance.randrange(1, 6)))
    try:
        with Server(data_dir, ENVIRONMENT, program=program) as server:
            if place == "anywhere":
                time.sleep(chance.uniform(0.0, 0.1))
                server.kill()
            wait_until(lambda: server.process.poll() is not None)
    except DidNotStart:
        pass  # it came to its place before it answered


@pytest.mark.parametrize("place", [*PLACES[:2], *(pytest.param(place, marks=pytest.mark.soak) for place in PLACES[2:])])
def test_a_replay_survives_kill(tmp_path: Path, place: str) -> None:
    """Killed right after the request was answered and three times more, each delivery is sent, at most two again."""
    chance = random.Random(place)
    body = set_up(tmp_path)
    with ScriptedReceiver() as receiver:
        with Server(tmp_path, ENVIRONMENT) as server:
            client = Client(server.url, body["token"])
            channel, ids = _fail_deliveries(client, body["organization_id"], receiver)
            before = len(receiver.requests)
            replay: dict[str, Any] = client.ok(
                "POST", f"/channels/{channel}/replay", {"since": "2020-01-01T00:00:00Z", "statuses": ["failed"]}
            )
            server.kill()
        at = f"/channels/{channel}/replays/{replay['id']}"
        for _ in range(KILLS):
            _live_and_die(tmp_path, place, chance)
        with Server(tmp_path, ENVIRONMENT) as server:
            client = Client(server.url, body["token"])
            wait_until(lambda: client.ok("GET", at)["finished_at"] is not None, timeout=60)
            shown = client.ok("GET", at)
            rows = [client.ok("GET", f"/deliveries/{key}") for key in ids]
        sent = Counter(request.header("X-LoadImpact-ID") for request in receiver.requests[before:])

    assert FAILED == replay["count"] == shown["count"] == shown["done"]
    assert set(ids) == set(sent), "each is sent, and nothing else is"
    assert sent.total() <= FAILED + (1 + KILLS) * MAX_PENDING
    for row in rows:
        assert "delivered" == row["status"]
        assert list(range(1, len(row["attempts"]) + 1)) == [attempt["number"] for attempt in row["attempts"]]
        assert {"manual"} == {attempt["cause"] for attempt in row["attempts"][2:]}
