"""
The commands.

``wrap`` runs beside load tools and has to start fast, so it is handled before Typer and Rich are imported. Every other
command goes through :mod:`loadbell.cli.program` and imports server modules only when it runs.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from loadbell.cli.streams import finish, prepare, report_unwritten

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command that ``arguments`` name and exits with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    prepare()
    try:
        code: str | int | None = _run(words)
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:  # while modules are imported; the commands handle it themselves
        code = _INTERRUPTED
    except OSError as error:
        code = report_unwritten(error)
    sys.exit(finish(code))


def _run(words: list[str]) -> int:
    if words[:1] == ["wrap"]:
        from loadbell.client.wrap import main as wrap  # noqa: PLC0415 - only what wrap needs

        return wrap(words[1:], os.environ)
    from loadbell.cli.program import run  # noqa: PLC0415 - Typer and Rich take 100 ms

    return run(words)
