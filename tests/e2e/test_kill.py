"""kill -9 of ``loadbell serve`` at any instant loses nothing and needs no repair."""

import http.client
import random
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from loadbell.testing.receiver import Behaviour, Received, ScriptedReceiver, hang, reset, respond
from tests.support.server import Client, DidNotStart, Server, set_up, wait_until

PLACES = ("anywhere", "accept", "commit", "lease", "post", "record")
RECEIVERS = ("well", "errors", "resets", "hangs")
# Each place with one of the receivers; `make soak` has every pair.
ROUNDS = [(place, RECEIVERS[number % 4], number) for number, place in enumerate(PLACES)]
SOAK_ROUNDS = [(PLACES[seed % 6], RECEIVERS[seed // 6 % 4], 1000 + seed) for seed in range(500)]

RUNS = 8
ENVIRONMENT = {
    "LOADBELL_RETRY_SCHEDULE": "100ms,200ms,300ms,500ms,500ms,500ms,500ms,500ms,500ms,500ms,500ms,500ms",
    "LOADBELL_SEND_TIMEOUT": "700ms",
}
CRASHING = str(Path(__file__).parent.parent / "support" / "crashing_server.py")


class Reporter:
    """A source that reports runs, one after the other, and asks again until each report is answered 2xx."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._client: Client | None = None
        self.accepted = 0
        self.runs: list[int] = []
        self._thread = threading.Thread(target=self._report, daemon=True)

    def start(self, client: Client) -> None:
        """Begins to report to ``client``."""
        self._client = client
        self._thread.start()

    def move_to(self, client: Client) -> None:
        """From now on reports go to ``client``."""
        self._client = client

    def join(self, timeout: float) -> None:
        """Waits for the last report."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the reports were not answered"

    def _report(self) -> None:
        for number in range(RUNS):
            run = self._ask("POST", "/runs", {"name": f"run {number}"})
            self.runs.append(run["id"])
            self._ask("PATCH", f"/runs/{run['id']}", {"status": 3, "result": "passed"})

    def _ask(self, method: str, path: str, body: Any) -> Any:
        key = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        while True:
            assert self._client is not None
            client = Client(self._client.url, self._token, timeout=5)
            try:
                answer = client.call(method, path, body, headers=key)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if answer.status == 503:
                time.sleep(0.05)
                continue
            assert 200 <= answer.status < 300, answer.body
            self.accepted += 1
            return answer.json


def _misbehave(kind: str, chance: random.Random) -> Any:
    """Some of the first requests go wrong, all later ones go well."""
    bad: dict[str, Behaviour] = {
        "well": respond(),
        "errors": respond(500),
        "resets": reset(),
        "hangs": hang(),
    }
    remaining = [chance.randrange(3, 7)]

    def choose(_: Received) -> Behaviour:
        if remaining[0] > 0 and chance.random() < 0.7:
            remaining[0] -= 1
            return bad[kind]
        return respond()

    return choose


def _killed_rounds(data_dir: Path, place: str, receiver_kind: str, seed: int) -> None:
    chance = random.Random(seed)
    body = set_up(data_dir)
    with ScriptedReceiver(_misbehave(receiver_kind, chance)) as receiver:
        reporter = Reporter(body["token"])
        for life in range(2):
            program: tuple[str, ...] = ("-m", "loadbell")
            if place not in {"anywhere", "accept"}:
                program = (CRASHING, place, str(chance.randrange(1, 5)))
            try:
                with Server(data_dir, ENVIRONMENT, program=program) as server:
                    client = Client(server.url, body["token"])
                    if life == 0:
                        client.ok(
                            "POST",
                            f"/organizations/{body['organization_id']}/channels",
                            {"kind": "webhook", "name": "receiver", "settings": {"url": f"{receiver.url}hook"}},
                        )
                        reporter.start(client)
                    else:
                        reporter.move_to(client)
                    _wait_for_the_end(server, reporter, place, chance)
            except DidNotStart:
                assert life > 0, "the first life has nothing to die of before it answers"
        with Server(data_dir, ENVIRONMENT) as server:
            client = Client(server.url, body["token"])
            reporter.move_to(client)
            reporter.join(60)
            path = f"/organizations/{body['organization_id']}/deliveries?limit=200"
            wait_until(
                lambda: all(item["status"] == "delivered" for item in client.ok("GET", path)["items"]), timeout=60
            )
            _check(client, client.ok("GET", path)["items"], receiver.requests, reporter.runs)


def _wait_for_the_end(server: Server, reporter: Reporter, place: str, chance: random.Random) -> None:
    """Returns when the server was killed: by itself at its place, or by us."""
    if place == "anywhere":
        time.sleep(chance.uniform(0.05, 1.5))
    elif place == "accept":
        accepted = reporter.accepted + chance.randrange(1, 4)
        end = time.monotonic() + 10
        while reporter.accepted < accepted and len(reporter.runs) < RUNS and time.monotonic() < end:
            time.sleep(0.0005)
    else:
        end = time.monotonic() + 3
        while server.process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
    server.kill()


def _check(client: Client, deliveries: list[dict[str, Any]], requests: list[Received], runs: list[int]) -> None:
    expected = {(run, event) for run in runs for event in ("test.started", "test.finished")}
    by_news = {(item["run_id"], item["event"]): item["id"] for item in deliveries}
    assert expected == set(by_news), "every accepted report has exactly one delivery of each event"
    assert len(expected) == len(deliveries)
    first_seen: dict[str, int] = {}
    for position, request in enumerate(requests):
        sent_as = request.header("X-LoadImpact-ID")
        assert sent_as is not None
        first_seen.setdefault(sent_as, position)
    assert set(by_news.values()) == set(first_seen), "each was sent, each repeat with the same id, and nothing else was"
    for run in runs:
        started, finished = first_seen[by_news[run, "test.started"]], first_seen[by_news[run, "test.finished"]]
        assert started < finished, f"run {run}: finished was sent before started"
    for item in deliveries:
        attempts = client.ok("GET", f"/deliveries/{item['id']}")["attempts"]
        assert list(range(1, len(attempts) + 1)) == [attempt["number"] for attempt in attempts]
        assert attempts[-1]["reason"] == "ok"


@pytest.mark.parametrize(("place", "receiver", "seed"), ROUNDS)
def test_kill_loses_nothing(tmp_path: Path, place: str, receiver: str, seed: int) -> None:
    """Killed twice while runs are reported, every accepted report is delivered, in order and under its one id."""
    _killed_rounds(tmp_path, place, receiver, seed)


@pytest.mark.soak
@pytest.mark.parametrize(("place", "receiver", "seed"), SOAK_ROUNDS)
def test_kill_loses_nothing_in_the_long_run(tmp_path: Path, place: str, receiver: str, seed: int) -> None:
    """The same, five hundred times."""
    _killed_rounds(tmp_path, place, receiver, seed)
