"""Runs over REST: the routes of runs, their exact answers, and who sees what."""

import re
from typing import Any

import pytest

from loadbell.domain.orgs import Role, Scope
from loadbell.domain.runs import Trigger
from loadbell.testing.receiver import ScriptedReceiver
from tests.api.site import ApiSite

RUN_KEYS = [
    "id", "organization_id", "project_id", "test_id", "user_id", "name", "status", "status_text", "result", "trigger",
    "source", "url", "created_at", "started_at", "ended_at", "metrics", "thresholds", "links", "note", "tool",
]  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def _new(site: ApiSite, **given: Any) -> dict[str, Any]:
    body: dict[str, Any] = site.client.ok("POST", "/runs", {"name": "Load test", **given})
    return body


def test_a_new_run_is_answered_whole(site: ApiSite) -> None:
    """A run that names nothing but itself is Running, in the default project, with every key in its order."""
    answer = site.client.call("POST", "/runs", {"name": "Checkout", "unknown": {"key": 1}})
    run = answer.json

    assert 201 == answer.status
    assert "application/json" == answer.headers["content-type"]
    assert RUN_KEYS == list(run)
    assert TIME.fullmatch(run["created_at"])
    assert {
        "id": run["id"],
        "organization_id": site.ours.organization_id,
        "project_id": site.ours.project_id,
        "test_id": run["test_id"],
        "user_id": site.ours.user_id,
        "name": "Checkout",
        "status": 2,
        "status_text": "Running",
        "result": None,
        "trigger": "unknown",
        "source": "rest",
        "url": f"https://loadbell.example.org/runs/{run['id']}",
        "created_at": run["created_at"],
        "started_at": run["created_at"],
        "ended_at": None,
        "metrics": {},
        "thresholds": [],
        "links": [],
        "note": None,
        "tool": None,
    } == run


def test_a_run_keeps_what_it_was_announced_with(site: ApiSite) -> None:
    """Project, status, trigger, source and links are kept; a run in a final status has ended."""
    project_id = site.project()
    links = [{"title": "Build 7", "url": "https://ci.example.org/7"}]
    body = {"project_id": project_id, "status": 12, "trigger": "ci", "source": "locust", "links": links}
    run = _new(site, **body, watchdog_s=60)

    assert body == {key: run[key] for key in body}
    assert ("Failed threshold", "failed") == (run["status_text"], run["result"])
    assert (None, run["created_at"]) == (run["started_at"], run["ended_at"])


def test_null_is_as_good_as_absent(site: ApiSite) -> None:
    """A client that writes null for what it does not know gets the defaults."""
    names = ("project_id", "status", "trigger", "source", "links", "watchdog_s")
    run = _new(site, **dict.fromkeys(names))

    assert (site.ours.project_id, 2, "unknown", "rest", []) == tuple(run[name] for name in names[:-1])


def test_the_trigger_is_that_of_the_token_unless_it_is_reported(site: ApiSite) -> None:
    """A token made for the nightly job marks its runs as scheduled."""
    nightly = site.with_token(scope=Scope.REPORT, trigger=Trigger.SCHEDULED)

    assert "scheduled" == nightly.ok("POST", "/runs", {"name": "n"})["trigger"]
    assert "manual" == nightly.ok("POST", "/runs", {"name": "n", "trigger": "manual"})["trigger"]


def test_the_longest_name_is_kept_whole(site: ApiSite) -> None:
    """10,000 characters, whatever their bytes, come back as they went in."""
    name = "🔔" * 9_999 + "\u202e"

    assert name == _new(site, name=name)["name"]


def test_a_run_goes_to_its_end(site: ApiSite) -> None:
    """Reports move the run by the table; metrics, thresholds and note are taken before and after its end."""
    run = _new(site, status=-1)
    path = f"/runs/{run['id']}"
    texts = [site.client.ok("PATCH", path, {"status": status})["status_text"] for status in (0, 1, 2, 5)]
    ended = site.client.ok(
        "PATCH",
        path,
        {
            "status": 3,
            "result": "passed",
            "metrics": {"http_reqs": 5, "p95": 1.5},
            "thresholds": [{"expression": "p(95)<2", "ok": True, "value": 1.5}, {"expression": "rate<1", "ok": True}],
            "note": "fine",
        },
    )
    after = site.client.ok("PATCH", path, {"metrics": {"p99": 2}, "note": "very fine"})

    assert ["Queued", "Initializing", "Running", "Aborting by user"] == texts
    assert ("Finished", "passed") == (ended["status_text"], ended["result"])
    assert {"http_reqs": 5.0, "p95": 1.5} == ended["metrics"]
    assert [
        {"expression": "p(95)<2", "ok": True, "value": 1.5},
        {"expression": "rate<1", "ok": True, "value": None},
    ] == ended["thresholds"]
    assert ({"http_reqs": 5.0, "p95": 1.5, "p99": 2.0}, "very fine") == (after["metrics"], after["note"])
    assert after == site.client.ok("GET", path)


@pytest.mark.parametrize("body", [{}, None, {"something": "else"}])
def test_a_report_that_says_nothing_changes_nothing(site: ApiSite, body: Any) -> None:
    """An empty PATCH is accepted and gives the run as it is."""
    run = _new(site)

    assert run == site.client.ok("PATCH", f"/runs/{run['id']}", body)


def test_a_heartbeat_hears_of_an_abort(site: ApiSite) -> None:
    """Abort of a run whose source can be told answers 202 Aborting by user; the next heartbeat says so."""
    run = _new(site, watchdog_s=60)
    path = f"/runs/{run['id']}"
    before = site.client.ok("POST", f"{path}/heartbeat", {"metrics": {"vus": 10}})
    aborted = site.client.call("POST", f"{path}/abort")

    assert {"abort": False} == before
    assert (202, "Aborting by user") == (aborted.status, aborted.json["status_text"])
    assert {"abort": True} == site.client.ok("POST", f"{path}/heartbeat")
    assert {"vus": 10.0} == site.client.ok("GET", path)["metrics"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"metrics": {"vus": 1e400}}', 422, "metrics"),
        (b'{"metrics": {"vus": -1e400}}', 422, "metrics"),
        (b'{"metrics": {"vus": %s}}' % (b"9" * 400), 422, "metrics.vus"),
        (b'{"metrics": {"vus": NaN}}', 400, None),
        (b'{"metrics": {"vus": "many"}}', 422, "metrics.vus"),
        (b'{"metrics": {%s}}' % b",".join(b'"m%d":1' % number for number in range(201)), 422, "metrics"),
        (b"x" * 1_100_000, 413, None),
        (b"noise", 400, None),
    ],
)
def test_a_refused_heartbeat_is_a_sign_of_life(
    still_site: ApiSite, body: bytes, status: int, field: str | None
) -> None:
    """It says what is wrong, but costs the run nothing: the watchdog hears it, and it hears of an abort."""
    run = _new(still_site, watchdog_s=60)
    path = f"/runs/{run['id']}"
    still_site.sql("UPDATE runs SET last_report_at = 1 WHERE id = :id", id=run["id"])
    refused = still_site.client.call("POST", f"{path}/heartbeat", body)
    heard = still_site.sql("UPDATE runs SET last_report_at = 1 WHERE id = :id AND last_report_at > 1", id=run["id"])

    assert (status, 1) == (refused.status, heard)
    assert field in [error["field"] for error in refused.json.get("errors", [])] + [None]
    assert {} == still_site.client.ok("GET", path)["metrics"]
    still_site.client.ok("POST", f"{path}/abort")
    assert {"abort": True} == still_site.client.ok("POST", f"{path}/heartbeat", body)


def test_a_run_that_cannot_be_stopped_from_here_ends_at_its_abort(site: ApiSite) -> None:
    """A plain REST run is Aborted by user at once, and its note says that nobody was told."""
    run = _new(site)
    aborted = site.client.call("POST", f"/runs/{run['id']}/abort", {})

    assert (202, 6) == (aborted.status, aborted.json["status"])
    assert "can't be stopped from here" in aborted.json["note"]


def test_runs_are_listed_a_page_at_a_time(site: ApiSite) -> None:
    """Pages are newest first, without gap or repeat, and the last one has no cursor."""
    project_id = site.project()
    made = [_new(site, project_id=project_id)["id"] for _ in range(5)]
    path = f"/runs?project_id={project_id}&limit=2"
    pages = [site.client.ok("GET", path)]
    while pages[-1]["next_cursor"] is not None:
        pages.append(site.client.ok("GET", f"{path}&cursor={pages[-1]['next_cursor']}"))

    assert [["items", "next_cursor"]] * 3 == [list(page) for page in pages]
    assert [made[:2:-1], made[2:0:-1], made[:1]] == [[run["id"] for run in page["items"]] for page in pages]
    assert RUN_KEYS == list(pages[0]["items"][0])


def test_runs_are_filtered(site: ApiSite) -> None:
    """Status, result, source and project narrow a list, each and together."""
    project_id = site.project()
    failed = _new(site, project_id=project_id, status=12)["id"]
    running = _new(site, project_id=project_id)["id"]
    told = _new(site, project_id=project_id, source="k6", status=3)["id"]

    def ids(query: str) -> list[int]:
        return [run["id"] for run in site.client.ok("GET", f"/runs?project_id={project_id}&{query}")["items"]]

    assert [failed] == ids("result=failed")
    assert [running] == ids("status=2")
    assert [told] == ids("source=k6&result=unknown&status=3")
    assert [] == ids("source=k6&result=failed")


def test_the_deliveries_of_a_run_are_listed(site: ApiSite, receiver: ScriptedReceiver) -> None:
    """Who was told of a run stands at the run, newest first."""
    channel = site.channel(receiver.url)
    run = _new(site)
    site.client.ok("PATCH", f"/runs/{run['id']}", {"status": 3})
    receiver.wait_for(2)
    site.client.ok("DELETE", f"/channels/{channel['id']}")
    listed = site.client.ok("GET", f"/runs/{run['id']}/deliveries")
    ours = [item for item in listed["items"] if item["channel_id"] == channel["id"]]

    assert ["test.finished", "test.started"] == [item["event"] for item in ours]
    assert None is listed["next_cursor"]


def test_a_member_sees_only_assigned_projects(site: ApiSite) -> None:
    """For a member, a run of another project does not exist; in an assigned one the member may do everything."""
    mine, other = site.project(), site.project()
    member = site.with_token(role=Role.MEMBER, projects=(mine,))
    hidden = _new(site, project_id=other)["id"]
    own = member.ok("POST", "/runs", {"name": "n"})

    assert mine == own["project_id"]
    assert 404 == member.call("POST", "/runs", {"name": "n", "project_id": other}).status
    assert [404] * 4 == [
        member.call(method, f"/runs/{hidden}{rest}").status
        for method, rest in (("GET", ""), ("PATCH", ""), ("POST", "/heartbeat"), ("GET", "/deliveries"))
    ]
    assert [own["id"]] == [run["id"] for run in member.ok("GET", "/runs")["items"]]
    assert 202 == member.call("POST", f"/runs/{own['id']}/abort").status


def test_illegal_moves_are_conflicts(site: ApiSite) -> None:
    """A move that the table does not have is 409 illegal_move and says where the run may go; nothing moves."""
    run = _new(site)
    back = site.client.call("PATCH", f"/runs/{run['id']}", {"status": 1})
    ended = _new(site, status=3)
    again = site.client.call("POST", f"/runs/{ended['id']}/abort")
    other = site.client.call("PATCH", f"/runs/{ended['id']}", {"result": "passed"})

    assert (409, "illegal_move") == (back.status, back.json["code"])
    assert "Running (2)" in back.json["detail"]
    assert (409, "illegal_move") == (again.status, again.json["code"])
    assert (409, "conflict") == (other.status, other.json["code"])
    assert run == site.client.ok("GET", f"/runs/{run['id']}")


@pytest.mark.parametrize(
    ("status", "said"), [(11, {"result": "passed"}), (12, {"result": "passed"}), (5, {"result": "failed"})]
)
def test_a_result_that_contradicts_the_status_is_refused(site: ApiSite, status: int, said: dict[str, str]) -> None:
    """No green tick on a crossed threshold, and no result before the end: 422 names the field."""
    run = _new(site)
    answer = site.client.call("PATCH", f"/runs/{run['id']}", {"status": status, **said})

    assert (422, ["result"]) == (answer.status, [error["field"] for error in answer.json["errors"]])
