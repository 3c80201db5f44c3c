"""Confirms what can't be undone, by typing a name or with ``--yes``. A deletion first shows what will be lost."""

import sys
from typing import Annotated, Any

import typer

from loadbell.cli.errors import CommandError, ExitCode
from loadbell.cli.remote import request
from loadbell.cli.tables import show
from loadbell.client.api import one_line

Yes = Annotated[bool, typer.Option("--yes", help="Skip the confirmation prompt. Required without a terminal.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, without deleting it.")]

_LOSSES = {
    "open_runs": "runs still running",
    "pending_deliveries": "pending deliveries (cancelled)",
    "assigned_members": "assigned members",
}


def confirm(name: str, *, yes: bool) -> None:
    """Returns once the user has typed ``name``, or at once with ``yes``.

    Raises:
        CommandError: something else was typed, or there is no terminal.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("nothing was changed: there is no terminal to confirm on. Add --yes.", ExitCode.USAGE)
    print(f"Type {one_line(name)} to confirm: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != one_line(name):
        raise CommandError("nothing was changed: the text doesn't match. Try again.")


def delete_named(path: str, name: str, what: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:  # noqa: PLR0913 - what to delete and how
    """Shows what deleting ``path`` would lose, asks for its ``name``, then deletes it."""
    if dry_run or not yes:
        loss = request("DELETE", f"{path}?dry_run=true")
        if dry_run:
            show(loss, _format_loss(loss, f"{what} ({one_line(name)}) would be deleted with:"), as_json=as_json)
            return
        typer.echo(_format_loss(loss, f"{what} ({one_line(name)}) will be deleted with:"), err=True)
    confirm(name, yes=yes)
    loss = request("DELETE", path)
    show(loss, f"{_format_loss(loss, f'{what} was deleted with:')}", as_json=as_json)


def _format_loss(loss: dict[str, Any], title: str) -> str:
    lines = [f"  {count:>6}  {_LOSSES.get(name, name.replace('_', ' '))}" for name, count in loss.items()]
    return "\n".join([title, *lines])
