"""The page that shows how runs are sent: its commands, its token, and the line that waits for the first run."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from loadbell.domain.orgs import Role, Scope
from tests.support.server import Client, Server, set_up
from tests.support.snippets import MISSING, has_curl
from tests.web.browser import Browser, Page
from tests.web.events import open_stream
from tests.web.team import Team

WAYS = ("k6", "locust", "wrap", "rest")


def commands(page: Page) -> dict[str, str]:
    """The text of each snippet, by way."""
    found = re.findall(r'<code id="(\w+)-code">(.*?)</code>', page.text, re.DOTALL)
    return {name: unescape(code) for name, code in found}


def make_token(team: Team, role: Role = Role.OWNER, **fields: str) -> Page:
    """Presses the button of the page."""
    body = {"organization_id": str(team.organization_id), "project_id": str(team.project_id), **fields}
    path = f"/welcome?organization_id={team.organization_id}"
    return team.browser(role).post("/welcome/token", body, of=path)


def token_in(page: Page) -> str:
    """The token that the page shows."""
    found = re.search(r'<code id="token">(lb_[^<]+)</code>', page.text)
    assert found is not None, page.words
    return found[1]


def test_it_shows_the_ways_to_report(team: Team) -> None:
    """Each command has this server's address and a placeholder for the token; where nobody is told yet, it says so."""
    page = team.owner.get("/welcome")

    assert page.status == 200
    assert tuple(commands(page)) == WAYS
    for code in commands(page).values():
        assert "https://loadbell.example.org" in code
        assert "YOUR_TOKEN" in code
    assert "Waiting for the first run at https://loadbell.example.org" in page.words
    assert "No channels yet" in page.words


def test_a_visitor_signs_in_first(team: Team) -> None:
    """And comes back from there."""
    browser = Browser(team.site.url)
    assert browser.get("/welcome").location == "/login?next=/welcome"
    assert browser.get(f"/welcome/live?organization_id={team.organization_id}").status == 303


def test_whoever_belongs_nowhere_is_led_on(team: Team) -> None:
    """There is nothing to report to: the page where one adds an organization says what to do."""
    member, path = team.member, f"{team.path}/leave"
    assert member.post(path, {}, of=f"{team.path}/settings").status == 303

    assert member.get("/welcome").location == "/organizations"


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
def test_a_token_is_made_and_filled_in(team: Team, role: Role) -> None:
    """It stands in every command and is shown only now; it reports runs of the chosen project and does nothing else."""
    page = make_token(team, role)

    token = token_in(page)
    assert page.status == 200
    assert all(token in code and "YOUR_TOKEN" not in code for code in commands(page).values())
    assert "It can only report runs of the project Web shop." in page.words
    assert token not in team.browser(role).get("/welcome").text
    reporter = Client(team.site.url, token)
    assert reporter.ok("POST", "/runs", {"name": "Checkout"})["project_id"] == team.project_id
    assert reporter.call("GET", f"/organizations/{team.organization_id}/members").status == 403
    listed = team.client().ok("GET", "/tokens")["items"][1]
    assert (listed["name"], listed["scope"], listed["project_id"]) == ("welcome: Web shop", "report", team.project_id)


def test_a_project_that_is_gone_is_told_at_its_field(team: Team) -> None:
    """One that was archived or deleted meanwhile, or is another organization's: no token is made."""
    owner = team.client()
    archived = owner.ok("POST", f"{team.path}/projects", {"name": "Old shop"})["id"]
    owner.ok("PATCH", f"/projects/{archived}", {"archived": True})
    foreign = team.site.theirs.project_id
    before = team.site.contents()["tokens"]

    for project_id in (archived, foreign, 999_999, "", "x"):
        page = make_token(team, project_id=str(project_id))
        assert page.status == 422
        assert 'id="project_id-wrong"' in page.text
        assert "YOUR_TOKEN" in page.text
        assert "Old shop" not in page.text

    assert team.site.contents()["tokens"] == before


def test_a_member_is_told_whom_to_ask(team: Team) -> None:
    """Members see the ways, and make no token; who is in no project learns that it takes one."""
    page = team.member.get("/welcome")

    assert tuple(commands(page)) == WAYS
    assert "For a new one, ask the owner or an admin of Harbour Shop." in page.words
    assert "You aren't in a project yet" in page.words
    assert "Create token" not in page.words
    team.assign(Role.MEMBER)
    assert "You aren't in a project yet" not in team.member.get("/welcome").words
    refused = make_token(team, Role.MEMBER)
    assert refused.status == 403
    assert "Ask the owner or an admin" in refused.words


def test_another_organization_is_not_there(team: Team) -> None:
    """Its ways, tokens and runs are answered as if nothing had that id."""
    foreign = team.site.theirs
    body = {"organization_id": str(foreign.organization_id), "project_id": str(foreign.project_id)}

    for path in ("/welcome", "/welcome/live"):
        assert team.owner.get(f"{path}?organization_id={foreign.organization_id}").status == 404
        assert team.owner.get(f"{path}?organization_id=x").status == 404
    assert team.owner.post("/welcome/token", body, of="/welcome").status == 404


def test_the_form_proves_where_it_comes_from(team: Team) -> None:
    """Without the token of the page no API token is made."""
    body = {"organization_id": str(team.organization_id), "project_id": str(team.project_id)}

    assert team.owner.send("POST", "/welcome/token", body).status == 403


def test_the_line_leads_to_the_first_run_when_it_arrives(team: Team) -> None:
    """An open page is told at once, one that is loaded again says the same; a run's name is text, not markup."""
    path = f"/welcome/live?organization_id={team.organization_id}"
    with open_stream(team.owner, path) as stream:
        waiting = stream.next()
        run = team.client().ok("POST", "/runs", {"name": "<b>Checkout</b> peak"})
        arrived = stream.next()

    assert waiting is not None
    assert "Waiting for the first run" in waiting.data
    assert arrived is not None
    assert arrived.name == "run"
    assert f'Run received: <a href="/runs/{run["id"]}">&lt;b&gt;Checkout&lt;/b&gt; peak</a>' in arrived.data
    page = team.owner.get("/welcome")
    assert "Run received: <b>Checkout</b> peak Running" in page.words
    assert "Waiting for the first run" not in page.words


def test_a_member_is_told_of_runs_of_his_projects_only(team: Team) -> None:
    """A run of another project is none that has arrived."""
    team.assign(Role.MEMBER)
    other = team.client().ok("POST", f"{team.path}/projects", {"name": "Other"})["id"]
    team.client().ok("POST", "/runs", {"name": "Secret", "project_id": other})
    assert "Waiting for the first run" in team.member.get("/welcome").words

    team.client().ok("POST", "/runs", {"name": "Checkout", "project_id": team.project_id})

    words = team.member.get("/welcome").words
    assert "Run received: Checkout" in words
    assert "Secret" not in words


def test_channels_that_are_there_are_named(team: Team) -> None:
    """Whoever has set one up is not told to do it again; a member is not told to do what he may not."""
    assert "Add a channel" in team.owner.get("/welcome").words
    words = team.member.get("/welcome").words
    assert "Add a channel" not in words
    assert "Ask the owner or an admin to add Slack, HipChat or a WebHook" in words

    settings = {"url": "https://hooks.example.org/"}
    body = {"kind": "webhook", "name": "Board", "settings": settings}
    team.client(Role.OWNER, Scope.MANAGE).ok("POST", f"{team.path}/channels", body)

    assert "No channels yet" not in team.owner.get("/welcome").words


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, dict[str, str]]]:
    """A server as `serve` runs it, and the commands that its page shows with a token."""
    folder = tmp_path_factory.mktemp("welcome")
    made = set_up(folder)
    with Server(folder) as server:
        browser = Browser(server.url)
        assert browser.sign_in("owner@example.org", made["password"]).status == 303
        said = {"organization_id": str(made["organization_id"]), "project_id": str(made["project_id"])}
        yield Client(server.url, made["token"]), commands(browser.post("/welcome/token", said, of="/welcome"))


K6 = f"""#!{sys.executable}
import json, os, urllib.request

def say(path, body):
    headers = {{"Authorization": "Token " + os.environ["K6_CLOUD_TOKEN"], "Content-Type": "application/json"}}
    where = os.environ["K6_CLOUD_HOST"] + path
    return json.load(urllib.request.urlopen(urllib.request.Request(where, json.dumps(body).encode(), headers)))

run = say("/v1/tests", {{"name": "script.js", "thresholds": {{"checks": ["rate>0.9"]}}}})["reference_id"]
end = {{"run_status": 3, "result_status": 0, "thresholds": {{"checks": {{"rate>0.9": False}}}}}}
say("/v1/tests/" + run, end)
"""
"""Says what k6 says of a run that measured nothing, so that its threshold held."""


@pytest.mark.parametrize(
    ("way", "source", "result"),
    [("k6", "k6", "unknown"), ("locust", "wrap", "unknown"), ("wrap", "wrap", "unknown"), ("rest", "rest", "passed")],
)
def test_a_command_works_as_it_is_printed(
    started: tuple[Client, dict[str, str]], tmp_path: Path, way: str, source: str, result: str
) -> None:
    """Pasted into a shell it reports a run, which ends with what could be proved. The tools here do nothing."""
    if way == "rest" and not has_curl():
        pytest.skip(MISSING)
    client, printed = started
    for tool in ("k6", "locust", "jmeter"):
        (tmp_path / tool).write_text(K6 if tool == "k6" else "#!/bin/sh\nexit 0\n")
        (tmp_path / tool).chmod(0o755)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])

    process = subprocess.run(
        ["sh", "-ec", printed[way]],
        env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert process.returncode == 0, process.stderr
    run = client.ok("GET", "/runs")["items"][0]
    assert (run["source"], run["status"], run["result"]) == (source, 3, result)
