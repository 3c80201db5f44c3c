"""
What do 50 simultaneous k6 runs cost, and do they delay deliveries?

A server on SQLite has one WebHook channel. First it is idle; then 50 runs push every 3 s, from another process, what a
real k6 pushed (the largest push of a recorded ramp, its times moved to now). With `large`, a push is that of a busier
test: 20 addresses with 7 histograms of 200 log-normal values each. In both halves a run is reported by REST every 250
ms (open loop). Prints the server's CPU in seconds per 60 s, its memory growth, and p50 and p99 from sending the report
to the request's arrival at the receiver, beside those of the idle half.

    python -m benchmarks.k6 [seconds of each half] [runs] [large]
"""

import http.client
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from loadbell.sources.k6_points import _decompress_snappy, _MetricSet
from loadbell.testing.receiver import ScriptedReceiver
from tests.sources.recordings import recording
from tests.support.k6_pushes import compress, empty, trend
from tests.support.server import Client, Server, set_up

BETWEEN_PUSHES_S = 3.0
SECONDS_BETWEEN = 0.25
MIB = 2**20


def main() -> None:
    """Measures both halves and prints the comparison."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    with tempfile.TemporaryDirectory() as folder:
        body = set_up(Path(folder))
        with Server(Path(folder)) as server, ScriptedReceiver() as receiver:
            client = Client(server.url, body["token"])
            channel = {
                "kind": "webhook", "name": "receiver", "settings": {"url": receiver.url},
                "subscription": {"events": ["test.finished"]},
            }  # fmt: skip
            client.ok("POST", f"/organizations/{body['organization_id']}/channels", channel)
            process = psutil.Process(server.process.pid)
            report(client, receiver, 5)
            idle = measure_half(client, receiver, process, seconds)
            ids = [client.ok("POST", "//v1/tests", {"name": f"ramp {n}"})["reference_id"] for n in range(runs)]
            pushing = multiprocessing.Process(target=push_all, args=(server.url, body["token"], ids, seconds + 6))
            pushing.start()
            time.sleep(BETWEEN_PUSHES_S)
            busy = measure_half(client, receiver, process, seconds)
            pushing.join()
            kept = client.ok("GET", f"/runs/{ids[0]}")["metrics"]
            print(f"one run's metrics at the end: {kept}")
    for name, (cpu, growth, p50, p99) in (("idle", idle), (f"{runs} runs", busy)):
        print(f"{name}: CPU {cpu:.1f} s per 60 s, memory {growth:+.0f} MiB, deliveries p50 {p50:.1f}, p99 {p99:.1f} ms")
    print(f"deliveries beside the pushes: p50 x{busy[2] / idle[2]:.2f}, p99 x{busy[3] / idle[3]:.2f}")


def measure_half(
    client: Client, receiver: ScriptedReceiver, process: psutil.Process, seconds: float
) -> tuple[float, float, float, float]:
    """CPU seconds per minute, growth in MiB, p50 and p99 in ms."""
    before, memory, began = sum(process.cpu_times()[:2]), process.memory_info().rss, time.monotonic()
    waits = report(client, receiver, seconds)
    took = time.monotonic() - began
    cpu = (sum(process.cpu_times()[:2]) - before) * 60 / took
    growth = (process.memory_info().rss - memory) / MIB
    return cpu, growth, statistics.median(waits), statistics.quantiles(waits, n=100)[98]


def report(client: Client, receiver: ScriptedReceiver, seconds: float) -> list[float]:
    """Milliseconds from each report to its arrival."""
    seen = len(receiver.requests)
    sent = []
    begin = time.monotonic()
    for number in range(int(seconds / SECONDS_BETWEEN)):
        time.sleep(max(begin + number * SECONDS_BETWEEN - time.monotonic(), 0))
        sent.append(time.time())
        client.ok("POST", "/runs", {"name": "reported", "status": 3})
    receiver.wait_for(seen + len(sent), 30)
    arrived = sorted(request.arrived_at / 1e6 for request in receiver.requests[seen:])
    return [1000 * (at - then) for at, then in zip(arrived, sent, strict=True)]


def push_all(url: str, token: str, ids: list[str], seconds: float) -> None:
    """Pushes for all runs, each every 3 s, spread over these, until ``seconds`` are over."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    headers = {
        "Authorization": f"Token {token}",
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
    }
    said = large() if "large" in sys.argv else largest()
    first = min(times(said))
    begin = time.monotonic()
    for number in range(int(seconds / BETWEEN_PUSHES_S)):
        moved = _MetricSet()
        moved.CopyFrom(said)
        shift(moved, int(time.time()) // 3 * 3 - first)
        body = compress(moved)
        for at, run_id in enumerate(ids):
            due = begin + (number + at / len(ids)) * BETWEEN_PUSHES_S
            time.sleep(max(due - time.monotonic(), 0))
            connection.request("POST", f"/v2/metrics/{run_id}", body, headers)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"a push was answered {response.status}")


def largest() -> Any:
    """The largest push of the ramp."""
    pushes = [body for _, body in recording("v2-run-ramp").pushes]
    return _MetricSet.FromString(_decompress_snappy(max(pushes, key=len)))


def large() -> Any:
    """A push of a busy test."""
    chance = random.Random(6)
    said = empty()
    for name in ("duration", "waiting", "blocked", "connecting", "tls_handshaking", "sending", "receiving"):
        metric = said.metrics.add(name=f"http_req_{name}")
        for address in range(20):
            series = metric.time_series.add()
            series.labels.add(name="name", value=f"https://shop.example.org/{address}")
            trend(series, 1_000_000_002, [chance.lognormvariate(5, 0.7) for _ in range(200)])
    for name in ("http_reqs", "iterations"):
        series = said.metrics.add(name=name).time_series.add()
        series.counter_samples.values.add(time={"seconds": 1_000_000_002}, value=4000)
    return said


def samples(said: Any) -> list[Any]:
    """All values of all series."""
    return [
        value
        for metric in said.metrics
        for series in metric.time_series
        for kind in ("counter_samples", "gauge_samples", "rate_samples", "trend_hdr_samples")
        for value in getattr(series, kind).values
    ]


def times(said: Any) -> list[int]:
    """The moments that it speaks of."""
    return [value.time.seconds for value in samples(said)]


def shift(said: Any, by: int) -> None:
    """Moves all of it by seconds."""
    for value in samples(said):
        value.time.seconds += by


if __name__ == "__main__":
    main()
