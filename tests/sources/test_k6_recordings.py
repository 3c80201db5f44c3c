"""Recorded conversations of five k6 versions, replayed against a real server process: what k6 and the receiver get."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadbell.domain.measurements import Measurements, condense
from loadbell.runs.measurements import judge_current_thresholds
from loadbell.sources import k6_points
from loadbell.testing.receiver import Received, ScriptedReceiver
from tests.sources.recordings import NAMES, Recording, recording, say
from tests.support.server import Client, Server, set_up, wait_until

ENDS = {
    "normal": (3, "passed"),
    "check_fail": (3, "passed"),
    "throw_default": (3, "passed"),
    "threshold_fail": (12, "failed"),
    "threshold_abort": (11, "failed"),
    "sigint": (6, "unknown"),
    "sigterm": (6, "unknown"),
    "test_abort": (6, "unknown"),
    "restapi-stop": (6, "unknown"),
    "abort_and_threshold": (6, "failed"),
    "test_fail": (8, "unknown"),
    "fail_and_threshold": (12, "failed"),
    "throw_setup": (9, "unknown"),
    "throw_teardown": (9, "unknown"),
    "throw_vuinit": (9, "unknown"),
    "setup_timeout": (4, "unknown"),
    "teardown_timeout": (4, "unknown"),
    "sigkill": (4, "unknown"),
    "sigint-twice": (4, "unknown"),
}
"""How each case ends here, by what happened to k6: written from the legacy table, not from our code."""

BEFORE_FAIL = {"v057-local-test_fail", "v057-run-test_fail"}
"""k6 0.57 had no test.fail: the script threw, and the run went on to its end."""

MEASURED_NOTHING = {"v2-run-ramp"}
"""Its script makes no request and no check, which its thresholds ask for: that they held for k6 proves nothing."""

TEXTS = {
    3: "Finished", 4: "Timed out", 6: "Aborted by user", 8: "Aborted by system", 9: "Aborted by script error",
    11: "Aborted by threshold", 12: "Failed threshold",
}  # fmt: skip

SILENT = ["v2-run-sigkill", "v2-run-sigint-twice"]
"""k6 did not come to send its end."""


@dataclass(frozen=True)
class Site:
    """A server with one WebHook channel, and a token that may only report."""

    client: Client
    receiver: ScriptedReceiver
    made: dict[str, Any]
    token: str

    def list_requests(self, run_id: int) -> list[Received]:
        """What the receiver got of the run."""
        return [request for request in self.receiver.requests if json.loads(request.body)["load_test_run_id"] == run_id]

    def body(self, run: dict[str, Any], status: int, text: str, event: str) -> dict[str, Any]:
        """The documented body."""
        return {
            "status": status,
            "status_text": text,
            "user_id": self.made["user_id"],
            "name": run["name"],
            "organization_id": self.made["organization_id"],
            "load_test_id": run["test_id"],
            "load_test_run_id": run["id"],
            "project_id": self.made["project_id"],
            "event": event,
        }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for the tests of this module."""
    with served(tmp_path_factory.mktemp("recordings"), {}) as site:
        yield site


@pytest.fixture
def impatient_site(tmp_path: Path) -> Iterator[Site]:
    """A server that takes silence seriously after seconds."""
    with served(tmp_path, {"LOADBELL_WATCHDOG": "3s"}) as site:
        yield site


@contextmanager
def served(data_dir: Path, environment: dict[str, str]) -> Iterator[Site]:
    """A server process that tells a receiver."""
    body = set_up(data_dir)
    with ScriptedReceiver() as receiver, Server(data_dir, environment) as server:
        client = Client(server.url, body["token"])
        channel = {"kind": "webhook", "name": "receiver", "settings": {"url": receiver.url}}
        client.ok("POST", f"/organizations/{body['organization_id']}/channels", channel)
        token = client.ok("POST", "/tokens", {"name": "k6", "scope": "report", "trigger": "ci"})["token"]
        yield Site(client, receiver, body, token)


@pytest.mark.parametrize("name", [name for name in NAMES if recording(name).creates and recording(name).end])
def test_k6_is_understood(site: Site, name: str) -> None:
    """k6 gets answers with which it goes on; the run ends as it should; its start and its end are told once each."""
    check_replay(site, name)


@pytest.mark.parametrize("name", SILENT)
def test_a_k6_that_falls_silent_has_timed_out(impatient_site: Site, name: str) -> None:
    """Nothing is heard of its end: the run ends by itself, and that is told."""
    assert recording(name).end is None
    check_replay(impatient_site, name)


def check_replay(site: Site, name: str) -> None:
    """Says all of it again and looks at what came of it."""
    said = recording(name)
    answer = _say(site, said.requests[0], None)
    created = answer.json
    run_id = int(created["reference_id"])
    assert (200, str(run_id)) == (answer.status, created["reference_id"])
    assert {
        "testRunDetails": f"{site.client.url}/runs/{run_id}",
        "tracesEnabled": False,
        "stopOnError": True,
    } == created["config"]
    assert [] == created["logs"]
    for request in said.requests[1:]:
        assert 200 == _say(site, request, run_id).status, request["path"]
    wait_until(lambda: len(site.list_requests(run_id)) == 2, timeout=20)

    case = _case(name)
    status, result = (3, "unknown") if name in BEFORE_FAIL else ENDS[case]
    if not said.end or not said.end["thresholds"] or name in MEASURED_NOTHING:
        result = "unknown" if result == "passed" else result
    run = site.client.ok("GET", f"/runs/{run_id}")
    assert (status, TEXTS[status], result) == (run["status"], run["status_text"], run["result"])
    assert (said.announcement["name"], "k6", "ci") == (run["name"], run["source"], run["trigger"])
    started, finished = (json.loads(request.body) for request in site.list_requests(run_id))
    assert site.body(run, 2, "Running", "test.started") == started
    assert site.body(run, status, TEXTS[status], "test.finished") == finished
    if said.end:
        verdicts = {
            f"{key}: {text}": not crossed for key, of in said.end["thresholds"].items() for text, crossed in of.items()
        }
        assert verdicts == {one["expression"]: one["ok"] for one in run["thresholds"]}


@pytest.mark.parametrize("name", ["v2-run-pushref", "v2-run-cloudrunid"])
def test_a_run_may_be_made_first(site: Site, name: str) -> None:
    """With K6_CLOUD_PUSH_REF_ID or K6_CLOUDRUN_TEST_RUN_ID k6 reports to a run that somebody else announced."""
    said = recording(name)
    run_id = site.client.ok("POST", "/runs", {"name": "made first", "status": 0})["id"]
    for request in said.requests:
        assert 200 == _say(site, request, run_id).status
    run = site.client.ok("GET", f"/runs/{run_id}")
    if said.end is None:
        assert 2 == run["status"]
        site.client.ok("PATCH", f"/runs/{run_id}", {"status": 3})
    wait_until(lambda: len(site.list_requests(run_id)) == 2)

    events = [json.loads(one.body)["event"] for one in site.list_requests(run_id)]
    assert ["test.started", "test.finished"] == events
    assert 1 <= run["metrics"]["iterations"]
    assert 3 == site.client.ok("GET", f"/runs/{run_id}")["status"]


def test_what_was_said_twice_counts_once(site: Site) -> None:
    """A create, a push and an end that k6 repeats because an answer was lost change nothing the second time."""
    said = recording("v2-run-normal")
    first, again = (_say(site, said.requests[0], None).json["reference_id"] for _ in range(2))
    run_id = int(first)
    figures = []
    for request in said.requests[1:]:
        for _ in range(2):
            assert 200 == _say(site, request, run_id).status
            figures.append(site.client.ok("GET", f"/runs/{run_id}")["metrics"])
    wait_until(lambda: len(site.list_requests(run_id)) == 2)

    assert first == again
    assert figures[::2] == figures[1::2]
    assert 1 <= figures[0]["requests"]


@pytest.mark.parametrize("name", [name for name in NAMES if recording(name).end])
def test_our_verdict_is_k6s(name: str) -> None:
    """What we reckon from the pushes says of each threshold what k6 said of it."""
    said = recording(name)
    measured = _measured(said)
    ours = {threshold.expression: threshold.ok for threshold in judge_current_thresholds(measured)}
    assert said.end is not None
    theirs = {
        f"{key}: {text}": not crossed for key, of in said.end["thresholds"].items() for text, crossed in of.items()
    }

    assert {expression: theirs[expression] for expression in ours} == ours
    if said.creates and "thresholds" in said.announcement and "http_reqs" in measured.totals:
        assert set(theirs) == set(ours)


def _measured(said: Recording) -> Measurements:
    assert said.end is not None
    thresholds = {key: list(of) for key, of in said.end["thresholds"].items()}
    measured = Measurements(thresholds=thresholds)
    for version, packed in said.pushes:
        if version == 2:
            points, period = k6_points.read_protobuf(packed)
        else:
            points, period = k6_points.read_json(packed), 1
        measured.merge(condense(points, thresholds, period=period), max(point.at for point in points))
    return measured


def _say(site: Site, request: dict[str, Any], run_id: int | None) -> Any:
    return say(site.client.url, request, token=site.token, run_id=run_id, project_id=site.made["project_id"])


def _case(name: str) -> str:
    case = name.split("-", 2)[2]
    return case if case in ENDS else "normal"
