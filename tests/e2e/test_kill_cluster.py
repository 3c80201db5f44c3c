"""kill -9 of any process of an installation on PostgreSQL, servers and workers, loses nothing and needs no repair."""

import http.client
import random
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from loadbell.testing.receiver import Behaviour, Received, ScriptedReceiver, hang, reset, respond
from tests.support import processes
from tests.support.server import (
    ALLOW_LOOPBACK,
    Client,
    run_loadbell,
    server_environment,
    set_up,
    wait_until,
)

SERVERS, WORKERS, REPORTERS = 2, 3, 3
PLACES = ("lease", "post", "record")
KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
CRASHING = str(Path(__file__).parent.parent / "support" / "crashing_server.py")
FIRST_SEED = 5000
SOAK_PARTS = 25
KILLS_A_PART = 20


class Process:
    """One process of the installation; restarted after each kill, a worker in turn with a place where it dies."""

    def __init__(self, folder: Path, name: str, environment: dict[str, str], chance: random.Random) -> None:
        self.is_server = name.startswith("serve")
        self.url: str | None = None  #: of a server that answers
        self._log = folder / f"{name}.log"
        self._environment = environment
        self._chance = chance
        self._starting: threading.Thread | None = None
        self._process: processes.Process | None = None

    def start(self, *, dies: bool = True) -> None:
        """Starts it; a worker that ``dies`` may do so at a place of its own, by chance."""
        program: tuple[str, ...] = ("-m", "loadbell")
        arguments: tuple[str, ...] = ("serve", "--port", "0", "--no-worker")
        if not self.is_server:
            arguments = ("worker",)
            if dies and self._chance.random() < 0.5:
                program = (CRASHING, self._chance.choice(PLACES), str(self._chance.randrange(1, 6)))
        with self._log.open("ab") as log:
            self._process = processes.start(
                [*program, *arguments], env=self._environment, stdout=subprocess.PIPE, stderr=log
            )
        self._starting = threading.Thread(target=self._read_address, args=(self._process,), daemon=True)
        self._starting.start()

    def kill(self) -> None:
        """Kills it with SIGKILL, now, if it has not died at its place."""
        assert self._process is not None
        assert self._starting is not None
        self.url = None
        self._process.kill()
        self._process.wait()
        self._starting.join()
        self.url = None

    def _read_address(self, process: processes.Process) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.startswith("loadbell is listening on "):
                    self.url = line.removeprefix("loadbell is listening on ").strip()


class Reporter(threading.Thread):
    """A source that reports runs until told to stop, to whichever server answers, again until each is answered 2xx."""

    def __init__(self, servers: list[Process], token: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.runs: list[int] = []
        self.done = threading.Event()
        self._servers = servers
        self._token = token
        self._chance = random.Random(seed)

    def run(self) -> None:
        """Reports."""
        while not self.done.is_set():
            run = self._ask("POST", "/runs", {"name": "killed"})
            self.runs.append(run["id"])
            self._ask("PATCH", f"/runs/{run['id']}", {"status": 3, "result": "passed"})
            self.done.wait(self._chance.uniform(0.1, 0.3))

    def _ask(self, method: str, path: str, body: Any) -> Any:
        key = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        while True:
            url = self._chance.choice(self._servers).url
            try:
                answer = None if url is None else Client(url, self._token).call(method, path, body, headers=key)
            except (OSError, http.client.HTTPException):
                answer = None
            if answer is None or answer.status == 503:
                time.sleep(0.05)
                continue
            assert 200 <= answer.status < 300, answer.body
            return answer.json


class Receivers:
    """One receiver that is well, and three that fail, hang and reset until they are told to be well."""

    def __init__(self, seed: int) -> None:
        self._well = threading.Event()
        self._stack = ExitStack()
        self._kinds: dict[str, Behaviour] = {
            "well": respond(),
            "errors": respond(500),
            "hangs": hang(),
            "resets": reset(),
        }
        self._seed = seed

    def __enter__(self) -> Self:
        self.all = {
            kind: self._stack.enter_context(ScriptedReceiver(self._script(kind, bad)))
            for kind, bad in self._kinds.items()
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def recover(self) -> None:
        """From now on each answers well."""
        self._well.set()

    def _script(self, kind: str, bad: Behaviour) -> Any:
        chance = random.Random(f"{self._seed} {kind}")

        def choose(_: Received) -> Behaviour:
            return bad if not self._well.is_set() and chance.random() < 0.3 else respond()

        return choose


@contextmanager
def _installation(folder: Path, environment: dict[str, str], chance: random.Random) -> Iterator[list[Process]]:
    names = [f"serve{number}" for number in range(SERVERS)] + [f"worker{number}" for number in range(WORKERS)]
    processes = [Process(folder, name, environment, chance) for name in names]
    try:
        for process in processes:
            process.start()
        wait_until(lambda: all(process.url for process in processes if process.is_server), timeout=120)
        yield processes
    finally:
        for process in processes:
            process.kill()


def _kill_and_check(folder: Path, postgres_url: str, seed: int, kills: int) -> None:
    chance = random.Random(seed)
    changes = {
        "LOADBELL_DATABASE_URL": postgres_url,
        "LOADBELL_SECRET_KEY": KEY,
        "LOADBELL_BASE_URL": "http://127.0.0.1:8025",
        "LOADBELL_RETRY_SCHEDULE": ",".join(["100ms", "200ms", "300ms", *["500ms"] * 200]),
        "LOADBELL_SEND_TIMEOUT": "700ms",
        **ALLOW_LOOPBACK,
    }
    environment = server_environment(folder, changes)
    assert run_loadbell("migrate", environment=environment).returncode == 0
    body = set_up(folder, changes)
    with Receivers(seed) as receivers, _installation(folder, environment, chance) as processes:
        servers = [process for process in processes if process.is_server]
        client = Client(str(servers[0].url), body["token"])
        channels = {
            kind: client.ok(
                "POST",
                f"/organizations/{body['organization_id']}/channels",
                {"kind": "webhook", "name": kind, "settings": {"url": receiver.url}},
            )["id"]
            for kind, receiver in receivers.all.items()
        }
        reporters = [Reporter(servers, body["token"], seed + number) for number in range(REPORTERS)]
        for reporter in reporters:
            reporter.start()
        for _ in range(kills):
            time.sleep(chance.uniform(0.0, 1.0))  # the instant of a kill is what chance decides here
            process = chance.choice(processes)
            process.kill()
            process.start()
        for reporter in reporters:
            reporter.done.set()
        receivers.recover()
        wait_until(lambda: all(process.url for process in servers), timeout=120)
        for reporter in reporters:
            reporter.join(120)
            assert not reporter.is_alive(), "the reports were not answered"
        for process in processes:
            if not process.is_server:
                process.kill()
                process.start(dies=False)
        runs = {run for reporter in reporters for run in reporter.runs}
        client = Client(str(servers[0].url), body["token"])
        deliveries = _count_delivered(client, body["organization_id"])
        for kind, receiver in receivers.all.items():
            own = [item for item in deliveries if item["channel_id"] == channels[kind]]
            _check_channel(kind, own, receiver.requests, runs)
        _check_attempts(client, deliveries)
        assert sum(item["attempt_count"] > 1 for item in deliveries), "some had to be tried again"


def _count_delivered(client: Client, organization_id: int) -> list[dict[str, Any]]:
    """Everything in the log once nothing is left to do."""
    path = f"/organizations/{organization_id}/deliveries"
    open_ones = [f"{path}?status={status}&limit=1" for status in ("pending", "sending")]
    log: list[dict[str, Any]] = []

    def is_delivered() -> bool:
        # Between two of these requests one may have moved on from what is asked second to what was asked first.
        if not any(client.ok("GET", at)["items"] for at in open_ones):
            log[:] = _all(client, path)
        return bool(log) and not {item["status"] for item in log} & {"pending", "sending"}

    wait_until(is_delivered, timeout=180)
    assert {"delivered"} == {item["status"] for item in log}
    return log


def _check_channel(kind: str, deliveries: list[dict[str, Any]], requests: list[Received], runs: set[int]) -> None:
    expected = {(run, event) for run in runs for event in ("test.started", "test.finished")}
    by_news = {(item["run_id"], item["event"]): item["id"] for item in deliveries}
    assert expected == set(by_news), f"{kind}: each accepted report has a delivery of each event"
    assert len(expected) == len(deliveries), f"{kind}: and no second one"
    first_seen: dict[str, int] = {}
    for position, request in enumerate(requests):
        first_seen.setdefault(str(request.header("X-LoadImpact-ID")), position)
    assert set(by_news.values()) == set(first_seen), f"{kind}: each was sent, and nothing under another id"
    for run in runs:
        started, finished = first_seen[by_news[run, "test.started"]], first_seen[by_news[run, "test.finished"]]
        assert started < finished, f"{kind}: run {run}: finished was sent before started"


def _check_attempts(client: Client, deliveries: list[dict[str, Any]]) -> None:
    for item in deliveries:
        if item["attempt_count"] > 1:
            attempts = client.ok("GET", f"/deliveries/{item['id']}")["attempts"]
            assert list(range(1, len(attempts) + 1)) == [attempt["number"] for attempt in attempts]
            assert attempts[-1]["reason"] == "ok"


def _all(client: Client, path: str) -> Iterator[dict[str, Any]]:
    cursor = ""
    while True:
        page = client.ok("GET", f"{path}?limit=200{cursor}")
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


def test_kills_in_an_installation_lose_nothing(tmp_path: Path, postgres_url: str) -> None:
    """Five kills over two servers and three workers: each accepted report arrives, in order, under its one id."""
    _kill_and_check(tmp_path, postgres_url, FIRST_SEED, 5)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SOAK_PARTS))
def test_kills_in_an_installation_lose_nothing_in_the_long_run(tmp_path: Path, postgres_url: str, seed: int) -> None:
    """The same, five hundred kills in parts of twenty."""
    _kill_and_check(tmp_path, postgres_url, seed, KILLS_A_PART)
