"""The pages of runs: what they show to whom, and that they change by themselves."""

import re
from typing import Any

import pytest

from loadbell.domain.orgs import Role
from loadbell.runs.lifecycle import end_silent_run
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.api.site import ApiSite, clock
from tests.support.server import wait_until
from tests.support.stores import WATCHDOG, as_of
from tests.web.browser import Browser, Page
from tests.web.events import open_stream
from tests.web.team import Team

PROOF = [{"expression": "p(95)<500", "ok": False, "value": 812.4}, {"expression": "rate<0.01", "ok": True}]


def report_run(team: Team, name: str = "Checkout peak", **more: Any) -> int:
    """A new run; its id."""
    return int(team.client().ok("POST", "/runs", {"name": name, **more})["id"])


def names(page: Page) -> list[str]:
    """The tests that the list names, in its order."""
    return re.findall(r'<a class="name" id="run-\d+" href="/runs/\d+">([^<]*)</a>', page.text)


def test_a_new_team_learns_how_to_send_runs(team: Team) -> None:
    """The empty list says what is so and leads on; the first page of all leads here."""
    assert team.owner.get("/").location == "/runs"
    page = team.owner.get("/runs")
    assert "No runs yet" in page.words
    assert 'href="/welcome"' in page.text


def test_the_list(team: Team) -> None:
    """Newest first, each with status, result, source and trigger in words."""
    report_run(team, "First", status=3, result="passed", source="wrap", trigger="ci")
    report_run(team, "Second", status=2)

    page = team.admin.get("/runs")

    assert names(page) == ["Second", "First"]
    assert "· Web shop · wrap · CI Finished Passed" in page.words
    assert "All 2 In progress 1 Failed 0 Passed 1 Unknown 0" in page.words


def test_how_long_a_run_took(team: Team) -> None:
    """One duration, the source's own, wherever it stands; of a run whose source gave none, the page says that."""
    report_run(team, "Untimed", status=3, result="passed")
    timed = report_run(team, "Timed", status=2)
    end = {"status": 3, "duration_s": 754.2, "metrics": {"duration_s": 754.2, "requests": 10}}
    team.client().ok("PATCH", f"/runs/{timed}", end)

    text, page = team.owner.get("/runs").words, team.owner.get(f"/runs/{timed}").words

    assert "not reported" in text
    assert "never ran" not in text
    assert "12 m 34 s" in text
    assert "took 12 m 34 s" in page
    assert "UTC · 12 m 34 s" in page
    assert "duration_s" not in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=SEC", ["Second"]),
        ("status=3", ["First"]),
        ("result=passed", ["First"]),
        ("source=wrap", ["First"]),
        ("open=1", ["Second"]),
        ("q=nothing", []),
        ("status=12", []),
    ],
)
def test_filters(team: Team, query: str, found: list[str]) -> None:
    """Each narrows the list; one that matches nothing says so and leads back to all."""
    report_run(team, "First", status=3, result="passed", source="wrap")
    report_run(team, "Second", status=2)

    page = team.owner.get(f"/runs?{query}")

    assert names(page) == found
    assert ("No runs match these filters" in page.words) == (not found)


@pytest.mark.parametrize(
    "query",
    ["status=99", "status=x", "status=--1", "q=%00", "result=maybe", "source=fax", "cursor=%21", "project_id=999999"],
)
def test_filters_that_name_nothing(team: Team, query: str) -> None:
    """The page says what is wrong and shows all runs."""
    report_run(team, "First")

    page = team.owner.get(f"/runs?{query}")

    assert page.status in {404, 422}
    assert 'role="alert"' in page.text
    field = query.partition("=")[0]
    if field in {"q", "status", "result", "source"}:
        assert f'<a href="#{field}">' in page.text
        assert re.search(rf'id="{field}" name="{field}" aria-invalid="true"', page.text)
    assert names(page) == ["First"]


def test_older_runs(team: Team) -> None:
    """More than a page has leads on, by a link that keeps the filter, to the end."""
    client = team.client()
    for number in range(52):
        client.ok("POST", "/runs", {"name": f"Run {number}", "status": 3})

    page = team.owner.get("/runs?status=3")
    older = re.search(r'<a href="(/runs\?[^"]*cursor=[^"]*)">Older runs', page.text)
    assert older is not None
    rest = team.owner.get(older[1].replace("&amp;", "&"))

    assert len(names(page)) == 50
    assert names(rest) == ["Run 1", "Run 0"]
    assert "cursor" not in rest.text.replace(older[1], "")
    assert "sse-connect" not in rest.text


def test_one_run(working_team: Team, receiver: ScriptedReceiver) -> None:
    """Its verdict, timeline, thresholds with values, numbers, note, links, and who was told and whether it arrived."""
    team, client = working_team, working_team.client()
    body = {"kind": "webhook", "name": "Gate", "settings": {"url": receiver.url}}
    client.ok("POST", f"/organizations/{team.organization_id}/channels", body)
    links = [{"title": "Dashboard", "url": "https://graphs.example.org/d/1"}]
    run = report_run(team, "<b>Checkout</b>", status=1, links=links)
    client.ok("PATCH", f"/runs/{run}", {"status": 2})
    end = {"status": 12, "thresholds": PROOF, "metrics": {"http_reqs": 184213}, "note": "See the dashboard."}
    client.ok("PATCH", f"/runs/{run}", end)
    receiver.wait_for(2)
    deliveries = f"/runs/{run}/deliveries"
    wait_until(lambda: {one["status"] for one in client.ok("GET", deliveries)["items"]} == {"delivered"}, timeout=10)

    page = team.admin.get(f"/runs/{run}")

    assert "&lt;b&gt;Checkout&lt;/b&gt;" in page.text
    assert "Failed threshold 1 of 2 thresholds crossed · result failed" in page.words
    assert re.search(r"Initializing .* Running .* Failed threshold", page.words)
    assert "reported by The owner" in page.words
    assert "p(95)<500 812.4 Crossed" in page.words
    assert "rate<0.01 not reported Passed" in page.words
    assert "http_reqs 184,213" in page.words
    assert "See the dashboard." in page.words
    assert 'href="https://graphs.example.org/d/1" rel="noopener noreferrer' in page.text
    assert "2 of 2 delivered" in page.words
    assert re.search(r'href="/deliveries/[0-9a-f-]{36}">Gate</a>', page.text)
    assert 'popovertarget="abort"' not in page.text


def test_many_numbers(team: Team) -> None:
    """Each that was reported is there."""
    run = report_run(team)
    team.client().ok("PATCH", f"/runs/{run}", {"metrics": {f"metric_{number}": number for number in range(20)}})

    words = team.owner.get(f"/runs/{run}").words

    assert all(f"metric_{number} {number}" in words for number in range(20))


def test_a_silent_run(team: Team) -> None:
    """Its page says how long it may be silent, and then that it was."""
    run = report_run(team, source="k6")
    assert "without reports" in team.owner.get(f"/runs/{run}").words
    later = clock() + WATCHDOG
    team.site.do(lambda tx: end_silent_run(as_of(tx, later), team.organization_id, run))

    words = team.owner.get(f"/runs/{run}").words

    assert re.search("Timed out .* UTC no reports received", words)
    assert "without reports" not in words


def test_nobody_knows_whether_it_passed(team: Team) -> None:
    """No green tick without proof: an end without thresholds is unknown, and the page says why."""
    run = report_run(team, status=3)

    page = team.owner.get(f"/runs/{run}")

    assert "result unknown" in page.words
    assert "so the result is unknown" in page.words
    assert "#i-tick" not in page.text.split("</svg>", 1)[1].split("<main", 1)[1]


def test_abort(team: Team) -> None:
    """Members of its project may, too; the page says what it does to this source; an ended run can't be aborted."""
    team.assign(Role.MEMBER)
    run = report_run(team, source="wrap")
    page = team.member.get(f"/runs/{run}")
    assert "interrupts the load tool within seconds, like Ctrl-C" in page.words

    answer = team.member.post(f"/runs/{run}/abort", {}, of=f"/runs/{run}")

    assert answer.location == f"/runs/{run}?done=asked"
    shown = team.member.get(answer.location)
    assert "Stop requested." in shown.words
    assert "Aborting by user" in shown.words
    assert "aborted by The member" in shown.words
    silent = report_run(team)
    assert "loadbell marks it aborted now" in team.owner.get(f"/runs/{silent}").words
    assert team.owner.post(f"/runs/{silent}/abort", {}, of="/runs").location == f"/runs/{silent}?done=ended"
    again = team.owner.post(f"/runs/{silent}/abort", {}, of="/runs")
    assert again.status == 409
    assert "It has ended" in again.words


def test_the_list_is_live(team: Team) -> None:
    """A run that is reported, and its end, appear in the open page; an older page is none that changes."""
    page = team.owner.get("/runs")
    stream = re.search(r'sse-connect="([^"]+)"', page.text)
    assert stream is not None
    with open_stream(team.owner, stream[1].replace("&amp;", "&")) as events:
        first = events.next()
        assert first is not None
        assert "No runs yet" in first.data
        run = report_run(team, "Live one")
        second = events.next()
        assert second is not None
        assert (second.name, f"/runs/{run}" in second.data) == ("runs", True)
        assert "1 shown, newest first" in second.data
        team.client().ok("PATCH", f"/runs/{run}", {"status": 3, "result": "passed"})
        third = events.next()
        assert third is not None
        assert "Passed 1" in third.data
        assert "csrf" not in third.data


def test_a_run_is_live(working_team: Team, receiver: ScriptedReceiver) -> None:
    """Its end and what becomes of its deliveries appear in the open page."""
    team, client = working_team, working_team.client()
    receiver.play([respond(200)])
    run = report_run(team)
    body = {"kind": "webhook", "name": "Gate", "settings": {"url": receiver.url}}
    client.ok("POST", f"/organizations/{team.organization_id}/channels", body)
    with open_stream(team.owner, f"/runs/{run}/live") as events:
        client.ok("PATCH", f"/runs/{run}", {"status": 3, "result": "passed"})
        seen = []
        while (event := events.next()) is not None and "1 of 1 delivered" not in event.data:
            seen.append(event)
        assert event is not None
        assert event.name == "run"
        assert "Finished" in event.data
        assert len(seen) < 10


def test_members_see_runs_of_their_projects(team: Team) -> None:
    """Others are not in the list, not counted, and their pages are not there."""
    run = report_run(team)
    assert team.member.get("/runs").words.count("Checkout peak") == 0
    assert "All 0" in team.member.get("/runs").words
    for path in (f"/runs/{run}", f"/runs/{run}/live"):
        assert team.member.get(path).status == 404
    assert team.member.post(f"/runs/{run}/abort", {}, of="/runs").status == 404
    team.assign(Role.MEMBER)

    assert names(team.member.get("/runs")) == ["Checkout peak"]
    assert team.member.get(f"/runs/{run}").status == 200


def test_a_member_is_pushed_only_runs_of_his_projects(team: Team) -> None:
    """A stream that begins beside an admin's shows its reader what the page would show him."""
    other = team.client().ok("POST", f"{team.path}/projects", {"name": "Other"})["id"]
    team.assign(Role.MEMBER)
    path = f"/runs/live?organization_id={team.organization_id}"
    with open_stream(team.admin, path) as admins, open_stream(team.member, path) as members:
        admins.next()
        members.next()
        report_run(team, "Not for members", project_id=other)
        pushed = admins.next()
        assert pushed is not None
        assert "Not for members" in pushed.data
        report_run(team, "For members")
        pushed = members.next()
        assert pushed is not None
        assert "For members" in pushed.data
        assert "Not for members" not in pushed.data
        assert "Other" not in pushed.data


def test_strangers_and_other_sites(team: Team, still_site: ApiSite, browser: Browser) -> None:
    """Another organization's runs are not there; nobody signs in first; a form without its token does nothing."""
    theirs = still_site.their_client.ok("POST", "/runs", {"name": "Theirs"})["id"]
    run = report_run(team)
    for path in (
        f"/runs/{theirs}",
        f"/runs/{theirs}/live",
        f"/runs?organization_id={still_site.theirs.organization_id}",
    ):
        assert team.owner.get(path).status == 404
    assert team.owner.post(f"/runs/{theirs}/abort", {}, of="/runs").status == 404
    assert team.owner.send("POST", f"/runs/{run}/abort", {}).status == 403
    for path in ("/runs", f"/runs/{run}"):
        assert browser.get(path).location.startswith("/login?next=")


def test_somebody_without_an_organization(team: Team) -> None:
    """There is nothing to list: the page leads to where one adds an organization or waits for an invitation."""
    assert team.member.post(f"{team.path}/leave", {}, of=f"{team.path}/settings").status == 303
    assert team.member.get("/runs").location == "/organizations"
