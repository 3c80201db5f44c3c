"""``loadbell runs`` as a person calls it: real processes against a real server."""

import json
import time

from tests.api.site import ApiSite
from tests.cli.conftest import Ask
from tests.support.k6_pushes import push


def test_runs_are_listed(site: ApiSite, ask: Ask) -> None:
    """Newest first, each with how it stands; as JSON for programs; with none there is a word on stderr."""
    empty = ask("runs", "list")
    for number in range(3):
        site.client.ok("POST", "/runs", {"name": f"Listed {number}", "status": 3, "result": "passed"})
    process = ask("runs", "list", "--limit", "2")
    as_json = json.loads(ask("runs", "list", "--limit", "2", "--json").stdout)

    assert (0, "", "No runs yet.\n") == (empty.returncode, empty.stdout, empty.stderr)
    assert ["Listed 2", "Listed 1"] == [line[-8:] for line in process.stdout.splitlines()]
    assert 2 == process.stdout.count("Finished, passed")
    assert ["Listed 2", "Listed 1"] == [one["name"] for one in as_json["items"]]


def test_a_run_is_shown(site: ApiSite, ask: Ask) -> None:
    """With its figures and thresholds; one that is not there is told."""
    proof = [{"expression": "p(95)<500", "ok": False, "value": 812.4}, {"expression": "rate<1", "ok": True}]
    body = {"name": "Shown", "status": 12, "metrics": {"vus": 5}, "thresholds": proof, "note": "look\nhere"}
    run = site.client.ok("POST", "/runs", body)["id"]
    process, missing = ask("runs", "show", str(run)), ask("runs", "show", "999999")

    assert 0 == process.returncode
    for line in ("test       Shown", "status     Failed threshold, failed", "vus        5", "note       look"):
        assert line in process.stdout
    assert "crossed    p(95)<500 — was 812.4\nheld       rate<1\n" in process.stdout
    assert (1, "") == (missing.returncode, missing.stdout)
    assert "There is no run 999999." in missing.stderr


def test_a_threshold_that_measured_nothing_has_not_held(site: ApiSite, ask: Ask) -> None:
    """Of k6's verdict "held" on what was never measured, it says what the run's page says; as JSON it is told, too."""
    thresholds = {"http_req_duration": ["p(95)<500"], "grpc_req_duration": ["avg<9"], "iterations": ["count>0"]}
    run = site.client.ok("POST", "//v1/tests", {"name": "x", "thresholds": thresholds})["reference_id"]
    site.client.ok("POST", f"//v2/metrics/{run}", push(int(time.time()), times=[1.0], http=False))
    verdicts = {key: dict.fromkeys(of, key.startswith("grpc")) for key, of in thresholds.items()}
    site.client.ok("POST", f"//v1/tests/{run}", {"run_status": 3, "result_status": 1, "thresholds": verdicts})
    items = ask("runs", "show", run).stdout.splitlines()
    as_json = json.loads(ask("runs", "show", run, "--json").stdout)["thresholds"]

    assert [
        "\u2013          http_req_duration: p(95)<500 — nothing was measured",
        "crossed    grpc_req_duration: avg<9",
        "held       iterations: count>0 — was 1",
    ] == items[-3:]
    assert [(True, None, False), (False, None, False), (True, 1, None)] == [
        (one["ok"], one["value"], one.get("measured")) for one in as_json
    ]


def test_abort(site: ApiSite, ask: Ask) -> None:
    """A k6 is asked to stop; a run whose source can't be told ends at once, and that is said; an ended one is told."""
    k6 = site.client.ok("POST", "//v1/tests", {"name": "ramp.js"})["reference_id"]
    other = str(site.client.ok("POST", "/runs", {"name": "Other"})["id"])
    process, ended, again = (ask("runs", "abort", run) for run in (k6, other, other))

    assert (0, f"Run {k6} is stopping: Aborting by user.\n") == (process.returncode, process.stdout)
    assert 0 == ended.returncode
    assert ended.stdout.startswith(f"Run {other} ended: Aborted by user. The load test can't be stopped from here")
    assert (1, "") == (again.returncode, again.stdout)
    assert "It has ended" in again.stderr
