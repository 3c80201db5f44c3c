"""``loadbell wrap`` and the workers of a Locust master: one that is lost is named, and nothing has passed then."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loadbell.client.exit_codes import ToolResult
from loadbell.client.locust_log import find_lost_workers
from tests.client.conftest import wrap_command
from tests.client.stub import Stub
from tests.client.test_locust import locust
from tests.support.server import wait_until

LOG = """\
[2026-11-23 18:00:00,003] master/INFO/locust.runners: {old} (index 0) reported as ready. 1 workers connected.
[2026-11-23 18:00:09,003] master/INFO/locust.runners: Worker {old} failed to send heartbeat, setting state to missing.
[{now},003] master/INFO/locust.runners: a_1 (index 0) reported as ready. 1 workers connected.
[{now},003] master/INFO/locust.runners: b_2 (index 1) reported as ready. 2 workers connected.
[{now},003] master/INFO/locust.runners: c_3 (index 2) reported as ready. 3 workers connected.
[{now},003] master/INFO/locustfile: Worker d_4 failed to send heartbeat, setting state to missing.
[{now},003] master/INFO/locust.runners: Worker c_3 failed to send heartbeat, setting state to missing.
[{now},003] master/INFO/locust.runners: Worker c_3 self-healed with heartbeat, setting state to running.
\x00\xff not a line of Locust's
"""
GONE = "[{now},003] master/INFO/locust.runners: Worker {name} failed to send heartbeat, setting state to missing.\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder and home of its own: Locust reads its options in both."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("lost", "sentence"),
    [
        ([], None),
        (["a_1"], "1 of 3 workers was lost: a_1"),
        (["a_1", "b_2"], "2 of 3 workers were lost: a_1, b_2"),
        (["e_5"], "1 of 4 workers was lost: e_5"),
        ([f"w_{n}" for n in range(9)], "9 of 12 workers were lost: w_0, w_1, w_2, w_3, w_4, and 4 more"),
    ],
)
def test_lost_workers_are_named(folder: Path, lost: list[str], sentence: str | None) -> None:
    """By the log that the user asked for, of this run alone; one that came back is not lost."""
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    text = LOG.format(old="z_9", now=now) + "".join(GONE.format(now=now, name=name) for name in lost)
    (folder / "master.log").write_text(text, encoding="latin-1")
    began = time.time() - 1

    for command in (locust("--master --logfile master.log"), locust("--master", LOCUST_LOGFILE="master.log")):
        assert sentence == find_lost_workers(command, began)
    (folder / "locust.conf").write_text("master\nlogfile = master.log", encoding="utf-8")
    assert sentence == find_lost_workers(locust(), began)
    assert find_lost_workers(locust("--logfile missing.log"), began) is None
    assert find_lost_workers(locust("--logfile ."), began) is None


@pytest.mark.parametrize(
    ("former", "expected"),
    [
        (ToolResult(3, "unknown", "unknown whether a worker was lost"), (3, "unknown", "LOST")),
        (ToolResult(3, "passed"), (3, "unknown", "LOST")),
        (ToolResult(3, "unknown", "no request was made"), (3, "unknown", "no request was made; LOST")),
        (
            ToolResult(12, "failed", "exit code 1: requests failed"),
            (12, "failed", "exit code 1: requests failed; LOST"),
        ),
    ],
)
def test_an_end_with_a_lost_worker(former: ToolResult, expected: tuple[int, str, str]) -> None:
    """It is told beside all else, and leaves the result unknown unless it is failed anyway."""
    tool_result = former.without_workers("LOST")

    assert expected == (tool_result.status, tool_result.result, tool_result.note)


IN_PARTS = """
import gevent, os
from locust import HttpUser, constant, events, task
from locust.runners import MasterRunner

class Visitor(HttpUser):
    wait_time = constant(0.05)

    @task
    def visit(self):
        self.client.get("/")

@events.test_start.add_listener
def watch(environment, **_):
    def quit_when_told():
        while not os.path.exists("enough"):
            gevent.sleep(0.05)
        environment.runner.quit()

    if isinstance(environment.runner, MasterRunner):
        gevent.spawn(quit_when_told)
"""


@contextmanager
def distributed(environment: dict[str, str], folder: Path, target: str, *options: str) -> Iterator[Any]:
    """A wrapped master with two workers under load; gives the workers, and waits for the master's end afterwards."""
    (folder / "locustfile.py").write_text(IN_PARTS, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    at_master = ["--master-host", "127.0.0.1", "--master-port", port]
    called = [sys.executable, "-m", "locust", "-H", target]
    load = ["--headless", "--expect-workers", "2", "-u", "4", "-r", "4", "--only-summary", "--logfile", "master.log"]
    master = [*called, "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, *load]
    commands = [wrap_command(*options, "--", *master, "--json-file", "out")]
    commands += [[*called, "--worker", *at_master, "--logfile", f"worker{number}.log"] for number in range(2)]
    nothing = subprocess.DEVNULL
    started = [
        subprocess.Popen(command, cwd=folder, env=environment, stdin=nothing, stdout=nothing, stderr=nothing)
        for command in commands
    ]
    try:
        wait_until(lambda: "All users spawned" in _read(folder / "master.log"), timeout=200)
        yield started[1:]
        (folder / "enough").touch()
        assert 0 == started[0].wait(90)
    finally:
        for process in started:
            process.terminate()  # wrap passes it on
        for process in started:
            process.wait(90)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.mark.parametrize("options", [(), ("--fail-if", "failed_rate > 1%")])
def test_a_real_worker_that_is_killed(
    environment: dict[str, str], stub: Stub, folder: Path, target: str, options: tuple[str, ...]
) -> None:
    """Locust itself, with one of two workers killed: it is named, and nothing has passed, whatever limits were kept."""
    with distributed(environment, folder, target, *options) as workers:
        names = re.findall(r"(\S+) \(index \d\) reported as ready", _read(folder / "master.log"))
        workers[0].kill()
        wait_until(lambda: "setting state to missing" in _read(folder / "master.log"), timeout=200)
    note = stub.end["note"]

    assert (3, "unknown") == (stub.end["status"], stub.end["result"])
    assert note in {f"1 of 2 workers was lost: {name}" for name in names}
    assert stub.end["metrics"]["requests"] > 0
