"""The three calls of k6 and those around them, on both stores: what each answers, keeps and refuses."""

import gzip
import io
import json
import tarfile
import time
from typing import Any

import pytest

from loadbell.domain.orgs import Role, Scope
from loadbell.domain.runs import RunStatus, Trigger
from loadbell.runs.lifecycle import end_silent_run
from tests.api.site import ApiSite, clock
from tests.support.k6_pushes import push
from tests.support.server import Answer, Client
from tests.support.stores import WATCHDOG, as_of

THRESHOLDS = {"http_req_duration": ["p(95)<500"], "http_req_failed": ["rate<0.5"]}
HELD = {key: dict.fromkeys(of, False) for key, of in THRESHOLDS.items()}
NEW_TEST = {"name": "ramp.js", "vus": 4, "thresholds": THRESHOLDS, "duration": 32}


def k6(site: ApiSite, token: str | None = None) -> Client:
    """A client with a token that may only report."""
    return Client(site.url, token or site.token(scope=Scope.REPORT))


def create(client: Client, said: Any = NEW_TEST, **headers: str) -> int:
    return int(client.ok("POST", "//v1/tests", said, headers=headers)["reference_id"])


def error(answer: Answer) -> tuple[int, int, str]:
    """Status, code and message of a refusal, which has k6's form and nothing else."""
    assert ["error"] == list(answer.json)
    assert ["code", "message"] == list(answer.json["error"])
    return answer.status, answer.json["error"]["code"], answer.json["error"]["message"]


def now() -> int:
    return int(time.time()) // 3 * 3


def test_a_run_is_announced(still_site: ApiSite) -> None:
    """It is Running at once, with the token's trigger; k6 learns its id as a text, and where its page is."""
    client = k6(still_site, still_site.token(scope=Scope.REPORT, trigger=Trigger.SCHEDULED))
    answer = client.call("POST", "//v1/tests", NEW_TEST, headers={"User-Agent": "k6cloud/2.2.0"}).json
    run = still_site.client.ok("GET", f"/runs/{answer['reference_id']}")

    assert {
        "reference_id": str(run["id"]),
        "config": {
            "testRunDetails": f"https://loadbell.example.org/runs/{run['id']}",
            "tracesEnabled": False,
            "stopOnError": True,
        },
        "logs": [],
    } == answer
    assert (2, "k6", "scheduled", "ramp.js", still_site.ours.project_id) == (
        run["status"], run["source"], run["trigger"], run["name"], run["project_id"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"name": "x" * 20_000}, "x" * 10_000),
        ({"name": "a\x00b"}, "a\ufffdb"),
        ({"name": ""}, "k6 test"),
        ({}, "k6 test"),
        ({"name": "n", "project_id": 0, "what": {"is": ["this"]}, "duration": -1, "vus": 1e9}, "n"),
        ({"name": "n", "thresholds": {"m" * 5000: ["x"], "": [""], "m": ["not an expression"] * 999}}, "n"),
    ],
)
def test_no_test_fails_over_how_it_is_called(still_site: ApiSite, said: dict[str, Any], name: str) -> None:
    """Long names are cut, unknown keys ignored, what can't be understood of thresholds is kept out."""
    run = create(k6(still_site), said)

    assert name == still_site.client.ok("GET", f"/runs/{run}")["name"]


def test_what_a_run_can_not_begin_with(still_site: ApiSite) -> None:
    """No token, a wrong one, one that may only read, another organization's project: told, and nothing is kept."""
    client = k6(still_site)
    reader = still_site.token(scope=Scope.READ)
    before = still_site.contents()
    nobody = Client(still_site.url)

    status, _, message = error(nobody.call("POST", "//v1/tests", NEW_TEST))
    assert (401, True) == (status, "set K6_CLOUD_TOKEN" in message)
    for token in ("wrong", "lb_wrong", "\xe4"):
        status, _, message = error(Client(still_site.url, token).call("POST", "//v1/tests", NEW_TEST))
        assert (401, True) == (status, "K6_CLOUD_TOKEN is unknown" in message)
    assert 403 == error(Client(still_site.url, reader).call("POST", "//v1/tests", NEW_TEST))[0]
    theirs = {**NEW_TEST, "project_id": still_site.theirs.project_id}
    for number in (theirs["project_id"], 3_624_567, 2**70):
        status, code, message = error(client.call("POST", "//v1/tests", {**NEW_TEST, "project_id": number}))
        assert (404, 0) == (status, code)
        assert message.startswith(f"There is no project {number}. ")
        assert "cloud.projectID in the script's options" in message
        assert "Set K6_CLOUD_PROJECT_ID" in message
    for wrong in (b"{", b"[]", b'"text"', b"\xff", b'{"name": 1}', b'{"thresholds": {"m": 1}}', b'{"project_id": "x"}'):
        assert error(client.call("POST", "//v1/tests", wrong))[0] in {400, 422}
    after = still_site.contents()
    assert before == after


def test_a_form_is_understood(still_site: ApiSite) -> None:
    """`--local-execution` sends a form with the archive; its options say which thresholds there are."""
    options = (
        b'{"options": {"thresholds": {"http_req_duration{kind:x}": [{"threshold": "p(95)<1", "abortOnFail": true}]}}}'
    )
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in (("metadata.json", options), ("data", b"x" * 3_000_000)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    client = k6(still_site)
    project = still_site.project()
    run = int(_form(client, {"name": "local", "project_id": str(project)}, archive.getvalue()).json["reference_id"])
    data = push(now(), times=[100.0], labels={"kind": "x"})
    client.ok("POST", f"//v2/metrics/{run}", data)
    end = {"run_status": 3, "result_status": 1, "thresholds": {"http_req_duration{kind:x}": {"p(95)<1": True}}}
    client.ok("POST", f"//v1/tests/{run}", end)
    found = still_site.client.ok("GET", f"/runs/{run}")

    assert (project, "local", 12) == (found["project_id"], found["name"], found["status"])
    assert pytest.approx(100, rel=0.01) == found["thresholds"][0]["value"]


@pytest.mark.parametrize(
    ("fields", "archive", "status"),
    [
        ({"name": "x", "project_id": "none"}, b"", 422),
        ({"name": "x", "project_id": "9" * 40}, b"", 422),
        ({"name": "x"}, b"not an archive", 200),
        ({"name": "x"}, b"\x00" * 2000, 200),
        ({}, b"", 200),
    ],
)
def test_forms_that_are_not_whole(still_site: ApiSite, fields: dict[str, str], archive: bytes, status: int) -> None:
    """What is wrong with a field is told; an archive that can't be read takes only the thresholds away."""
    assert status == _form(k6(still_site), fields, archive).status


def test_a_form_that_is_cut(still_site: ApiSite) -> None:
    """It is refused in k6's form."""
    client = k6(still_site)
    for body, kind in (
        (b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nab', "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data; boundary=x"),
        (b"anything", "multipart/form-data"),
    ):
        assert 400 == error(client.call("POST", "//v1/tests", body, headers={"Content-Type": kind}))[0]


def test_k6_learns_which_channels_are_paused(still_site: ApiSite) -> None:
    """Their names, and nothing else of them."""
    paused = still_site.channel("http://127.0.0.1:9/secret-path")
    still_site.client.ok("PATCH", f"/channels/{paused['id']}", {"name": "Pager"})
    still_site.client.ok("POST", f"/channels/{paused['id']}/pause")
    logs = k6(still_site).ok("POST", "//v1/tests", NEW_TEST)["logs"]
    still_site.client.ok("DELETE", f"/channels/{paused['id']}")

    assert ["warning"] == [one["level"] for one in logs]
    assert "channel Pager is paused" in logs[0]["message"]
    assert "secret-path" not in logs[0]["message"]


def test_metrics_are_live_and_thresholds_have_values(still_site: ApiSite) -> None:
    """Each push shows in the run; the end has each verdict with its value and unit, and the checks that failed."""
    client = k6(still_site)
    run = create(client)
    data = push(now() - 6, vus=3, times=[100.0] * 90 + [400.0] * 10, failed=1, checks={"ok": (9, 10)})
    client.ok("POST", f"//v2/metrics/{run}", data)
    live = still_site.client.ok("GET", f"/runs/{run}")["metrics"]
    client.ok("POST", f"//v1/tests/{run}", {"run_status": 3, "result_status": 0, "thresholds": HELD})
    found = still_site.client.ok("GET", f"/runs/{run}")

    assert (3, 100, 0.01, 0.9) == (live["vus"], live["requests"], live["failed_rate"], live["checks_rate"])
    assert pytest.approx(400, rel=0.008) == live["p95_ms"]
    assert live == found["metrics"]
    assert (3, "passed", "Failed checks: ok (1 of 10).") == (found["status"], found["result"], found["note"])
    values = {one["expression"]: (one["ok"], one["value"]) for one in found["thresholds"]}
    assert (True, live["p95_ms"]) == values["http_req_duration: p(95)<500"]
    assert (True, 0.01) == values["http_req_failed: rate<0.5"]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_abort_is_told_with_the_next_push(still_site: ApiSite, version: str) -> None:
    """Only after somebody has asked; the push counts all the same; k6's "by system" is then the user's abort."""
    client = k6(still_site)
    run = create(client)
    path = f"//v2/metrics/{run}"
    assert 200 == client.call("POST", path, push(now() - 6, times=[1.0])).status
    assert 5 == still_site.client.ok("POST", f"/runs/{run}/abort")["status"]
    again = push(now() - 3, times=[1.0])
    if version == "v1":
        path = f"//v1/metrics/{run}"
        data = {"time": f"{now() - 3}000000", "type": "counter", "value": 1}
        again = gzip.compress(json.dumps([{"type": "Point", "metric": "http_reqs", "data": data}]).encode())
    status, code, message = error(client.call("POST", path, again))
    client.ok("POST", f"//v1/tests/{run}", {"run_status": 6, "result_status": 1, "thresholds": {}})
    found = still_site.client.ok("GET", f"/runs/{run}")

    assert (403, 4) == (status, code)
    assert "aborted in loadbell" in message
    assert (6, 2) == (found["status"], found["metrics"]["requests"])


@pytest.mark.parametrize(
    ("before", "after"),
    [(RunStatus.ABORTING_BY_USER, 6), (RunStatus.ABORTING_BY_SYSTEM, 8), (RunStatus.ABORTING_BY_THRESHOLD, 11)],
)
def test_by_system_means_what_was_asked(still_site: ApiSite, before: RunStatus, after: int) -> None:
    """Whoever asked for the abort, that is how the run ends when k6 obeys."""
    client = k6(still_site)
    run = create(client)
    still_site.client.ok("PATCH", f"/runs/{run}", {"status": before.value})
    client.ok("POST", f"//v1/tests/{run}", {"run_status": 6, "result_status": 0})

    assert after == still_site.client.ok("GET", f"/runs/{run}")["status"]


def test_a_late_end_corrects_the_watchdogs(still_site: ApiSite) -> None:
    """Silence ended the run; k6's own report says how it really ended. A push reopens nothing."""
    client = k6(still_site)
    run = create(client)
    later = clock() + 2 * WATCHDOG
    still_site.do(lambda tx: end_silent_run(as_of(tx, later), still_site.ours.organization_id, run))
    assert 4 == still_site.client.ok("GET", f"/runs/{run}")["status"]
    assert 200 == client.call("POST", f"//v2/metrics/{run}", push(now(), times=[1.0])).status
    assert 4 == still_site.client.ok("GET", f"/runs/{run}")["status"]
    for _ in range(2):
        client.ok("POST", f"//v1/tests/{run}", {"run_status": 3, "result_status": 0, "thresholds": HELD})
    found = still_site.client.ok("GET", f"/runs/{run}")

    assert (3, "passed", 1) == (found["status"], found["result"], found["metrics"]["requests"])
    status, _, message = error(client.call("POST", f"//v1/tests/{run}", {"run_status": 7, "result_status": 0}))
    assert (409, True) == (status, "can't become" in message)


def test_verdicts_without_end_are_cut(still_site: ApiSite) -> None:
    """A run keeps 200 thresholds, and an expression that is too long to be one is kept as far as it goes."""
    client = k6(still_site)
    run = create(client)
    client.ok("POST", f"//v2/metrics/{run}", push(now(), times=[1.0]))
    verdicts = {
        "http_req_duration": {"p(95)<" + "9" * 200_000 + "x": False, **{f"avg<{n}": False for n in range(20_000)}}
    }
    client.ok("POST", f"//v1/tests/{run}", {"run_status": 3, "result_status": 0, "thresholds": verdicts})
    kept = still_site.client.ok("GET", f"/runs/{run}")["thresholds"]

    assert (200, 1000, None) == (len(kept), len(kept[0]["expression"]), kept[0]["value"])
    assert ("http_req_duration: avg<198", True) == (kept[-1]["expression"], kept[-1]["ok"])


@pytest.mark.parametrize("said", [{}, {"run_status": 2}, {"run_status": 99}, {"run_status": "3"}, []])
def test_what_is_no_end(still_site: ApiSite, said: Any) -> None:
    """It is refused in k6's form, and the run goes on."""
    client = k6(still_site)
    run = create(client)

    assert 422 == error(client.call("POST", f"//v1/tests/{run}", said))[0]
    assert 2 == still_site.client.ok("GET", f"/runs/{run}")["status"]


def test_the_same_key_is_the_same_request(still_site: ApiSite) -> None:
    """A repeated create makes no second run; the key of another request is told."""
    client = k6(still_site)
    key = {"K6-Idempotency-Key": "0123456789abcdef"}
    first = create(client, **key)

    assert first == create(client, **key)
    assert 409 == error(client.call("POST", "//v1/tests", {"name": "another"}, headers=key))[0]


def test_validate_token(still_site: ApiSite) -> None:
    """As `k6 cloud login` asks: the token stands in the body, and the answer is 200 either way."""
    good = still_site.token(scope=Scope.REPORT)
    nobody = Client(still_site.url)

    said = nobody.ok("POST", "//v1/validate-token", {"token": good})
    assert {"is_valid": True, "message": "", "token-info": "loadbell"} == said
    for wrong in ("lb_wrong", ""):
        refused = nobody.ok("POST", "//v1/validate-token", {"token": wrong})
        assert (False, True) == (refused["is_valid"], "unknown or has expired" in refused["message"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/validate-options"), ("POST", "/v1/archive-upload"), ("GET", "/v1/test-progress/1"),
        ("POST", "/v1/tests/1/stop"), ("POST", "/v1/login"), ("GET", "/v1/tests"), ("POST", "/v2/other"),
    ],
)  # fmt: skip
def test_what_loadbell_does_not_do(still_site: ApiSite, method: str, path: str) -> None:
    """Each command that is out of scope gets one clear error in k6's form; what it sent is kept nowhere."""
    answer = k6(still_site).call(
        method, "/" + path, {"options": {"cloud": {"token": "s3cret"}}} if method == "POST" else None
    )

    assert answer.status in {404, 405}
    assert "s3cret" not in answer.body.decode()
    if answer.status == 404:
        assert "k6 run --out cloud" in error(answer)[2]
    else:
        error(answer)


@pytest.mark.parametrize("prefix", ["/", "//", "/k6/ingest/", "/a//b///"])
def test_any_prefix_leads_here(still_site: ApiSite, prefix: str) -> None:
    """Whatever K6_CLOUD_HOST has behind the host's name, a slash at its end included."""
    client = k6(still_site)
    answer = client.call(
        "POST", f"/{prefix}/v1/tests".replace("////", "///") if prefix != "/" else "//v1/tests", NEW_TEST
    )

    assert 200 == answer.status
    assert 404 == client.call("POST", "//api/v1/tests", NEW_TEST).status
    assert 404 == client.call("POST", "/" + "/" * 2_000 + "v1", NEW_TEST).status


def test_another_organizations_run_is_not_there(still_site: ApiSite) -> None:
    """Neither push nor end tells it from one that does not exist, and nothing changes."""
    theirs = int(still_site.their_client.ok("POST", "//v1/tests", NEW_TEST)["reference_id"])
    client = k6(still_site)
    before = still_site.contents()
    end = {"run_status": 3, "result_status": 0}
    data = push(now(), times=[1.0])
    for run in (theirs, 999_999):
        assert (404, 0, f"There is no run {run}.") == error(client.call("POST", f"//v2/metrics/{run}", data))
        assert (404, 0, f"There is no run {run}.") == error(client.call("POST", f"//v1/tests/{run}", end))

    assert before == still_site.contents()


def test_a_member_reports_to_own_projects_only(still_site: ApiSite) -> None:
    """A run of another project is not there for a member; a project's own token opens no other."""
    run = create(k6(still_site))
    assigned = still_site.project()
    member = Client(still_site.url, still_site.token(scope=Scope.REPORT, role=Role.MEMBER, projects=(assigned,)))

    assert 404 == error(member.call("POST", f"//v2/metrics/{run}", push(now(), times=[1.0])))[0]
    assert 404 == error(member.call("POST", f"//v1/tests/{run}", {"run_status": 3, "result_status": 0}))[0]
    elsewhere = {**NEW_TEST, "project_id": still_site.ours.project_id}
    assert 404 == error(member.call("POST", "//v1/tests", elsewhere))[0]
    own = still_site.client.ok("GET", f"/runs/{create(member)}")
    assert assigned == own["project_id"]


def test_an_archived_project_takes_no_run(still_site: ApiSite) -> None:
    """k6 is told why, and whom to ask."""
    project = still_site.project()
    still_site.client.ok("PATCH", f"/projects/{project}", {"archived": True})

    status, _, message = error(k6(still_site).call("POST", "//v1/tests", {**NEW_TEST, "project_id": project}))
    assert (409, True) == (status, "is archived" in message)


def _form(client: Client, fields: dict[str, str], archive: bytes) -> Answer:
    parts = [f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    file = b'--x\r\nContent-Disposition: form-data; name="file"; filename="archive.tar"\r\n\r\n' + archive + b"\r\n"
    body = b"".join([*parts, file, b"--x--\r\n"])
    return client.call("POST", "//v1/tests", body, headers={"Content-Type": "multipart/form-data; boundary=x"})
