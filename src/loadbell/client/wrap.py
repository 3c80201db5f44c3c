"""
``loadbell wrap``: runs any load tool unchanged and reports its run. See ``docs/wrap.md``.

Exit code, output and timing stay the tool's. The tool starts before anything is sent. If reporting fails, it costs one
line on stderr and, after the tool's end, at most a few seconds.
"""

import argparse
import os
import time
from collections.abc import Mapping, Sequence

from loadbell.client.child import Child
from loadbell.client.limits import Limit
from loadbell.client.stderr import STDERR, say
from loadbell.client.timeouts import Timeouts


def main(arguments: Sequence[str], environment: Mapping[str, str], timeouts: Timeouts | None = None) -> int:
    """Runs the command after ``--`` in ``arguments`` and reports its run. Returns the command's exit code.

    Call it in the main thread: it handles the process's signals.

    Raises:
        SystemExit: with code 2 for wrong usage, before anything starts; with 0 after ``--help``.
    """
    timeouts = timeouts or Timeouts()
    options = _parse(arguments)
    options.environment = environment
    _fill_standard_streams()
    began = time.time(), time.monotonic()
    try:
        child = Child(options.command, patience_s=timeouts.patience_s, on_survivors=_warn_survivors)
    except OSError as error:
        from loadbell.client.run_report import report_not_started  # noqa: PLC0415 - as below

        return report_not_started(error, options, timeouts)
    from loadbell.client.run_report import RunReport  # noqa: PLC0415 - a slow import, which the tool shouldn't wait for

    report = RunReport(options, child, began, timeouts)
    return report.end(child.wait())


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    own, separator, command = _split(arguments)
    parser = argparse.ArgumentParser(
        prog="loadbell wrap",
        usage="loadbell wrap [--test NAME] [--project ID] [--trigger T] [--fail-if EXPR]... -- CMD ...",
        description="Run any load tool, unchanged, and report its run. Exits with CMD's exit code; "
        "128+N if signal N ended it, 127 if it wasn't found, 126 if it can't be executed.",
        epilog="Reports to LOADBELL_URL with LOADBELL_TOKEN. If that fails, CMD still runs.",
        allow_abbrev=False,
    )
    parser.add_argument("--test", metavar="NAME", type=_name, help="the test's name (default: the tool and its script)")
    parser.add_argument("--project", metavar="ID", type=int, help="the project to report to (default: the token's)")
    parser.add_argument(
        "--trigger",
        choices=("manual", "scheduled", "ci", "unknown"),
        help="what started the run (default: read from the CI system's variables)",
    )
    parser.add_argument(
        "--fail-if",
        metavar="EXPR",
        dest="limits",
        type=_limit,
        action="append",
        default=[],
        help="a limit NAME OP NUMBER, such as 'failed_rate > 1%%' or 'duration_s > 10m'; can be repeated",
    )
    options, unknown = parser.parse_known_args(own)
    if unknown and separator:  # shown only up to its "=": the rest may be a secret
        name = unknown[0].partition("=")[0]
        parser.error(f"unknown option {name}" if name.startswith("--") else "only options are allowed before --")
    if not separator or not command:
        parser.error("put the command after --, for example: loadbell wrap -- k6 run script.js")
    options.command = command
    return options


def _split(arguments: Sequence[str]) -> tuple[list[str], bool, list[str]]:
    words = list(arguments)
    if "--" not in words:
        return words, False, []
    at = words.index("--")
    return words[:at], True, words[at + 1 :]


def _name(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a name can't be empty")
    return text


def _limit(text: str) -> Limit:
    try:
        return Limit.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _fill_standard_streams() -> None:
    """Keeps our own files off descriptors 0, 1 and 2 if any of these is closed; it stays closed for the tool."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(descriptor)


def _warn_survivors(names: str) -> None:
    say(f"couldn't be stopped, still running: {names}")
