"""
Does a Slack channel with far more messages than Slack accepts hold up another channel?

One organization reports a run every 100 ms (open loop), ten times what Slack accepts. It has 10 WebHook channels, and
either no others (the baseline) or 10 Slack channels to fakes that accept one message a second, so that a backlog keeps
growing. Prints p50 and p99 from sending the report to the request's arrival at the WebHook receivers, their ratio to
the baseline, and how many messages Slack accepted and refused. Rounds are interleaved; medians are compared.

    python -m benchmarks.rates [rounds]
"""

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from loadbell.testing import FakeSlack, ScriptedReceiver
from tests.support.server import Client, Server, set_up

CHANNELS = 10
RUNS = 300
SECONDS_BETWEEN = 0.1
WARM_UP = 5


def main() -> None:
    """Runs the rounds and prints the comparison."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    results: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for number in range(rounds):
        for beside, items in results.items():
            items.append(measure(beside=beside))
            kind = "beside Slack with a backlog" if beside else "alone"
            print(f"round {number + 1}, {kind:27} p50 {items[-1][0]:6.1f} ms, p99 {items[-1][1]:6.1f} ms", flush=True)
    p50, p99 = (
        statistics.median(pair[at] for pair in results[True]) / statistics.median(pair[at] for pair in results[False])
        for at in (0, 1)
    )
    print(f"beside Slack to alone: p50 x{p50:.2f}, p99 x{p99:.2f} (medians of {rounds} rounds)")


def measure(*, beside: bool) -> tuple[float, float]:
    """One run of the load: p50 and p99 in milliseconds."""
    with ExitStack() as stack:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = set_up(data_dir)
        server = stack.enter_context(Server(data_dir))
        client = Client(server.url, made["token"])
        receiver = stack.enter_context(ScriptedReceiver())
        slacks = [stack.enter_context(FakeSlack()) for _ in range(CHANNELS if beside else 0)]
        for number in range(CHANNELS):
            _add(client, made["organization_id"], "webhook", f"{receiver.url}{number}")
        for slack in slacks:
            _add(client, made["organization_id"], "slack", slack.webhook_url)
        for _ in range(WARM_UP):
            client.ok("POST", "/runs", {"name": "warm-up"})
        receiver.wait_for(WARM_UP * CHANNELS, 30)
        time.sleep(2)
        sent: dict[int, int] = {}
        began = time.monotonic()
        for number in range(RUNS):
            time.sleep(max(0.0, began + number * SECONDS_BETWEEN - time.monotonic()))
            at = time.time_ns() // 1000
            sent[client.ok("POST", "/runs", {"name": f"run {number}"})["id"]] = at
        requests = receiver.wait_for((WARM_UP + RUNS) * CHANNELS, 60)[WARM_UP * CHANNELS :]
        if slacks:
            took, refused = sum(len(slack.posted) for slack in slacks), sum(len(slack.refused) for slack in slacks)
            print(f"  Slack took {took} and refused {refused}, of {RUNS * CHANNELS} notifications", flush=True)
        waits = sorted((request.arrived_at - sent[_run(request.body)]) / 1000 for request in requests)
        return statistics.median(waits), waits[int(len(waits) * 0.99)]


def _add(client: Client, organization_id: int, kind: str, url: str) -> None:
    subscription = {"events": ["test.started"]}
    body = {"kind": kind, "name": f"{kind} {url}"[:50], "settings": {"url": url}, "subscription": subscription}
    client.ok("POST", f"/organizations/{organization_id}/channels", body)


def _run(body: bytes) -> int:
    return int(body.split(b'"load_test_run_id":')[1].split(b",")[0])


if __name__ == "__main__":
    main()
