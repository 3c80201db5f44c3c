"""
Do 50 hostile receivers hold up 50 healthy ones, and do they make the server's memory grow?

Two organizations report runs at the same fixed rate (open loop), half a period apart. One has 50 healthy channels. 50
hostile ones, whose receivers hang, drip a byte a second, send an endless body or a gzip bomb, belong to the other
organization or to the same one. The baseline of the first case has no other channels. The baseline of the second has 50
more healthy ones, because each report makes twice as many deliveries; its ratio to no other channels is printed too.
Measures p50 and p99 from sending the report to the request's arrival at the first 50 receivers, and the growth of the
server's resident memory. Rounds are interleaved; medians are compared.

    python -m benchmarks.isolation [rounds]
"""

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from loadbell.testing.receiver import Behaviour, ScriptedReceiver, drip, endless_body, gzip_bomb, hang
from tests.support.server import Client, Server, set_up

CHANNELS = 50
RUNS = 150
SECONDS_BETWEEN = 0.25
BESIDE = NONE, OTHER, MORE, SAME = (
    "none",
    "50 hostile ones of another organization",
    "50 healthy ones of the same organization",
    "50 hostile ones of the same organization",
)
HOSTILE: tuple[Behaviour, ...] = (hang(), drip(interval=1.0), endless_body(), gzip_bomb())


def main() -> None:
    """Runs the rounds and prints the comparison."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    results: dict[str, list[tuple[float, float, float]]] = {beside: [] for beside in BESIDE}
    for number in range(rounds):
        for beside in BESIDE:
            result = measure(beside)
            results[beside].append(result)
            print(
                f"round {number + 1}, beside {beside:40} p50 {result[0]:6.1f} ms, p99 {result[1]:6.1f} ms, "
                f"memory grew {result[2]:5.1f} MiB",
                flush=True,
            )
    for beside, baseline in ((OTHER, NONE), (SAME, MORE), (MORE, NONE), (SAME, NONE)):
        p50, p99 = (
            statistics.median(result[at] for result in results[beside])
            / statistics.median(result[at] for result in results[baseline])
            for at in (0, 1)
        )
        print(f"{beside} to {baseline}: p50 x{p50:.2f}, p99 x{p99:.2f} (medians of {rounds} rounds)")
    growth = max(result[2] for beside in (OTHER, SAME) for result in results[beside])
    print(f"memory grew by {growth:.1f} MiB at most beside hostile ones")


def measure(beside: str) -> tuple[float, float, float]:
    """One run of the load: p50 and p99 in milliseconds, and growth of resident memory in MiB."""
    with ExitStack() as stack:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = set_up(data_dir)
        server = stack.enter_context(Server(data_dir))
        client = Client(server.url, made["token"])
        other = client.ok("POST", "/organizations", {"name": "The other organization"})
        neighbour = Client(server.url, other["token"])
        receiver = stack.enter_context(ScriptedReceiver())
        add_channels(client, made["organization_id"], [f"{receiver.url}{number}" for number in range(CHANNELS)])
        if beside == OTHER:
            add_channels(neighbour, other["id"], stack.enter_context(other_receivers("--hostile")))
        elif beside != NONE:
            kind = "--healthy" if beside == MORE else "--hostile"
            add_channels(client, made["organization_id"], stack.enter_context(other_receivers(kind)))
        for _ in range(5):  # warm up connections, statements and code
            client.ok("POST", "/runs", {"name": "warm-up"})
            neighbour.ok("POST", "/runs", {"name": "warm-up"})
        receiver.wait_for(5 * CHANNELS, 30)
        time.sleep(2)  # the storm that the warm-up made at the other channels is over
        with resident_growth(server.process.pid) as growth:
            sent = report(client, neighbour)
            expected = (5 + RUNS) * CHANNELS
            requests = receiver.wait_for(expected, 60)[5 * CHANNELS :]
        waits = sorted((request.arrived_at - sent[_run(request.body)]) / 1000 for request in requests)
        return statistics.median(waits), waits[int(len(waits) * 0.99)], growth[0]


@contextmanager
def other_receivers(kind: str) -> Iterator[list[str]]:
    """The URLs of 50 receivers, in a separate process so as not to slow down the first 50."""
    command = [sys.executable, "-m", "benchmarks.isolation", kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def receive(*, hostile: bool) -> None:
    """Runs 50 receivers until stdin ends."""
    with ExitStack() as stack:
        scripts = [[HOSTILE[number % len(HOSTILE)]] if hostile else [] for number in range(CHANNELS)]
        print(*(stack.enter_context(ScriptedReceiver(script)).url for script in scripts), flush=True)
        sys.stdin.read()


def add_channels(client: Client, organization_id: int, urls: list[str]) -> None:
    """Adds one WebHook channel for each URL, subscribed to starts only."""
    for number, url in enumerate(urls):
        client.ok(
            "POST",
            f"/organizations/{organization_id}/channels",
            {
                "kind": "webhook",
                "name": f"channel {number}",
                "settings": {"url": url},
                "subscription": {"events": ["test.started"]},
            },
        )


def report(client: Client, neighbour: Client) -> dict[int, int]:
    """Reports runs of both organizations at a fixed rate; returns the first's times of sending, in microseconds."""
    body: dict[int, int] = {}
    began = time.monotonic()
    for number in range(RUNS):
        time.sleep(max(0.0, began + number * SECONDS_BETWEEN - time.monotonic()))
        at = time.time_ns() // 1000
        body[client.ok("POST", "/runs", {"name": f"run {number}"})["id"]] = at
        time.sleep(max(0.0, began + (number + 0.5) * SECONDS_BETWEEN - time.monotonic()))
        neighbour.ok("POST", "/runs", {"name": f"run {number}"})
    return body


@contextmanager
def resident_growth(pid: int) -> Iterator[list[float]]:
    """The largest growth of the process's memory while the block runs, in MiB."""
    process = psutil.Process(pid)
    start = process.memory_info().rss
    growth, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            growth[0] = max(growth[0], (process.memory_info().rss - start) / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield growth
    finally:
        stop.set()
        watcher.join()


def _run(body: bytes) -> int:
    return int(body.split(b'"load_test_run_id":')[1].split(b",")[0])


if __name__ == "__main__":
    if sys.argv[1:] in (["--hostile"], ["--healthy"]):
        receive(hostile=sys.argv[1] == "--hostile")
    else:
        main()
