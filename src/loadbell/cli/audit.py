"""``loadbell audit``: who changed what, when and from where."""

import json
from typing import Annotated, Any

import typer

from loadbell.cli.members import find_member
from loadbell.cli.moments import earlier
from loadbell.cli.remote import ask_all, ask_lines, own_organization
from loadbell.cli.tables import AsJson, show_list, when

User = Annotated[
    str | None, typer.Option(metavar="EMAIL_OR_ID", help="Only what this person did. Who has left: by id.")
]
Action = Annotated[str | None, typer.Option(help="Only this action, such as channel.changed.")]
Since = Annotated[str | None, typer.Option(help="From when on: 24h, or a moment such as 2026-11-23T00:00:00Z.")]
Until = Annotated[str | None, typer.Option(help="Until before when, in the same words.")]


def register(app: typer.Typer) -> None:
    """Adds ``audit`` with its own commands to the program."""
    group = typer.Typer(help="The audit log: who changed what, when and from where.", no_args_is_help=True)
    group.command("list")(list_entries)
    group.command()(export)
    app.add_typer(group, name="audit")


def list_entries(  # noqa: PLR0913, PLR0917 - one argument for each filter
    user: User = None,
    action: Action = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(help="How many entries, at most.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List what was changed in the organization, newest first."""
    path, filters = _asked(user, action, since, until)
    found = ask_all(path, limit=limit, **filters)
    rows = [
        (when(one["created_at"]), _who(one), one["address"] or "-", one["action"], one["subject"], _changes(one))
        for one in found
    ]
    show_list(found, rows, as_json=as_json, empty="The audit log has no such entry. Ask for more with fewer options.")


def export(user: User = None, action: Action = None, since: Since = None, until: Until = None) -> None:
    """Print the audit log as JSON lines, one entry a line, newest first."""
    path, filters = _asked(user, action, since, until)
    for entry in ask_lines(f"{path}/export", **filters):
        print(json.dumps(entry))


def _asked(
    user: str | None, action: str | None, since: str | None, until: str | None
) -> tuple[str, dict[str, str | int | None]]:
    spans = {"since": earlier(since, "--since"), "until": earlier(until, "--until")}
    organization_id = own_organization()
    user_id = None
    if user is not None:
        user_id = int(user) if user.isdecimal() else find_member(organization_id, user)["user_id"]
    return f"/organizations/{organization_id}/audit", {"user_id": user_id, "action": action, **spans}


def _who(entry: dict[str, Any]) -> str:
    if entry["user_id"] is None:
        return "loadbell"
    return entry["user"] or f"user {entry['user_id']}"


def _changes(entry: dict[str, Any]) -> str:
    """What was changed, in the words of the log: "name: a → b, enabled: true → false"."""
    return ", ".join(f"{name}: {_change(change)}" for name, change in entry["changes"].items())


def _change(change: Any) -> str:
    if isinstance(change, dict) and set(change) == {"before", "after"}:
        return f"{_value(change['before'])} → {_value(change['after'])}"
    return _value(change)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
