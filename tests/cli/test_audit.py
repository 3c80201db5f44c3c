"""``loadbell audit`` as a person calls it: real processes against a real server."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Role
from loadbell.store.audit import append_account_entry
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.api.site import ApiSite, clock
from tests.cli.conftest import Ask
from tests.support.commands import Completed, loadbell
from tests.support.stores import KEY


def test_what_was_changed_is_listed(site: ApiSite, ask: Ask) -> None:
    """One line an entry: when, who, from where, what, and what was before and after; newest first."""
    ask("organizations", "rename", "Ours and yours")
    ask("projects", "add", "Shop")
    process = ask("audit", "list")
    newest, before, *_ = process.stdout.splitlines()

    assert (0, "") == (process.returncode, process.stderr)
    assert "ann@example.org  127.0.0.1  project.created" in newest
    assert "organization.changed" in before
    assert "name: Ours → Ours and yours" in before


def test_filters_and_limit(site: ApiSite, ask: Ask) -> None:
    """By user (address or id), action and time; no more than asked for; nothing found is said on stderr."""
    for name in ("One", "Two", "Three"):
        ask("projects", "add", name)
    only = ("--action", "project.created")

    assert 3 == len(_items(ask("audit", "list", *only, "--json")))
    assert 2 == len(_items(ask("audit", "list", *only, "--limit", "2", "--json")))
    assert 3 == len(_items(ask("audit", "list", *only, "--user", "Ann@example.org", "--since", "1h", "--json")))
    for words in (["--user", str(site.theirs.user_id)], ["--until", "1h"], ["--since", "2999-01-01T00:00:00Z"]):
        process = ask("audit", "list", *only, *words)
        assert (0, "") == (process.returncode, process.stdout)
        assert "No entries match" in process.stderr


def test_the_whole_log_is_exported(site: ApiSite, ask: Ask) -> None:
    """JSON lines, newest first, more than a page of the server's; the filters are those of the list."""
    site.sql(
        "INSERT INTO audit_entries (organization_id, action, subject, changes, created_at) "
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450) "
        "SELECT :organization, 'test.many', 'test ' || i, '{}', :now FROM n",
        organization=site.ours.organization_id,
        now=clock(),
    )
    process = ask("audit", "export", "--action", "test.many")
    entries = [json.loads(line) for line in process.stdout.splitlines()]

    assert (0, "") == (process.returncode, process.stderr)
    assert [f"test {number}" for number in range(450, 0, -1)] == [entry["subject"] for entry in entries]
    assert 450 == len(_items(ask("audit", "list", "--action", "test.many", "--limit", "1000", "--json")))
    assert "" == ask("audit", "export", "--action", "test.many", "--until", "1h").stdout


def test_an_export_that_breaks_off_says_so() -> None:
    """An answer that isn't whole JSON lines ends with exit code 3 behind what came; a pipe may go on from there."""
    first = b'{"items": [{"id": 1}], "next_cursor": null}'
    with ScriptedReceiver([respond(200, {}, first), respond(200, {}, b'{"id": 2}\n{"id": ')]) as receiver:
        process = loadbell("audit", "export", LOADBELL_URL=receiver.url, LOADBELL_TOKEN="lb_x")

    assert (3, '{"id": 2}\n') == (process.returncode, process.stdout)
    assert "cut off" in process.stderr


def test_what_the_server_refuses(site: ApiSite, ask: Ask) -> None:
    """A member can't read the log, neither listed nor exported: 1, in the server's words."""
    member = site.token(role=Role.MEMBER)
    for command in ("list", "export"):
        process = ask("audit", command, LOADBELL_TOKEN=member)
        assert (1, "") == (process.returncode, process.stdout)
        assert "can't read the audit log" in process.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--since", "soon"],
        ["list", "--limit", "0"],
        ["export", "--until", "x"],
        ["export", "--organization", "1"],
    ],
)
def test_wrong_usage(words: list[str]) -> None:
    """What can't be meant exits with 2 before a server is asked, and shows no stack trace."""
    process = loadbell("audit", *words, LOADBELL_URL="http://127.0.0.1:9", LOADBELL_TOKEN="lb_x")

    assert 2 == process.returncode
    assert "Traceback" not in process.stderr


def test_the_operator_exports_every_log_beside_a_running_server(
    site: ApiSite, ask: Ask, sqlite_store: str, tmp_path: Path
) -> None:
    """With --database: all organizations, deleted ones too, and accounts; of one; of one person; of a time."""
    environment = {
        "LOADBELL_DATABASE_URL": sqlite_store,
        "LOADBELL_DATA_DIR": str(tmp_path),
        "LOADBELL_SECRET_KEY": KEY,
    }
    export = partial(loadbell, "audit", "export", "--database", **environment)
    ask("organizations", "rename", "Ours and yours")
    ask("organizations", "rename", "Yours and ours", LOADBELL_TOKEN=site.theirs.token)
    ask("organizations", "delete", "--yes")
    site.do(lambda tx: append_account_entry(tx, site.theirs.user_id, None, "account.changed", {}))
    site.sql("UPDATE audit_entries SET created_at = :then WHERE action = 'account.changed'", then=SECOND)
    process = export()
    ours, theirs = site.ours.organization_id, site.theirs.organization_id

    assert (0, "") == (process.returncode, process.stderr)
    assert [
        (None, "bob@example.org", "account.changed"),
        (ours, "ann@example.org", "organization.deleted"),
        (theirs, "bob@example.org", "organization.changed"),
        (ours, "ann@example.org", "organization.changed"),
    ] == _read_entries(process)[:4]
    assert {"created_at": "1970-01-01T00:00:01.000Z", "changes": {}} == {
        key: value
        for key, value in json.loads(process.stdout.splitlines()[0]).items()
        if key in {"created_at", "changes"}
    }
    assert {ours} == {organization for organization, _, _ in _read_entries(export("--organization", str(ours)))}
    assert {"bob@example.org"} == {text for _, text, _ in _read_entries(export("--user", "Bob@example.org"))}
    assert [(None, "bob@example.org", "account.changed")] == _read_entries(export("--until", "1971-01-01T00:00:00Z"))
    nobody = export("--user", "nobody@example.org")
    assert (1, "") == (nobody.returncode, nobody.stdout)
    assert "nobody@example.org has no account" in nobody.stderr


def _read_entries(done: Completed) -> list[tuple[int | None, str, str]]:
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    return [(entry["organization_id"], entry["user"], entry["action"]) for entry in entries]


def _items(done: Completed) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return items
