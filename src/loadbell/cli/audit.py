"""``loadbell audit``: who changed what, when and from where."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from loadbell.cli.errors import CommandError
from loadbell.cli.local import run_with_database
from loadbell.cli.members import find_member
from loadbell.cli.remote import own_organization, request_all, request_lines
from loadbell.cli.tables import AsJson, format_time, show_list
from loadbell.cli.times import parse_past_time
from loadbell.client.api import one_line

_BATCH_SIZE = 500  # entries that are read in one transaction

User = Annotated[
    str | None, typer.Option(metavar="EMAIL_OR_ID", help="Only actions of this user. For former members, use the id.")
]
Action = Annotated[str | None, typer.Option(help="Only this action, such as channel.changed.")]
Since = Annotated[str | None, typer.Option(help="Only entries since: 24h, or a time such as 2026-11-23T00:00:00Z.")]
Until = Annotated[str | None, typer.Option(help="Only entries before this time, in the same format.")]


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
    limit: Annotated[int, typer.Option(help="Maximum number of entries.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List changes in the organization, newest first."""
    path, filters = _build_query(user, action, since, until)
    items = request_all(path, limit=limit, **filters)
    rows = [
        (
            format_time(item["created_at"]),
            _who(item),
            item["address"] or "-",
            item["action"],
            item["subject"],
            _changes(item),
        )
        for item in items
    ]
    show_list(items, rows, as_json=as_json, empty="No entries match. Try fewer filters.")


def export(  # noqa: PLR0913, PLR0917 - one argument for each filter
    user: User = None,
    action: Action = None,
    since: Since = None,
    until: Until = None,
    database: Annotated[
        bool,
        typer.Option(
            "--database",
            help="For operators, on the server: read the configured database, including all organizations, deleted "
            "ones, and accounts.",
        ),
    ] = False,
    organization: Annotated[
        int | None, typer.Option(metavar="ID", help="With --database: only this organization.", min=1)
    ] = None,
) -> None:
    """Print the audit log as JSON Lines, newest first."""
    if database:
        _export_database(
            user, action, organization, parse_past_time(since, "--since"), parse_past_time(until, "--until")
        )
        return
    if organization is not None:
        raise typer.BadParameter(
            "only valid with --database; a token already has its organization", param_hint="--organization"
        )
    path, filters = _build_query(user, action, since, until)
    for entry in request_lines(f"{path}/export", **filters):
        print(json.dumps(entry))


def _export_database(
    user: str | None, action: str | None, organization_id: int | None, since: str | None, until: str | None
) -> None:
    """Prints the log from the database, page by page. Works while the server runs."""
    from datetime import datetime  # noqa: PLC0415 - server modules load only when their command runs

    from loadbell.domain.ids import from_datetime, rfc3339  # noqa: PLC0415 - as above
    from loadbell.store.audit import Entry, Filters, list_full_log  # noqa: PLC0415 - as above
    from loadbell.store.engine.db import Database, Transaction  # noqa: PLC0415 - as above
    from loadbell.store.users import find_user_by_email  # noqa: PLC0415 - as above

    async def filters(tx: Transaction) -> Filters:
        span = [None if moment is None else from_datetime(datetime.fromisoformat(moment)) for moment in (since, until)]
        if user is None or user.isdecimal():
            return Filters(None if user is None else int(user), action, *span)
        found = await find_user_by_email(tx, user)
        if found is None:
            raise CommandError(f"{one_line(user)} has no account here. `loadbell users list` shows all accounts.")
        return Filters(found.id, action, *span)

    async def export_whole(database: Database) -> None:
        wanted, before = await database.read(filters), None

        async def page(tx: Transaction) -> list[tuple[int | None, Entry]]:
            return await list_full_log(tx, organization_id, wanted, before=before, limit=_BATCH_SIZE)

        while entries := await database.read(page):
            for owner, entry in entries:
                values = {**asdict(entry), "created_at": rfc3339(entry.created_at)}
                print(json.dumps({"organization_id": owner, "user": values.pop("email"), **values}))
            before = entries[-1][1].id

    run_with_database(export_whole)


def _build_query(
    user: str | None, action: str | None, since: str | None, until: str | None
) -> tuple[str, dict[str, str | int | None]]:
    spans = {"since": parse_past_time(since, "--since"), "until": parse_past_time(until, "--until")}
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
    """The changes as text: "name: a → b, enabled: true → false"."""
    return ", ".join(f"{name}: {_change(change)}" for name, change in entry["changes"].items())


def _change(change: Any) -> str:
    if isinstance(change, dict) and set(change) == {"before", "after"}:
        return f"{_value(change['before'])} → {_value(change['after'])}"
    return _value(change)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
