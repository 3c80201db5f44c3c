"""What can't be undone is confirmed, by typing a name or with ``--yes``; a deletion says before what is lost."""

import sys
from typing import Annotated, Any

import typer

from loadbell.cli.errors import CommandError, ExitCode
from loadbell.cli.remote import request
from loadbell.cli.tables import show
from loadbell.client.api import one_line

Yes = Annotated[bool, typer.Option("--yes", help="Don't ask. Required where there is no terminal.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be lost.")]

_LOSSES = {
    "open_runs": "of which still go on",
    "pending_deliveries": "deliveries not yet made, which are cancelled",
    "assigned_members": "members who are assigned to it",
}


def confirm(name: str, *, yes: bool) -> None:
    """Goes on if the person at the terminal types ``name``, or at once with ``yes``.

    Raises:
        GaveUp: something else was typed, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("nothing was done: there is no terminal to confirm it at. Add --yes.", ExitCode.USAGE)
    print(f"Type {one_line(name)} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != one_line(name):
        raise CommandError("nothing was done: this is not what was asked for. Try again.")


def delete_named(path: str, name: str, what: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:  # noqa: PLR0913 - what and how
    """Deletes what stands at ``path``: says what is lost, asks for its ``name``, and says that it is gone."""
    if dry_run or not yes:
        loss = request("DELETE", f"{path}?dry_run=true")
        if dry_run:
            show(loss, _format_loss(loss, f"{what} ({one_line(name)}) would take with it:"), as_json=as_json)
            return
        typer.echo(_format_loss(loss, f"{what} ({one_line(name)}) takes with it:"), err=True)
    confirm(name, yes=yes)
    loss = request("DELETE", path)
    show(loss, f"{_format_loss(loss, f'{what} took with it:')}\n{what} is deleted.", as_json=as_json)


def _format_loss(loss: dict[str, Any], title: str) -> str:
    lines = [f"  {count:>6}  {_LOSSES.get(name, name.replace('_', ' '))}" for name, count in loss.items()]
    return "\n".join([title, *lines])
