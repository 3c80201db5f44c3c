"""
What do 500 open pages with live runs cost, and do they delay deliveries?

A server on SQLite has 10 WebHook channels, and either no open page or 500 pages of 25 people's sessions, whose streams
another process keeps open and reads. First nothing happens for 60 s, and the server's share of a core is printed. Then
a run is reported every 250 ms (open loop), which all pages show, at most once a second. Prints p50 and p99 from sending
the report to the request's arrival at the receivers, how many events the pages got, and how long the server took to
stop with all pages open. Rounds are interleaved; medians are compared.

    python -m benchmarks.live [rounds] [idle seconds]
"""

import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from loadbell.testing.receiver import ScriptedReceiver
from tests.support.server import Client, Server, set_up

PAGE = "/runs/live"
PAGES = 500
SESSIONS = 25
CHANNELS = 10
RUNS = 160
SECONDS_BETWEEN = 0.25
WARM_UP = 20


def main() -> None:
    """Runs the rounds and prints the comparison."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    idle = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    results: dict[int, list[tuple[float, float, float]]] = {0: [], PAGES: []}
    for number in range(rounds):
        for pages, found in results.items():
            found.append(measure(pages, idle))
            cores, p50, p99 = found[-1]
            print(
                f"round {number + 1}, {pages:3} pages: idle {cores:.4f} of a core, p50 {p50:.1f} ms, p99 {p99:.1f} ms",
                flush=True,
            )
    alone, beside = ([statistics.median(one[at] for one in found) for at in range(3)] for found in results.values())
    print(f"{PAGES} idle open pages take {beside[0] - alone[0]:.4f} of a core more")
    p50, p99 = beside[1] / alone[1], beside[2] / alone[2]
    print(f"deliveries beside them: p50 x{p50:.2f}, p99 x{p99:.2f} (medians of {rounds} rounds)")


def measure(pages: int, idle: float) -> tuple[float, float, float]:
    """One run: the part of a core that an idle server takes, then p50 and p99 of deliveries in milliseconds."""
    with ExitStack() as stack:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = set_up(data_dir)
        server = stack.enter_context(Server(data_dir))
        client = Client(server.url, made["token"])
        receiver = stack.enter_context(ScriptedReceiver())
        for number in range(CHANNELS):
            client.ok(
                "POST",
                f"/organizations/{made['organization_id']}/channels",
                {
                    "kind": "webhook",
                    "name": f"channel {number}",
                    "settings": {"url": f"{receiver.url}{number}"},
                    "subscription": {"events": ["test.started"]},
                },
            )
        for _ in range(WARM_UP):
            client.ok("POST", "/runs", {"name": "warm-up"})
        receiver.wait_for(WARM_UP * CHANNELS, 30)
        if pages:
            credentials = {"email": "owner@example.org", "password": made["password"]}
            sessions = [client.ok("POST", "/sessions", credentials)["session"] for _ in range(SESSIONS)]
            stack.enter_context(open_pages(server.url, pages, sessions))
        time.sleep(2)
        cores = cpu_share(server.process.pid, idle)
        sent: dict[int, int] = {}
        began = time.monotonic()
        for number in range(RUNS):
            time.sleep(max(0.0, began + number * SECONDS_BETWEEN - time.monotonic()))
            at = time.time_ns() // 1000
            sent[client.ok("POST", "/runs", {"name": f"run {number}"})["id"]] = at
        requests = receiver.wait_for((WARM_UP + RUNS) * CHANNELS, 60)[WARM_UP * CHANNELS :]
        stopping = time.monotonic()
        server.stop()
        print(f"  stopped within {time.monotonic() - stopping:.2f} s", flush=True)
        waits = sorted((request.arrived_at - sent[_run(request.body)]) / 1000 for request in requests)
        return cores, statistics.median(waits), waits[int(len(waits) * 0.99)]


def cpu_share(pid: int, seconds: float) -> float:
    """The process's share of a core over this time."""
    process = psutil.Process(pid)
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after, took = process.cpu_times(), time.monotonic() - began
    return float(after.user + after.system - before.user - before.system) / took


@contextmanager
def open_pages(url: str, pages: int, sessions: list[str]) -> Iterator[None]:
    """Keeps the streams of ``pages`` pages open, in a separate process."""
    command = [sys.executable, "-m", "benchmarks.live", "--pages", url, str(pages)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(" ".join(sessions) + "\n")
        process.stdin.flush()
        text = process.stdout.readline().strip()
        assert text == "open", text
        yield
    finally:
        process.stdin.close()
        print(process.stdout.read(), end="", flush=True)
        process.wait(30)
        process.stdout.close()


def follow(url: str, pages: int) -> None:
    """Opens the streams and reads them until stdin ends; prints when all have begun, and then how much arrived."""
    parts = urlsplit(url)
    sessions = sys.stdin.readline().split()
    watched = selectors.DefaultSelector()
    answered: set[int] = set()
    begun: set[int] = set()
    events = ended = octets = 0
    told = False
    for number in range(pages):
        stream = socket.create_connection((parts.hostname, parts.port))
        cookie = f"loadbell_session={sessions[number % len(sessions)]}"
        stream.sendall(f"GET {PAGE} HTTP/1.1\r\nHost: {parts.netloc}\r\nCookie: {cookie}\r\n\r\n".encode())
        watched.register(stream, selectors.EVENT_READ)
    watched.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fileobj is sys.stdin:
                print(f"  the pages got {events} events, {octets / 2**20:.1f} MiB; {ended} streams ended by themselves")
                return
            assert isinstance(key.fileobj, socket.socket)
            data = key.fileobj.recv(2**20)
            octets += len(data)
            if not data:
                watched.unregister(key.fileobj)
                ended += 1
            if data and key.fd not in answered:
                assert data.startswith(b"HTTP/1.1 200"), data[:200]
                answered.add(key.fd)
            if b"event: " in data:
                events += data.count(b"event: ")
                begun.add(key.fd)
                if len(begun) == pages and not told:
                    print("open", flush=True)
                    told = True


def _run(body: bytes) -> int:
    return int(body.split(b'"load_test_run_id":')[1].split(b",")[0])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--pages"]:
        follow(sys.argv[2], int(sys.argv[3]))
    else:
        main()
