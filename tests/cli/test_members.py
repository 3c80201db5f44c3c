"""``loadbell members`` as a person calls it: real processes against a real server."""

import json
from typing import Any

import pytest

from loadbell.domain.orgs import Role
from tests.api.site import ApiSite
from tests.cli.conftest import Ask
from tests.support.commands import Completed, loadbell, loadbell_at_terminal

PASSWORD = "correct horse battery"


def join(site: ApiSite, ask: Ask, email: str, *words: str) -> dict[str, Any]:
    """Invites somebody with the command, and accepts; the answer to that."""
    invited = json.loads(ask("members", "invite", email, *words, "--json").stdout)
    body = {"token": invited["token"], "name": "Lee", "password": PASSWORD}
    joined: dict[str, Any] = site.nobody.ok("POST", "/invitations/accept", body)
    return joined


def test_an_invitation(site: ApiSite, ask: Ask) -> None:
    """Inviting prints the link once; the list shows the invitation without it, until it is revoked."""
    project = site.ours.project_id
    invited = ask("members", "invite", "Lee@example.org", "--role", "member", "--project", str(project))
    listed = ask("members", "invitations")
    number = listed.stdout.split()[0]
    revoked = ask("members", "revoke", number)
    empty = ask("members", "invitations")

    assert [(0, "")] * 3 == [(done.returncode, done.stderr) for done in (invited, listed, revoked)]
    assert invited.stdout.startswith("lee@example.org was invited as member. The link is being e-mailed.\n")
    assert "https://loadbell.example.org/invitations/lbi_" in invited.stdout
    assert f"{number}  lee@example.org  member  project {project}  expires in 7 d\n" == listed.stdout
    assert f"Invitation {number} revoked.\n" == revoked.stdout
    assert (0, "") == _outcome(empty)
    assert "loadbell members invite" in empty.stderr


def test_a_member_is_changed_and_removed(site: ApiSite, ask: Ask) -> None:
    """By e-mail address in any case or by id: projects, none, another role; and then the person is gone."""
    user = str(join(site, ask, "lee@example.org", "--role", "member")["user_id"])
    project, another = str(site.ours.project_id), str(site.project())
    processes = [
        ask("members", "set", "LEE@example.org", "--project", project, "--project", another),
        ask("members", "set", user, "--no-projects"),
        ask("members", "set", user, "--role", "admin"),
    ]
    listed = ask("members", "list")
    removed = ask("members", "remove", "lee@example.org", "--yes")

    assert [(0, "")] * 3 == [(done.returncode, done.stderr) for done in processes]
    assert [
        f"lee@example.org now has the role member and can see projects {project}, {another}.\n",
        "lee@example.org now has the role member and can see no project.\n",
        "lee@example.org now has the role admin and can see all projects.\n",
    ] == [done.stdout for done in processes]
    assert f"{user}  lee@example.org  Lee   admin  all projects  since " in listed.stdout
    assert removed.stdout.startswith("lee@example.org was removed")
    assert "lee@example.org" not in ask("members", "list").stdout


def test_handing_the_organization_over(site: ApiSite, ask: Ask) -> None:
    """At a terminal the e-mail address has to be typed; the former owner is an admin then."""
    join(site, ask, "lee@example.org", "--role", "admin")
    environment = {"LOADBELL_URL": site.url, "LOADBELL_TOKEN": site.ours.token}
    words = ("members", "transfer", "lee@example.org")
    wrong = loadbell_at_terminal(*words, typed="yes\n", environment=environment)
    right = loadbell_at_terminal(*words, typed="lee@example.org\n", environment=environment)

    assert 1 == wrong.returncode
    assert 0 == right.returncode, right.stderr
    assert "lee@example.org now owns organization" in right.stdout
    members = json.loads(ask("members", "list", "--json").stdout)["items"]
    assert {"lee@example.org": "owner", "ann@example.org": "admin"} == {one["email"]: one["role"] for one in members}


def test_leaving(site: ApiSite, ask: Ask) -> None:
    """Everybody but the owner, whom the token tells; its organization is closed to it afterwards."""
    admin = join(site, ask, "lee@example.org", "--role", "admin")
    member = join(site, ask, "max@example.org", "--role", "member")
    leave = ("members", "leave", "--yes")
    process = ask(*leave, LOADBELL_TOKEN=admin["token"])
    left_too = ask(*leave, LOADBELL_TOKEN=member["token"])

    assert [0, 0] == [process.returncode, left_too.returncode]
    assert process.stdout.startswith(f"You left organization {site.ours.organization_id}.")
    assert ["ann@example.org"] == [one["email"] for one in json.loads(ask("members", "list", "--json").stdout)["items"]]
    assert 1 == ask(*leave).returncode
    assert 1 == ask("members", "list", LOADBELL_TOKEN=admin["token"]).returncode


@pytest.mark.parametrize("words", [["transfer", "{member}"], ["remove", "{member}"], ["leave"]])
def test_without_a_terminal_what_cant_be_undone_needs_yes(site: ApiSite, ask: Ask, words: list[str]) -> None:
    """Nobody can be asked: exit code 2 says which option is missing, and everybody is what they were."""
    member = str(join(site, ask, "lee@example.org", "--role", "member")["user_id"])
    before = site.contents()
    process = ask("members", *(word.format(member=member) for word in words))

    assert (2, "") == _outcome(process)
    assert "--yes" in process.stderr
    assert before == site.contents()


def test_what_the_server_refuses(site: ApiSite, ask: Ask) -> None:
    """Somebody unknown or of another organization, the owner, a project that is none: 1, saying which."""
    refused = {
        "nobody@example.org isn't a member": ask("members", "set", "nobody@example.org", "--no-projects"),
        "bob@example.org isn't a member": ask("members", "remove", "bob@example.org", "--yes"),
        "owner can't be removed": ask(
            "members", "remove", "ann@example.org", "--yes", LOADBELL_TOKEN=site.token(role=Role.ADMIN)
        ),
        "project_ids": ask(
            "members", "invite", "lee@example.org", "--role", "member", "--project", str(site.theirs.project_id)
        ),
        "member": ask("members", "list", LOADBELL_TOKEN=site.token(role=Role.MEMBER)),
    }

    assert {(1, "")} == {_outcome(process) for process in refused.values()}
    assert [] == [(word, process.stderr) for word, process in refused.items() if word not in process.stderr]


@pytest.mark.parametrize(
    "words",
    [
        ["invite", "lee@example.org"],
        ["invite", "lee@example.org", "--role", "owner"],
        ["invite", "lee@example.org", "--role", "member", "--project", "0"],
        ["set", "lee@example.org"],
        ["set", "lee@example.org", "--project", "1", "--no-projects"],
        ["revoke", "x"],
        ["remove"],
    ],
)
def test_wrong_usage(words: list[str]) -> None:
    """What can't be meant exits with 2 before a server is asked, and shows no stack trace."""
    process = loadbell("members", *words, LOADBELL_URL="http://127.0.0.1:9", LOADBELL_TOKEN="lb_x")

    assert 2 == process.returncode
    assert "Traceback" not in process.stderr


def _outcome(done: Completed) -> tuple[int, str]:
    return done.returncode, done.stdout
