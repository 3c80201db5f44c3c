"""
``loadbell wrap`` in the list of commands.

Its arguments and its help are the client's own: :func:`loadbell.cli.main` usually goes straight there.
"""

import os

import typer
from typer.core import TyperCommand

from loadbell.client.wrap import main


class _Verbatim(TyperCommand):
    """A command that gets its arguments as typed, ``--`` and ``--help`` included."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # Typer's own context is the only one that comes here
        ctx.args = list(args)
        return ctx.args


def register(app: typer.Typer) -> None:
    """Adds ``wrap`` to the program."""
    app.command("wrap", cls=_Verbatim, help="Run any load tool, unchanged, and report its run.")(_wrap)


def _wrap(context: typer.Context) -> None:
    raise typer.Exit(main(context.args, os.environ))
