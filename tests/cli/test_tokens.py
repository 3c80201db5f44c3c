"""``loadbell tokens`` as a person calls it: real processes against a real server."""

import json

import pytest

from loadbell.domain.orgs import Role, Scope
from tests.api.site import ApiSite
from tests.cli.conftest import Ask
from tests.support.commands import loadbell


def test_a_token_from_its_beginning_to_its_end(site: ApiSite, ask: Ask) -> None:
    """It is shown once and works; the list shows its beginning, its limits and its use; revoked it opens nothing."""
    project = str(site.ours.project_id)
    words = ("nightly", "--scope", "report", "--trigger", "ci", "--project", project, "--expires", "90d")
    added = ask("tokens", "add", *words)
    number, token = added.stdout.split()[1], added.stdout.split()[-1]
    unused = ask("tokens", "list")
    run = ask("organizations", "list", LOADBELL_TOKEN=token)
    used = ask("tokens", "list")
    revoked = ask("tokens", "revoke", number)

    assert [(0, "")] * 4 == [(process.returncode, process.stderr) for process in (added, unused, run, revoked)]
    assert f"Token {number} added. It expires in 90 d.\nToken (shown only once): lb_" in added.stdout
    (line,) = [line for line in unused.stdout.splitlines() if "nightly" in line]
    cells = [number, f"{token[:8]}…", "nightly", "report", f"project {project}", f"user {site.ours.user_id}"]
    assert [*cells, "never used", "expires in 90 d"] == [cell.strip() for cell in line.split("  ") if cell]
    assert [] == [line for line in used.stdout.splitlines() if "nightly" in line and "never used" in line]
    assert token not in unused.stdout + used.stdout
    assert f"Token {number} revoked.\n" == revoked.stdout
    assert 1 == ask("organizations", "list", LOADBELL_TOKEN=token).returncode


def test_json_is_the_servers_own_answer(ask: Ask) -> None:
    """With --json stdout is one JSON object: the new token, and the list without it."""
    made = json.loads(ask("tokens", "add", "n", "--scope", "read", "--json").stdout)

    assert made.pop("token").startswith("lb_")
    assert ("read", None, None) == (made["scope"], made["project_id"], made["expires_at"])
    assert made == json.loads(ask("tokens", "list", "--json").stdout)["items"][0]


def test_what_the_server_refuses(site: ApiSite, ask: Ask) -> None:
    """Another organization's project or token, a moment that has passed, a role that may not: 1, saying which."""
    refused = {
        "project_id": ask("tokens", "add", "n", "--scope", "report", "--project", str(site.theirs.project_id)),
        "expires_at": ask("tokens", "add", "n", "--scope", "report", "--expires", "2001-01-01T00:00:00Z"),
        "trigger": ask("tokens", "add", "n", "--scope", "report", "--trigger", "moon"),
        "no token 999999": ask("tokens", "revoke", "999999"),
        "member": ask("tokens", "list", LOADBELL_TOKEN=site.token(role=Role.MEMBER)),
        "scope": ask("tokens", "add", "n", "--scope", "read", LOADBELL_TOKEN=site.token(scope=Scope.READ)),
    }

    assert {(1, "")} == {(process.returncode, process.stdout) for process in refused.values()}
    assert [] == [(word, process.stderr) for word, process in refused.items() if word not in process.stderr]


@pytest.mark.parametrize(
    "words",
    [
        ["add", "n"],
        ["add", "n", "--scope", "everything"],
        ["add", "n", "--scope", "report", "--expires", "soon"],
        ["add", "n", "--scope", "report", "--project", "0"],
        ["revoke"],
        ["revoke", "lb_x"],
    ],
)
def test_wrong_usage(words: list[str]) -> None:
    """What can't be meant exits with 2 before a server is asked, and shows no stack trace."""
    process = loadbell("tokens", *words, LOADBELL_URL="http://127.0.0.1:9", LOADBELL_TOKEN="lb_x")

    assert 2 == process.returncode
    assert "Traceback" not in process.stderr
