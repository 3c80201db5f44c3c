"""``loadbell tokens``: what programs come with to speak for a person in the organization."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from loadbell.cli.remote import request, request_all
from loadbell.cli.tables import AsJson, format_time, show, show_list
from loadbell.cli.times import parse_future_time


class TokenScope(StrEnum):
    """What a token may do at most."""

    REPORT = "report"
    READ = "read"
    MANAGE = "manage"


def register(app: typer.Typer) -> None:
    """Adds ``tokens`` with its own commands to the program."""
    group = typer.Typer(help="API tokens: list, add and revoke.", no_args_is_help=True)
    group.command("list")(list_tokens)
    for command in (add, revoke):
        group.command()(command)
    app.add_typer(group, name="tokens")


def list_tokens(as_json: AsJson = False) -> None:
    """List all tokens of the organization, newest first: what they begin with, and when they were last used."""
    items = request_all("/tokens")
    rows = [
        (
            item["id"],
            f"{item['prefix']}…",
            item["name"],
            item["scope"],
            "all projects" if item["project_id"] is None else f"project {item['project_id']}",
            f"user {item['user_id']}",
            "never used" if item["last_used_at"] is None else f"used {format_time(item['last_used_at'])}",
            _end(item),
        )
        for item in items
    ]
    show_list(items, rows, as_json=as_json, empty="There are no tokens. Add one with: loadbell tokens add")


def add(  # noqa: PLR0913, PLR0917 - one argument for each property
    name: Annotated[str, typer.Argument(help="What it is for, so that it is known again.")],
    scope: Annotated[TokenScope, typer.Option(help="What it may do at most.")],
    trigger: Annotated[
        str | None, typer.Option(help="What starts the runs that are reported with it: manual, scheduled, ci.")
    ] = None,
    project: Annotated[
        int | None, typer.Option(metavar="ID", help="The only project that it opens: right for CI.", min=1)
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 90d, or a moment such as 2026-12-31T00:00:00Z. Else never.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a token of your own, and print it; it is shown this once."""
    optional = {"trigger": trigger, "project_id": project, "expires_at": parse_future_time(expires, "--expires")}
    given = {key: value for key, value in optional.items() if value is not None}
    made = request("POST", "/tokens", {"name": name, "scope": scope.value, **given})
    ends = "" if made["expires_at"] is None else f" It expires {format_time(made['expires_at'])}."
    show(made, f"Token {made['id']} is added.{ends}\nToken, shown this once: {made['token']}", as_json=as_json)


def revoke(
    token_id: Annotated[int, typer.Argument(help="Its id; `loadbell tokens list` shows it.", min=1)],
) -> None:
    """Take a token back: from now on it opens nothing."""
    request("DELETE", f"/tokens/{token_id}")
    print(f"Token {token_id} is revoked.")


def _end(token: dict[str, Any]) -> str:
    if token["expires_at"] is None:
        return "never expires"
    away = format_time(token["expires_at"])
    return f"expires {away}" if away.startswith("in ") else f"expired {away}"
