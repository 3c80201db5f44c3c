"""``loadbell tokens``: API tokens of the organization."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from loadbell.cli.remote import request, request_all
from loadbell.cli.tables import AsJson, format_time, show, show_list
from loadbell.cli.times import parse_future_time


class TokenScope(StrEnum):
    """The rights of a token; its user's role may limit them further."""

    REPORT = "report"
    READ = "read"
    MANAGE = "manage"


def register(app: typer.Typer) -> None:
    """Adds ``tokens`` with its own commands to the program."""
    group = typer.Typer(help="Manage API tokens.", no_args_is_help=True)
    group.command("list")(list_tokens)
    for command in (add, revoke):
        group.command()(command)
    app.add_typer(group, name="tokens")


def list_tokens(as_json: AsJson = False) -> None:
    """List the organization's tokens, newest first, with their prefix and last use."""
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
    show_list(items, rows, as_json=as_json, empty="No tokens yet. Add one with: loadbell tokens add")


def add(  # noqa: PLR0913, PLR0917 - one argument for each property
    name: Annotated[str, typer.Argument(help="A name that says what the token is for.")],
    scope: Annotated[TokenScope, typer.Option(help="What the token may do.")],
    trigger: Annotated[
        str | None, typer.Option(help="Default trigger of runs reported with it: manual, scheduled, ci.")
    ] = None,
    project: Annotated[
        int | None, typer.Option(metavar="ID", help="Limit the token to this project. Recommended for CI.", min=1)
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it expires: 90d, or a time such as 2026-12-31T00:00:00Z. Default: never.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a token for yourself, and print it. It is shown only once."""
    optional = {"trigger": trigger, "project_id": project, "expires_at": parse_future_time(expires, "--expires")}
    given = {key: value for key, value in optional.items() if value is not None}
    made = request("POST", "/tokens", {"name": name, "scope": scope.value, **given})
    ends = "" if made["expires_at"] is None else f" It expires {format_time(made['expires_at'])}."
    show(made, f"Token {made['id']} added.{ends}\nToken (shown only once): {made['token']}", as_json=as_json)


def revoke(
    token_id: Annotated[int, typer.Argument(help="The token's id; `loadbell tokens list` shows it.", min=1)],
) -> None:
    """Revoke a token. Requests with it are rejected from now on."""
    request("DELETE", f"/tokens/{token_id}")
    print(f"Token {token_id} revoked.")


def _end(token: dict[str, Any]) -> str:
    if token["expires_at"] is None:
        return "never expires"
    away = format_time(token["expires_at"])
    return f"expires {away}" if away.startswith("in ") else f"expired {away}"
