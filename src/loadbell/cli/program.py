"""The Typer program: every command in one place, each registered by its own module."""

import errno
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from loadbell import __version__
from loadbell.cli import (
    audit,
    backup,
    channels,
    demo,
    k6,
    listen,
    members,
    organizations,
    projects,
    runs,
    server,
    tokens,
    users,
    wrap,
)
from loadbell.cli.errors import explain

_COMMANDS = (
    *(channels, organizations, members, projects, tokens, audit, users, demo, listen, server, backup, wrap, k6, runs),
)
"""Modules with a ``register(app)``. They import the server only when their command runs: ``--help`` stays fast."""

_OF_OUTPUT = frozenset({errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EPIPE})


def run(words: Sequence[str]) -> int:
    """Runs the command that ``words`` name; the code to exit with.

    Raises:
        OSError: what it prints can't be written.
        SystemExit: a command or Typer itself has ended the program.
    """
    try:
        program()(args=list(words), prog_name="loadbell")
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in _OF_OUTPUT:
            raise
        message, code = explain(error)
        print(f"loadbell: {message}", file=sys.stderr)
        return code
    return 0


def program() -> typer.Typer:
    """The program with all of its commands."""
    app = typer.Typer(
        help="Notifies your team when a load test starts or ends.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_loadbell)
    for command in _COMMANDS:
        command.register(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"loadbell {__version__}")
        raise typer.Exit


def _loadbell(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Notifies your team when a load test starts or ends."""
