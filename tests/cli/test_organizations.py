"""``loadbell organizations`` and ``projects`` as a person calls them: real processes against a real server."""

import json

import pytest

from loadbell.domain.orgs import Role, Scope
from tests.api.site import ApiSite
from tests.cli.conftest import Ask
from tests.support.commands import Completed, loadbell, loadbell_at_terminal


def test_the_tokens_organization(site: ApiSite, ask: Ask) -> None:
    """List, rename and show speak of the organization that the token is for."""
    own = site.ours.organization_id
    renamed = ask("organizations", "rename", "Ours and yours")
    listed, shown = ask("organizations", "list"), ask("organizations", "show")

    assert (0, f"Organization {own} renamed to Ours and yours.\n") == _outcome(renamed)
    assert f"{own}  Ours and yours  since just now\n" in listed.stdout.replace(_age(listed), "just now")
    assert f"default project  {site.ours.project_id}\n" in shown.stdout
    assert json.loads(ask("organizations", "show", "--json").stdout)["name"] == "Ours and yours"


def test_another_organization(ask: Ask) -> None:
    """``add`` prints ids and a token, with which the new organization is seen."""
    made = json.loads(ask("organizations", "add", "Another team", "--json").stdout)

    assert {"id", "project_id", "token"} == set(made)
    assert "Another team" in ask("organizations", "list", LOADBELL_TOKEN=made["token"]).stdout
    text = ask("organizations", "add", "A third one").stdout
    assert "added" in text
    assert "Token (shown only once): lb_" in text


def test_a_project_from_its_beginning_to_its_end(site: ApiSite, ask: Ask) -> None:
    """Add, rename, default, archive, restore, delete: each exits with 0 and says what it did."""
    first = site.ours.project_id
    project = json.loads(ask("projects", "add", "Shop", "--json").stdout)["id"]
    words = [("rename", str(project), "Web shop"), ("default", str(project)), ("archive", str(first))]
    processes = [ask("projects", *items) for items in words]
    listed = ask("projects", "list")
    processes += [ask("projects", "restore", str(first)), ask("projects", "default", str(first))]
    dry = ask("projects", "delete", str(project), "--dry-run")
    still = ask("projects", "list")
    gone = ask("projects", "delete", str(project), "--yes", "--json")

    assert [(0, "")] * 5 == [(one.returncode, one.stderr) for one in processes]
    new, old = listed.stdout.splitlines()
    assert new.startswith(f"{project}  Web shop         default")
    assert old.startswith(f"{first}  Default project  archived ")
    assert (0, f"Project {project} (Web shop) would be deleted with:") == (dry.returncode, dry.stdout.splitlines()[0])
    assert "Web shop" in still.stdout
    assert json.loads(gone.stdout)["runs"] == 0
    assert "Web shop" not in ask("projects", "list").stdout


@pytest.mark.parametrize("noun", ["organizations", "projects"])
def test_a_deletion_wants_the_name(site: ApiSite, noun: str) -> None:
    """At a terminal another word deletes nothing, and the name deletes, after what is lost was said."""
    environment = {"LOADBELL_URL": site.url, "LOADBELL_TOKEN": site.ours.token}
    words = [noun, "delete"]
    name = "Ours"
    if noun == "projects":
        words.append(str(site.project()))
        name = "Another"
    wrong = loadbell_at_terminal(*words, typed="Theirs\n", environment=environment)
    right = loadbell_at_terminal(*words, typed=f"{name}\n", environment=environment)

    assert 1 == wrong.returncode
    assert "nothing was changed" in wrong.stderr
    assert 0 == right.returncode, right.stderr
    assert "runs" in wrong.stderr.partition(f"Type {name} to confirm")[0]
    assert "was deleted with:\n" in right.stdout


@pytest.mark.parametrize("words", [["organizations", "delete"], ["projects", "delete", "{project}"]])
def test_without_a_terminal_a_deletion_needs_yes(site: ApiSite, ask: Ask, words: list[str]) -> None:
    """Nobody can be asked: exit code 2 says which option is missing, and nothing is gone."""
    project = site.project()
    before = site.contents()
    process = ask(*(word.format(project=project) for word in words))

    assert (2, "") == _outcome(process)
    assert "--yes" in process.stderr
    assert before == site.contents()


def test_what_the_server_refuses(site: ApiSite, ask: Ask) -> None:
    """The default project, another organization's, and what a role or scope may not are 1, in the server's words."""
    default, theirs = str(site.ours.project_id), str(site.theirs.project_id)
    admin, member = site.token(role=Role.ADMIN), site.token(role=Role.MEMBER)
    refused = {
        "default": ask("projects", "delete", default, "--yes"),
        f"no project {theirs}": ask("projects", "archive", theirs),
        "delete the organization": ask("organizations", "delete", "--yes", LOADBELL_TOKEN=admin),
        "change the organization": ask("organizations", "rename", "Mine", LOADBELL_TOKEN=member),
        "read projects": ask("projects", "list", LOADBELL_TOKEN=site.token(scope=Scope.REPORT)),
    }

    assert {(1, "")} == {_outcome(process) for process in refused.values()}
    assert [] == [(word, process.stderr) for word, process in refused.items() if word not in process.stderr]


@pytest.mark.parametrize(
    "words",
    [
        ["organizations", "add"],
        ["organizations", "nope"],
        ["projects", "rename", "1"],
        ["projects", "archive", "0"],
        ["projects", "delete", "x"],
        ["projects"],
    ],
)
def test_wrong_usage(words: list[str]) -> None:
    """What can't be meant exits with 2 before a server is asked, and shows no stack trace."""
    process = loadbell(*words, LOADBELL_URL="http://127.0.0.1:9", LOADBELL_TOKEN="lb_x")

    assert 2 == process.returncode
    assert "Traceback" not in process.stderr


def _outcome(done: Completed) -> tuple[int, str]:
    return done.returncode, done.stdout


def _age(done: Completed) -> str:
    """What the only line of a list ends with, behind "since"."""
    return done.stdout.rstrip().rpartition("since ")[2]
