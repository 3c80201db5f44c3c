"""
How long does the server take for each list, with 1,000,000 deliveries and 100,000 runs in one organization?

Requests each page and each list of the REST API from a real server without a worker (SQLite, then PostgreSQL), one
after the other, with filters that match all, few and none, at the newest and at an old place. Measures p50 and p95 from
sending a request on an open connection to the complete response, a little more than the server's own time. Prints the
ratio to the same with 1,000 deliveries and 100 runs. Fails when a p95 is over 100 ms.

    python -m benchmarks.pages [--deliveries N] [--runs M] [--requests R] [--only sqlite|postgresql]
"""

import argparse
import http.client
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from loadbell.domain.ids import rfc3339
from loadbell.entry.paging import cursor_after
from tests.support.filling import Place, fill
from tests.support.postgres import Databases, running_postgres
from tests.support.server import Client, Server, run_loadbell, server_environment, set_up
from tests.support.stores import DAY, KEY
from tests.web.browser import Browser

MAX_MS = 100.0
CHANNELS, PROJECTS = 5, 4
SMALL = 1_000, 100
SERVE = ("serve", "--port", "0", "--no-worker")

API_RUNS = "/api/v1/runs"
API_LOG = "/api/v1/organizations/{organization}/deliveries"
LOG = "/organizations/{organization}/deliveries"
API_CHANNEL_LOG = "/api/v1/channels/{channel}/deliveries"
ADDRESSES: tuple[tuple[str, dict[str, str]], ...] = (
    (API_RUNS, {}),
    (API_RUNS, {"result": "failed"}),
    (API_RUNS, {"status": "9"}),
    (API_RUNS, {"project_id": "{project}"}),
    (API_RUNS, {"source": "k6", "result": "unknown", "project_id": "{project}"}),
    (API_RUNS, {"source": "locust"}),
    (API_RUNS, {"cursor": "{old_run}", "limit": "200"}),
    ("/api/v1/runs/{run}/deliveries", {}),
    (API_LOG, {}),
    (API_LOG, {"status": "delivered"}),
    (API_LOG, {"status": "failed"}),
    (API_LOG, {"status": "pending"}),
    (API_LOG, {"status": "cancelled"}),
    (API_LOG, {"event": "test.started"}),
    (API_LOG, {"event": "test.notification_channel"}),
    (API_LOG, {"status": "failed", "event": "test.notification_channel"}),
    (API_LOG, {"since": "{week_ago}"}),
    (API_LOG, {"since": "{week_ago}", "event": "test.notification_channel"}),
    (API_LOG, {"until": "{old}", "status": "failed"}),
    (API_CHANNEL_LOG, {}),
    (API_CHANNEL_LOG, {"status": "failed"}),
    (API_CHANNEL_LOG, {"status": "cancelled"}),
    (API_CHANNEL_LOG, {"until": "{old}", "limit": "200"}),
    ("/api/v1/organizations/{organization}/audit", {}),
    ("/api/v1/organizations/{organization}/audit", {"action": "run.forgotten"}),
    ("/runs", {}),
    ("/runs", {"result": "failed"}),
    ("/runs", {"open": "1"}),
    ("/runs", {"status": "9"}),
    ("/runs", {"q": "no test has this name"}),
    ("/runs", {"project_id": "{project}", "source": "locust"}),
    ("/runs", {"cursor": "{old_run}"}),
    ("/organizations", {}),
    (LOG, {}),
    (LOG, {"status": "failed"}),
    (LOG, {"status": "pending", "period": "week"}),
    (LOG, {"event": "test.notification_channel"}),
    (LOG, {"channel_id": "{channel}", "status": "cancelled"}),
    (LOG, {"status": "failed", "event": "test.notification_channel"}),
    ("/organizations/{organization}/notifications", {}),
    ("/organizations/{organization}/audit", {}),
    ("/organizations/{organization}/audit", {"action": "run.forgotten"}),
    ("/organizations/{organization}/members", {}),
    ("/organizations/{organization}/projects", {}),
    ("/organizations/{organization}/tokens", {}),
    ("/channels/{channel}", {}),
    ("/channels/{paused}", {}),
    ("/runs/{run}", {}),
    ("/account", {}),
)
"""The requests. A page that the server doesn't have is skipped, and the output says so."""


@dataclass(frozen=True)
class Times:
    """How long a response took, in milliseconds."""

    p50: float
    p95: float


def main() -> None:
    """Measures on both stores and prints the tables."""
    asked = argparse.ArgumentParser(prog="benchmarks.pages")
    asked.add_argument("--deliveries", type=int, default=1_000_000)
    asked.add_argument("--runs", type=int, default=100_000)
    asked.add_argument("--requests", type=int, default=60)
    asked.add_argument("--only", choices=("sqlite", "postgresql"))
    options = asked.parse_args()
    slow = []
    for kind in (options.only,) if options.only else ("sqlite", "postgresql"):
        small = measure(kind, *SMALL, options.requests)
        large = measure(kind, options.deliveries, options.runs, options.requests)
        print(f"{kind}: {options.deliveries} deliveries, {options.runs} runs; ratio to {SMALL[0]} and {SMALL[1]}")
        for address, times in large.items():
            if times is None:
                print(f"  {address:100} doesn't exist")
                continue
            base = small[address]
            ratio = "" if base is None else f"x{times.p50 / base.p50:.1f} of {base.p50:.1f} ms"
            print(f"  {address:100} p50 {times.p50:6.1f} ms  p95 {times.p95:6.1f} ms  {ratio}")
            if times.p95 >= MAX_MS:
                slow.append(f"{kind} {address}")
        print(flush=True)
    print(f"p95 under {MAX_MS:.0f} ms: " + (f"not so for {', '.join(slow)}" if slow else "everywhere"))
    sys.exit(1 if slow else 0)


def measure(kind: str, deliveries: int, runs: int, requests: int) -> dict[str, Times | None]:
    """The times of each address, in a store of that size; None: the server doesn't have it."""
    with tempfile.TemporaryDirectory() as folder, settings(kind) as environment:
        data_dir = Path(folder)
        body = set_up(data_dir, environment)
        with Server(data_dir, environment, arguments=SERVE) as server:
            place, values = furnish(Client(server.url, body["token"]), body)
        began = time.monotonic()
        url = environment.get("LOADBELL_DATABASE_URL", f"sqlite:///{data_dir / 'loadbell.sqlite3'}")
        fill(url, place, runs=runs, deliveries=deliveries)
        print(f"{kind}: filled in {time.monotonic() - began:.0f} s", flush=True)
        values |= {"run": str(runs - runs // 3), "old_run": str(cursor_after(runs // 10))}
        with Server(data_dir, environment, arguments=SERVE) as server:
            browser = Browser(server.url)
            page = browser.sign_in("owner@example.org", body["password"])
            assert page.status == 303, page.words
            credentials = {
                "Authorization": f"Bearer {body['token']}",
                "Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items()),
                "Accept": "text/html,*/*;q=0.8",
            }
            return {
                format_address(path, query): send_requests(server.url, path, query, values, credentials, requests)
                for path, query in ADDRESSES
            }


@contextmanager
def settings(kind: str) -> Iterator[dict[str, str]]:
    """The environment of a server on a migrated, empty database of that kind."""
    if kind == "sqlite":
        yield {}
        return
    with running_postgres() as postgres:
        databases = Databases(postgres.url)
        environment = {"LOADBELL_DATABASE_URL": databases.create(), "LOADBELL_SECRET_KEY": KEY}
        databases.close()
        with tempfile.TemporaryDirectory() as folder:
            process = run_loadbell("migrate", environment=server_environment(Path(folder), environment))
        assert process.returncode == 0, process.stderr
        yield environment


def furnish(client: Client, made: dict[str, Any]) -> tuple[Place, dict[str, str]]:
    """Adds channels and projects; where rows belong, and what stands for the names in addresses."""
    organization = made["organization_id"]
    channels = [
        client.ok(
            "POST",
            f"/organizations/{organization}/channels",
            {"kind": "webhook", "name": f"channel {number}", "settings": {"url": "http://127.0.0.1:9/hook"}},
        )["id"]
        for number in range(CHANNELS)
    ]
    others = [
        client.ok("POST", f"/organizations/{organization}/projects", {"name": f"project {number}"})["id"]
        for number in range(PROJECTS - 1)
    ]
    place = Place(organization, made["user_id"], [made["project_id"], *others], channels)
    now = time.time_ns() // 1000
    return place, {
        "organization": str(organization),
        "channel": str(channels[0]),
        "paused": str(channels[-1]),
        "project": str(others[-1]),
        "week_ago": rfc3339(now - 7 * DAY),
        "old": rfc3339(now - 80 * DAY),
    }


def send_requests(  # noqa: PLR0913, PLR0917 - where, what, as whom and how often
    url: str, path: str, query: dict[str, str], values: dict[str, str], credentials: dict[str, str], requests: int
) -> Times | None:
    """Requests one address repeatedly on one connection; None: there is no such page."""
    parts = urlsplit(url)
    target = path.format(**values)
    if query:
        target += "?" + urlencode({name: value.format(**values) for name, value in query.items()})
    headers = {"Accept": credentials["Accept"]}
    name = "Authorization" if path.startswith("/api/") else "Cookie"  # no cookie opens the API
    headers[name] = credentials[name]
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    taken = []
    try:
        for number in range(requests + 3):  # the first ones warm up
            began = time.perf_counter()
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
            body = response.read()
            if number >= 3:
                taken.append((time.perf_counter() - began) * 1000)
            if response.status == 404:
                return None
            assert response.status == 200, f"{target}: {response.status} {body[:300]!r}"
    finally:
        connection.close()
    return Times(statistics.median(taken), statistics.quantiles(taken, n=20)[-1])


def format_address(path: str, query: dict[str, str]) -> str:
    """The address as it is printed."""
    return path + ("?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else "")


if __name__ == "__main__":
    main()
