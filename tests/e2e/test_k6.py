"""Real k6 against a real server: each way a test can end, and what happens to k6 when loadbell is not there."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadbell.client.k6 import config as k6_config
from loadbell.testing.receiver import ScriptedReceiver
from tests.conftest import K6
from tests.support.server import Client, Server, set_up, wait_until
from tests.support.working import free_port

pytestmark = pytest.mark.skipif(K6 is None, reason="needs a k6 binary: put k6 on the PATH, or set K6_BIN")

SCRIPT = """
import http from 'k6/http';
import exec from 'k6/execution';
import { check, sleep } from 'k6';

export const options = JSON.parse(__ENV.OPTIONS);

export function setup() {
  if (__ENV.SETUP === 'throw') throw new Error('broken');
  if (__ENV.SETUP === 'hang') sleep(30);
}

export default function () {
  const answer = http.get(__ENV.TARGET, { tags: { kind: 'probe' } });
  check(answer, { 'is 200': (r) => r.status === 200, 'is a teapot': (r) => r.status === 418 });
  if (__ENV.ABORT) exec.test.abort('enough');
  sleep(0.02);
}
"""

QUICK = {
    "K6_CLOUD_METRIC_PUSH_INTERVAL": "500ms",
    "K6_CLOUD_AGGREGATION_PERIOD": "1s",
    "K6_CLOUD_AGGREGATION_WAIT_PERIOD": "1s",
}
"""k6 pushes every few seconds; here it does so sooner, that the tests needn't wait for it."""

HOLDS = {"http_req_failed": ["rate<0.5"], "http_req_duration{kind:probe}": ["p(95)<5000", "avg<5000"]}
SILENCE_S = 4


@dataclass(frozen=True)
class Site:
    """A server, a token for k6, something to load, and who is told."""

    folder: Path
    port: int
    made: dict[str, Any]
    token: str
    receiver: ScriptedReceiver
    target: str

    @property
    def client(self) -> Client:
        """The owner's."""
        return Client(f"http://127.0.0.1:{self.port}", self.made["token"])

    def server(self, silence_s: int = 600) -> Server:
        """The server, on the same port each time; ``silence_s``: after how long it gives a silent run up."""
        watchdog = {"LOADBELL_WATCHDOG": f"{silence_s}s"}
        return Server(self.folder, watchdog, arguments=("serve", "--port", str(self.port)))

    def k6(self, options: Mapping[str, Any], *words: str, **environment: str) -> subprocess.Popen[str]:
        """k6 with our two variables, running the script with these options; ``words`` instead of `run --out cloud`.

        A variable that is empty is not set at all.
        """
        assert K6 is not None
        script = self.folder / "script.js"
        script.write_text(SCRIPT)
        ours = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "K6_NO_USAGE_REPORT": "true",
            "K6_CLOUD_HOST": f"http://127.0.0.1:{self.port}",
            "K6_CLOUD_TOKEN": self.token,
            "TARGET": self.target,
            "OPTIONS": json.dumps(options),
            **QUICK,
            **environment,
        }
        items = words or ("run", "--out", "cloud")
        summary = ["--summary-export", str(self.folder / "summary.json")] if "run" == items[0] else []
        return subprocess.Popen(
            [K6, *items, "--address", "", "--no-color", "--include-system-env-vars", *summary, str(script)],
            env={name: value for name, value in ours.items() if value},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def newest(self) -> dict[str, Any]:
        """The newest run."""
        body: dict[str, Any] = self.client.ok("GET", "/runs?limit=1")["items"][0]
        return body

    def events(self, run_id: int) -> list[tuple[str, int]]:
        """What the receiver was told of the run."""
        bodies = [json.loads(one.body) for one in self.receiver.requests]
        return [(one["event"], one["status"]) for one in bodies if one["load_test_run_id"] == run_id]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An installation that is not running yet."""
    body = set_up(tmp_path)
    port = free_port()
    with ScriptedReceiver() as receiver, ScriptedReceiver() as target:
        site = Site(tmp_path, port, body, "", receiver, target.url)
        with site.server():
            channel = {"kind": "webhook", "name": "receiver", "settings": {"url": receiver.url}}
            site.client.ok("POST", f"/organizations/{body['organization_id']}/channels", channel)
            token = site.client.ok("POST", "/tokens", {"name": "k6", "scope": "report"})["token"]
        yield Site(tmp_path, port, body, token, receiver, target.url)


def _wait_for_end(process: subprocess.Popen[str]) -> tuple[int, str]:
    printed, _ = process.communicate(timeout=90)
    return process.returncode, printed


CASES: dict[str, tuple[dict[str, Any], dict[str, str], int, int, str]] = {
    "normal end": ({"thresholds": HOLDS}, {}, 0, 3, "passed"),
    "nothing to prove": ({}, {}, 0, 3, "unknown"),
    "failed threshold": ({"thresholds": {"checks": ["rate>0.9"]}}, {}, 99, 12, "failed"),
    "abortOnFail": (
        {"duration": "60s", "thresholds": {"checks": [{"threshold": "rate>0.9", "abortOnFail": True}]}},
        {},
        99,
        11,
        "failed",
    ),
    "test.abort": ({}, {"ABORT": "1"}, 108, 6, "unknown"),
    "exception in setup": ({}, {"SETUP": "throw"}, 107, 9, "unknown"),
    "setup timeout": ({"setupTimeout": "1s"}, {"SETUP": "hang"}, 100, 4, "unknown"),
}
"""Options, environment, and what must come of it: k6's exit code, the run's status and its result."""


@pytest.mark.parametrize("case", CASES)
def test_each_end_is_told(site: Site, case: str) -> None:
    """k6 exits as without us, the run ends as it ended, and the receiver hears of its start and its end once each."""
    options, environment, code, status, result = CASES[case]
    with site.server():
        exit_code, printed = _wait_for_end(site.k6({"vus": 2, "duration": "2s", **options}, **environment))
        run = site.newest()
        wait_until(lambda: len(site.events(run["id"])) == 2)

        assert (code, status, result) == (exit_code, run["status"], run["result"]), printed
        assert [("test.started", 2), ("test.finished", status)] == site.events(run["id"])
        assert f"/runs/{run['id']}" in printed
        assert "script.js" == run["name"]


def test_our_figures_are_k6s(site: Site) -> None:
    """Percentiles are within 1 % of k6's own summary, counts are the same, and so are the values of thresholds."""
    with site.server():
        code, printed = _wait_for_end(site.k6({"vus": 5, "duration": "4s", "thresholds": HOLDS}))
        run = site.newest()
    summary = json.loads((site.folder / "summary.json").read_text())["metrics"]
    times = summary["http_req_duration"]

    assert 0 == code, printed
    assert {"requests": summary["http_reqs"]["count"], "iterations": summary["iterations"]["count"]} == {
        name: run["metrics"][name] for name in ("requests", "iterations")
    }
    assert pytest.approx(times["p(95)"], rel=0.01) == run["metrics"]["p95_ms"]
    assert pytest.approx(times["med"], rel=0.01) == run["metrics"]["p50_ms"]
    assert pytest.approx(0.5) == run["metrics"]["checks_rate"]
    assert 5 == run["metrics"]["vus"]
    values = {one["expression"]: one["value"] for one in run["thresholds"]}
    assert pytest.approx(times["p(95)"], rel=0.01) == values["http_req_duration{kind:probe}: p(95)<5000"]
    assert pytest.approx(times["avg"], rel=0.01) == values["http_req_duration{kind:probe}: avg<5000"]
    assert "Failed checks: is a teapot" in run["note"]


def test_an_interrupt_is_an_abort_by_user(site: Site) -> None:
    """Ctrl-C ends the run as 6."""
    with site.server():
        process = site.k6({"vus": 1, "duration": "60s"})
        wait_until(lambda: bool(site.receiver.requests))
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        code, printed = _wait_for_end(process)

        assert (105, 6) == (code, site.newest()["status"]), printed


def test_a_killed_k6_times_out(site: Site) -> None:
    """After SIGKILL nothing is heard any more: the run ends as 4."""
    with site.server(SILENCE_S):
        process = site.k6({"vus": 1, "duration": "60s"})
        wait_until(lambda: bool(site.receiver.requests))
        time.sleep(1)
        process.kill()
        _wait_for_end(process)
        wait_until(lambda: site.newest()["ended_at"] is not None, timeout=30)
        run = site.newest()
        wait_until(lambda: len(site.events(run["id"])) == 2)

        assert (4, "unknown") == (run["status"], run["result"])


def test_abort_reaches_k6(site: Site) -> None:
    """Abort in loadbell stops k6 at its next push: 5, then 6, and k6 exits with 105."""
    with site.server():
        process = site.k6({"vus": 1, "duration": "60s"})
        wait_until(lambda: bool(site.receiver.requests))
        run = site.newest()
        asked = site.client.ok("POST", f"/runs/{run['id']}/abort", {})
        code, printed = _wait_for_end(process)
        wait_until(lambda: len(site.events(run["id"])) == 2)

        assert (5, 105, 6) == (asked["status"], code, site.newest()["status"]), printed


def test_a_restart_in_mid_test_loses_nothing_but_pushes(site: Site) -> None:
    """k6 goes on while loadbell restarts, and its end arrives."""
    with site.server() as server:
        process = site.k6({"vus": 1, "duration": "6s", "thresholds": HOLDS})
        wait_until(lambda: bool(site.receiver.requests))
        time.sleep(1.5)
        server.kill()
    time.sleep(1)
    with site.server():
        code, printed = _wait_for_end(process)
        run = site.newest()
        wait_until(lambda: len(site.events(run["id"])) == 2)

        assert (0, 3, "passed") == (code, run["status"], run["result"]), printed


def test_an_end_that_nobody_heard_is_silence(site: Site) -> None:
    """With loadbell down at the end k6 exits as ever; the run times out once loadbell is back."""
    with site.server(SILENCE_S) as server:
        process = site.k6({"vus": 1, "duration": "3s"})
        wait_until(lambda: bool(site.receiver.requests))
        server.kill()
    code, printed = _wait_for_end(process)
    with site.server(SILENCE_S):
        wait_until(lambda: site.newest()["ended_at"] is not None, timeout=30)

        assert (0, 4) == (code, site.newest()["status"]), printed


def test_k6_does_not_start_without_a_good_token(site: Site) -> None:
    """A wrong token is said in words that help, and the load test does not run (k6's own rule)."""
    with site.server():
        code, printed = _wait_for_end(site.k6({"vus": 1, "duration": "1s"}, K6_CLOUD_TOKEN="lb_wrong"))

        assert 255 == code
        assert "K6_CLOUD_TOKEN is no API token of this loadbell" in printed


def test_several_k6_push_to_one_run(site: Site) -> None:
    """As on Kubernetes: the run is announced and ended by REST, K6_OUT stands for --out; users are added up."""
    with site.server():
        report = Client(site.client.url, site.token)
        body = {"name": "nightly", "status": 1, "source": "k6", "watchdog_s": 60}
        run = report.ok("POST", "/runs", body)["id"]
        shared = {"K6_OUT": "cloud", "K6_CLOUD_PUSH_REF_ID": str(run)}
        both = [site.k6({"vus": users, "duration": "4s"}, "run", **shared) for users in (2, 3)]
        assert [0, 0] == [_wait_for_end(one)[0] for one in both]
        found = report.ok("PATCH", f"/runs/{run}", {"status": 3, "result": "passed"})
        wait_until(lambda: len(site.events(run)) == 2)

        assert (3, 5) == (found["status"], found["metrics"]["vus"])
        assert [("test.started", 2), ("test.finished", 3)] == site.events(run)
        assert 1 == len(site.client.ok("GET", "/runs")["items"])


def test_a_file_is_enough(site: Site) -> None:
    """What `loadbell k6-config --json` prints does without variables."""
    config = site.folder / "loadbell.json"
    config.write_text(k6_config(f"http://127.0.0.1:{site.port}/", site.token))
    variables = ("K6_CLOUD_HOST", "K6_CLOUD_TOKEN")
    with site.server():
        words = ("run", "--config", str(config), "--out", "cloud")
        code, printed = _wait_for_end(site.k6({"vus": 1, "duration": "1s"}, *words, **dict.fromkeys(variables, "")))

        assert (0, 3) == (code, site.newest()["status"]), printed


def test_k6_says_that_a_channel_is_paused(site: Site) -> None:
    """In its console, by name, before the test begins."""
    with site.server():
        channel = site.client.ok("GET", f"/organizations/{site.made['organization_id']}/channels")["items"][0]
        site.client.ok("POST", f"/channels/{channel['id']}/pause")
        _, printed = _wait_for_end(site.k6({"vus": 1, "duration": "1s"}))

        assert "the channel receiver is paused" in printed


def test_local_execution(site: Site) -> None:
    """`k6 cloud run --local-execution`, which up to k6 2.1 announces the run by a form with the test's archive."""
    version = subprocess.run([str(K6), "version"], capture_output=True, text=True, timeout=30, check=True).stdout
    if not re.match(r"\S+ v[01]\.", version):
        pytest.skip("needs a k6 binary of version 1: later ones speak another protocol here")
    with site.server():
        words = ("cloud", "run", "--local-execution")
        stack = {"K6_CLOUD_STACK_ID": "42", "K6_CLOUD_PROJECT_ID": str(site.made["project_id"])}
        code, printed = _wait_for_end(site.k6({"vus": 1, "duration": "2s", "thresholds": HOLDS}, *words, **stack))
        run = site.newest()

        assert (0, 3, "passed") == (code, run["status"], run["result"]), printed
        assert all(one["value"] is not None for one in run["thresholds"])
