"""
What does a notification cost, from the report over HTTP to the recorded attempt?

Reports runs to a server, first for an organization without channels, then for one with channels whose receiver is in
another process. Prints for each store the CPU time of a report and of a notification, in microseconds, for the server
and for PostgreSQL. CPU time is comparable on a machine that is busy with other work. With the folder of another version
(a checkout with its own ``.venv``), it interleaves that version's rounds with ours and prints the ratios of the
medians. It uses only the public interface, so that any version can be compared.

    python -m benchmarks.delivery [FOLDER] [rounds]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.support.postgres import Databases, find_binaries, running_postgres
from tests.support.server import Client, server_environment, wait_until

RUNS, CHANNELS, AT_ONCE = 300, 10, 8
PARTS = ("report", "notification", "report in PostgreSQL", "notification in PostgreSQL")


def main() -> None:
    """Runs the rounds and prints the comparison."""
    numbers = [word for word in sys.argv[1:] if word.isdigit()]
    folders = [Path.cwd(), *(Path(word).resolve() for word in sys.argv[1:] if not word.isdigit())]
    rounds = int(numbers[0]) if numbers else 3
    compare("sqlite", folders, rounds, None)
    if find_binaries() is None:
        print("postgresql: not measured, because its programs are not installed here")
        return
    with running_postgres(durable=True) as server:
        compare("postgresql", folders, rounds, server.url)


def compare(store: str, folders: list[Path], rounds: int, admin_url: str | None) -> None:
    """Measures each version in turn."""
    found: dict[Path, list[list[float]]] = {folder: [] for folder in folders}
    for number in range(rounds):
        for folder, measured in found.items():
            measured.append(measure(folder, admin_url))
            shown = (f"{name} {value:5.0f} us" for name, value in zip(PARTS, measured[-1], strict=True) if value)
            print(f"{store}, round {number + 1}, {folder.name:10}", ", ".join(shown), flush=True)
    ours, *others = [[statistics.median(part) for part in zip(*found[folder], strict=True)] for folder in folders]
    for other in others:
        ratios = ((name, mine / theirs) for name, mine, theirs in zip(PARTS, ours, other, strict=True) if theirs)
        print(f"{store}, ours to the other:", ", ".join(f"{name} x{ratio:.2f}" for name, ratio in ratios))


def measure(folder: Path, admin_url: str | None) -> list[float]:
    """One round of the version in ``folder``, on SQLite or on a new database of a server."""
    with ExitStack() as stack:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = dict(server_environment(data_dir, None))
        postmaster = None
        if admin_url is not None:
            databases = Databases(admin_url)
            stack.callback(databases.close)
            environment["LOADBELL_DATABASE_URL"] = databases.create()
            environment["LOADBELL_SECRET_KEY"] = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
            port = admin_url.rpartition(":")[2].partition("/")[0]
            postmaster = next(one for one in psutil.process_iter(["name"]) if _serves(one, port))
            _loadbell(folder, environment, "migrate")
        command = ("setup", "--organization", "Bench", "--email", "bench@example.org", "--json")
        made = json.loads(_loadbell(folder, environment, *command))
        server, url = stack.enter_context(_serving(folder, environment))
        client = Client(url, made["token"])
        _report(client, 20)
        before = _used(server, postmaster)
        _report(client, RUNS)
        between = _used(server, postmaster)
        receiver = stack.enter_context(_receiving())
        for number in range(CHANNELS):
            body = {"kind": "webhook", "name": f"{number}", "settings": {"url": f"{receiver}{number}"}}
            client.ok("POST", f"/organizations/{made['organization_id']}/channels", body)
        began = _used(server, postmaster)
        _report(client, RUNS)
        pending = f"/organizations/{made['organization_id']}/deliveries?limit=1&status="
        wait_until(
            lambda: not any(client.ok("GET", pending + one)["items"] for one in ("pending", "sending")), 120, 0.5
        )
        after = _used(server, postmaster)
    reports = [(end - start) / RUNS for start, end in zip(before, between, strict=True)]
    whole = [(end - start) / RUNS for start, end in zip(began, after, strict=True)]
    notifications = [(both - alone) / CHANNELS for both, alone in zip(whole, reports, strict=True)]
    return [value * 1e6 for both in zip(reports, notifications, strict=True) for value in both]


def _report(client: Client, count: int) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: client.ok("POST", "/runs", {"name": f"run {number}"}), range(count)))


def _loadbell(folder: Path, environment: Mapping[str, str], *words: str) -> str:
    command = [str(folder / ".venv" / "bin" / "loadbell"), *words]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout


@contextmanager
def _serving(folder: Path, environment: Mapping[str, str]) -> Iterator[tuple[psutil.Process, str]]:
    """The server's process and its URL."""
    command = [str(folder / ".venv" / "bin" / "loadbell"), "serve", "--port", "0"]
    quiet: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, env=environment, **quiet) as process:
        assert process.stdout is not None
        try:
            yield psutil.Process(process.pid), process.stdout.readline().rpartition(" ")[2].strip()
        finally:
            process.terminate()


_RECEIVER = """
from loadbell.testing import ScriptedReceiver
with ScriptedReceiver() as receiver:
    print(receiver.url, flush=True)
    input()
"""


@contextmanager
def _receiving() -> Iterator[str]:
    """The URL of a receiver in a process of its own."""
    command = [sys.executable, "-c", _RECEIVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("\n")


def _serves(process: psutil.Process, port: str) -> bool:
    return process.info["name"] == "postgres" and port in " ".join(process.cmdline())


def _used(server: psutil.Process, postmaster: psutil.Process | None) -> tuple[float, float]:
    """Seconds of CPU that the server and PostgreSQL have used."""
    own = server.cpu_times()
    theirs = 0.0
    if postmaster is not None:
        ended = postmaster.cpu_times()
        theirs = ended.user + ended.system + ended.children_user + ended.children_system
        theirs += sum(times.user + times.system for times in (child.cpu_times() for child in postmaster.children()))
    return own.user + own.system, theirs


if __name__ == "__main__":
    main()
