"""
Do new notifications arrive later while 10,000 deliveries of the same channel are replayed, and how fast is the replay?

Reports runs at a fixed rate (open loop) to a server with two channels. In every second measurement one of them replays
10,000 failed deliveries. Measures p50 and p99 from sending the report to the request's arrival, at the channel with the
replay and at the other one, for reports sent during the replay, and the deliveries replayed per second. Rounds are
interleaved; medians are compared.

    python -m benchmarks.replay [rounds]
"""

import contextlib
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadbell.domain.ids import new_uuid
from loadbell.testing.receiver import ScriptedReceiver
from tests.support.server import Client, Server, set_up, wait_until

FAILED = 10_000
RUNS = 400
SECONDS_BETWEEN = 0.04
WITHOUT, WITH = "without a replay", "with a replay"
CHANNELS = "same", "other"


def main() -> None:
    """Runs the rounds and prints the comparison."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    results: dict[str, list[dict[str, tuple[float, float]]]] = {WITHOUT: [], WITH: []}
    rates: list[float] = []
    for number in range(rounds):
        for kind, measured in results.items():
            body, rate = measure(replaying=kind == WITH)
            measured.append(body)
            rates += [rate] if rate else []
            text = ", ".join(f"{name} p50 {p50:5.1f} ms, p99 {p99:5.1f} ms" for name, (p50, p99) in body.items())
            print(f"round {number + 1}, {kind:16} {text}" + (f", {rate:.0f} replayed/s" if rate else ""), flush=True)
    for name in CHANNELS:
        p50, p99 = (
            statistics.median(body[name][at] for body in results[WITH])
            / statistics.median(body[name][at] for body in results[WITHOUT])
            for at in (0, 1)
        )
        print(f"{name} channel, with to without: p50 x{p50:.2f}, p99 x{p99:.2f} (medians of {rounds} rounds)")
    print(f"{statistics.median(rates):.0f} deliveries replayed a second beside new notifications")


def measure(*, replaying: bool) -> tuple[dict[str, tuple[float, float]], float | None]:
    """One run of the load: p50 and p99 in milliseconds for each channel, and what was replayed a second."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ScriptedReceiver() as same,
        ScriptedReceiver() as other,
    ):
        data_dir = Path(folder)
        made = set_up(data_dir)
        with Server(data_dir) as server:
            client = Client(server.url, made["token"])
            channel, _ = (
                add_channel(client, made["organization_id"], scripted_receiver.url)
                for scripted_receiver in (same, other)
            )
            client.ok("POST", "/runs", {"name": "failed"})
            same.wait_for(1)
            wait_until(lambda: client.ok("GET", f"/channels/{channel}/deliveries?status=delivered")["items"] != [])
            assert server.stop() == 0
        multiply(data_dir)
        with Server(data_dir) as server:
            client = Client(server.url, made["token"])
            for _ in range(20):  # warm up connections, statements and code
                client.ok("POST", "/runs", {"name": "warm-up"})
            began = time.monotonic()
            path = f"/channels/{channel}/replay"
            replay = (
                client.ok("POST", path, {"since": "2020-01-01T00:00:00Z", "statuses": ["failed"]}) if replaying else {}
            )
            sent = report(client)
            rate = None
            if replaying:
                text = f"/channels/{channel}/replays/{replay['id']}"
                assert client.ok("GET", text)["finished_at"] is None, "the replay ended before the live reports"
                wait_until(lambda: client.ok("GET", text)["finished_at"] is not None, 600, 0.2)
                assert client.ok("GET", text)["done"] == replay["count"] == FAILED
                rate = FAILED / (time.monotonic() - began)
            waits = {
                name: arrivals(scripted_receiver, sent)
                for name, scripted_receiver in zip(CHANNELS, (same, other), strict=True)
            }
        return {name: (statistics.median(each), each[int(len(each) * 0.99)]) for name, each in waits.items()}, rate


def add_channel(client: Client, organization_id: int, url: str) -> int:
    """Adds a WebHook channel subscribed to starts only; returns its id."""
    settings = {"settings": {"url": url}, "subscription": {"events": ["test.started"]}}
    made = client.ok("POST", f"/organizations/{organization_id}/channels", {"kind": "webhook", "name": "n", **settings})
    return int(made["id"])


def multiply(data_dir: Path) -> None:
    """Makes 10,000 failed deliveries out of the first one, in the file of a server that has stopped."""
    with contextlib.closing(sqlite3.connect(next(data_dir.glob("*.sqlite3")))) as connection:
        connection.row_factory = sqlite3.Row
        first: dict[str, Any] = dict(connection.execute("SELECT * FROM deliveries ORDER BY channel_id, id").fetchone())
        began = first["created_at"] - FAILED * 1_000
        rows = [
            {**first, "id": str(new_uuid(at, os.urandom)), "status": "failed", "created_at": at, "finished_at": at}
            for at in (began + number * 1_000 for number in range(FAILED))
        ]
        values = ", ".join(f":{name}" for name in first)
        connection.executemany(f"INSERT INTO deliveries ({', '.join(first)}) VALUES ({values})", rows)
        connection.commit()


def report(client: Client) -> dict[int, int]:
    """Reports runs at a fixed rate; returns when each was sent, in microseconds."""
    body: dict[int, int] = {}
    began = time.monotonic()
    for number in range(RUNS):
        time.sleep(max(0.0, began + number * SECONDS_BETWEEN - time.monotonic()))
        at = time.time_ns() // 1000
        body[client.ok("POST", "/runs", {"name": f"run {number}"})["id"]] = at
    return body


def arrivals(receiver: ScriptedReceiver, sent: dict[int, int]) -> list[float]:
    """How long each live report took to arrive, in milliseconds, shortest first."""
    arrived: dict[int, int] = {}

    def all_there() -> bool:
        for request in receiver.requests:
            arrived.setdefault(int(request.body.split(b'"load_test_run_id":')[1].split(b",")[0]), request.arrived_at)
        return set(sent) <= set(arrived)

    wait_until(all_there)
    return sorted((arrived[run] - at) / 1000 for run, at in sent.items())


if __name__ == "__main__":
    main()
