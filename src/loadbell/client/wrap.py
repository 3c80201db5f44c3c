"""
``loadbell wrap``: runs any load tool unchanged and reports its run. ``docs/wrap.md`` is the user's page.

Exit code, output and timing stay the tool's. The tool starts before anything is sent; what can't be sent costs one
line on stderr and, after the tool's end, a few seconds at most.
"""

import argparse
import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from loadbell.client import tools
from loadbell.client.child import Child
from loadbell.client.ci import origin_of
from loadbell.client.limits import METRICS, Limit
from loadbell.client.pace import Pace
from loadbell.client.tools import End, Execution

if TYPE_CHECKING:
    from loadbell.client.report import Reporter

_CREATED, _RUNNING = -1, 2
_NAME_CAP = 10_000
_BY_SIGNAL = 128
_STDIN, _STDERR = 0, 2


def main(arguments: Sequence[str], environment: Mapping[str, str], pace: Pace | None = None) -> int:
    """Runs the command that ``arguments`` name after ``--`` and reports its run; the command's exit code.

    Must be called in the main thread: it takes over the signals of the process.

    Raises:
        SystemExit: with code 2, wrong usage, before anything was started; with 0 after ``--help``.
    """
    pace = pace or Pace()
    options = _parse(arguments)
    _fill_standard_streams()
    execution = Execution(options.command, environment, time.time())
    began = time.monotonic()
    try:
        child = Child(options.command, patience_s=pace.patience_s)
    except OSError as error:
        return _not_started(error, options, execution, pace)
    reporter = _report(options, _RUNNING, environment, pace, child)
    code = child.wait()
    duration = time.monotonic() - began
    exit_code = code if code >= 0 else _BY_SIGNAL - code
    end = _end_of(child, code, execution)
    metrics = {"duration_s": round(duration, 3), "exit_code": exit_code}
    judges_itself = code >= 0 and not child.aborted and child.stopped_by is None
    _tell_end(reporter, _judged(end, options.limits if judges_itself else [], metrics) | {"metrics": metrics})
    return exit_code


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    own, separator, command = _split(arguments)
    parser = argparse.ArgumentParser(
        prog="loadbell wrap",
        usage="loadbell wrap [--test NAME] [--project ID] [--trigger T] [--fail-if EXPR]... -- CMD ...",
        description="Run any load tool unchanged and report its run. Exits with the exit code of CMD; "
        "128+N if signal N ended it, 127 if it was not found, 126 if it can't be executed.",
        epilog="Reports to LOADBELL_URL with LOADBELL_TOKEN. If that can't be done, CMD runs all the same.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--test", metavar="NAME", type=_name, help="name of the test (default: the tool and its script)"
    )
    parser.add_argument("--project", metavar="ID", type=int, help="project to report to (default: the token's)")
    parser.add_argument(
        "--trigger",
        choices=("manual", "scheduled", "ci", "unknown"),
        help="what set the run off (default: read from the CI system's variables)",
    )
    parser.add_argument(
        "--fail-if",
        metavar="EXPR",
        dest="limits",
        type=_limit,
        action="append",
        default=[],
        help=f"a limit NAME OP NUMBER over {' or '.join(METRICS)}, such as 'duration_s > 600'; may be repeated",
    )
    options = parser.parse_args(own)
    if not separator or not command:
        parser.error("name the command after --, such as: loadbell wrap -- k6 run script.js")
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
    """Keeps our own files off the numbers 0, 1 and 2 if any of these is closed; the tool still finds it closed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)


def _report(
    options: argparse.Namespace, status: int, environment: Mapping[str, str], pace: Pace, child: Child | None
) -> "Reporter | None":
    url, token = environment.get("LOADBELL_URL", "").strip(), environment.get("LOADBELL_TOKEN", "").strip()
    if not url or not token:
        _say(f"{'LOADBELL_TOKEN' if url else 'LOADBELL_URL'} is not set: this run is not reported")
        return None
    from loadbell.client.report import Reporter  # noqa: PLC0415 - costs 40 ms, which the running tool need not wait for

    origin = origin_of(environment, at_terminal=os.isatty(_STDIN) or os.isatty(_STDERR))
    run: dict[str, Any] = {
        "name": (options.test or tools.run_name(options.command))[:_NAME_CAP],
        "status": status,
        "trigger": options.trigger or origin.trigger,
        "source": "wrap",
        "links": list(origin.links),
    }
    if options.project is not None:
        run["project_id"] = options.project
    return Reporter(url, token, run, pace=pace, on_abort=child.stop if child else lambda: None, on_refusal=_say)


def _not_started(error: OSError, options: argparse.Namespace, execution: Execution, pace: Pace) -> int:
    code = tools.NOT_FOUND if isinstance(error, FileNotFoundError) else tools.NOT_EXECUTABLE
    tool = tools.base_name(options.command[0])
    _say(f"{options.command[0]}: {'command not found' if code == tools.NOT_FOUND else error.strerror}")
    reporter = _report(options, _CREATED, execution.environment, pace, None)
    note = f"{tool}: {'command not found' if code == tools.NOT_FOUND else 'could not be executed'}"
    end = End(tools.ABORTED_BY_SYSTEM, tools.UNKNOWN, note)
    _tell_end(reporter, _judged(end, [], {}) | {"metrics": {"exit_code": code}})
    return code


def _end_of(child: Child, code: int, execution: Execution) -> End:
    if child.aborted:
        return End(tools.ABORTED_BY_USER, tools.UNKNOWN, "stopped by an abort in loadbell")
    if child.stopped_by is not None:
        return End(tools.ABORTED_BY_USER, tools.UNKNOWN, f"stopped by {child.stopped_by.name}")
    if code < 0:
        return End(tools.ABORTED_BY_SYSTEM, tools.UNKNOWN, f"killed by {_signal_name(-code)}")
    return tools.end_of(code, execution)


def _judged(end: End, limits: Sequence[Limit], metrics: Mapping[str, float]) -> dict[str, Any]:
    """The end as the API takes it. The user's own limits add to the tool's verdict and never soften it."""
    status, result = end.status, end.result
    thresholds = [limit.judge(metrics) for limit in limits]
    if not all(threshold["ok"] for threshold in thresholds):
        status = tools.FAILED_THRESHOLD if status == tools.FINISHED else status
        result = tools.FAILED
    elif thresholds and status == tools.FINISHED:
        result = tools.PASSED
    report: dict[str, Any] = {"status": status, "result": result}
    if thresholds:
        report["thresholds"] = thresholds
    if end.note:
        report["note"] = end.note
    return report


def _tell_end(reporter: "Reporter | None", report: dict[str, Any]) -> None:
    if reporter is not None and (line := reporter.end(report)):
        _say(line)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _say(line: str) -> None:
    """One line on stderr, past Python's buffers: a broken stderr must not change our exit code."""
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"loadbell: {line}\n".encode("utf-8", "replace"))
