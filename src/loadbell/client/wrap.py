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
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from loadbell.client import tools
from loadbell.client.child import Child
from loadbell.client.ci import origin_of
from loadbell.client.commands import NAMELESS, WITHOUT_SCRIPT, Command, program_name, read_command
from loadbell.client.limits import Limit
from loadbell.client.locust_options import LocustOptions
from loadbell.client.pace import Pace
from loadbell.client.results import read_figures
from loadbell.client.tools import End, Execution

if TYPE_CHECKING:
    from loadbell.client.report import Reporter

T = TypeVar("T")

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
    options.environment = environment
    _fill_standard_streams()
    started_at, began = time.time(), time.monotonic()
    try:
        child = Child(options.command, patience_s=pace.patience_s, on_survivors=_tell_survivors)
    except OSError as error:
        return _not_started(error, options, pace)
    command = _guarded(lambda: read_command(options.command, environment), Command(NAMELESS, (), environment))
    reporter = _report(options, command, _RUNNING, pace, child, started_at=started_at, began=began)
    code = child.wait()
    duration = round(child.ended - began, 3)
    exit_code = code if code >= 0 else _BY_SIGNAL - code
    nothing: dict[str, float] = {}
    figures = _guarded(lambda: read_figures(command, started_at), nothing)
    execution = Execution(command, started_at, duration, figures)
    unread = End(tools.ABORTED_BY_SYSTEM if exit_code else tools.FINISHED, tools.UNKNOWN, f"exit code {exit_code}")
    end = _guarded(lambda: _end_of(child, code, execution), unread)
    metrics = {"duration_s": duration, "exit_code": exit_code, **figures}
    judges_itself = code >= 0 and not child.aborted and child.stopped_by is None
    report = _judged(end, options.limits if judges_itself else [], metrics)
    _tell_end(reporter, report | {"metrics": metrics, "duration_s": duration})
    return exit_code


def _guarded(work: Callable[[], T], otherwise: T) -> T:
    """What ``work`` gives, or ``otherwise``: the running tool must not suffer from what we can't read."""
    try:
        return work()
    except Exception:  # noqa: BLE001 - whatever it is, it is ours and not the tool's
        return otherwise


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
        help="a limit NAME OP NUMBER, such as 'failed_rate > 1%%' or 'duration_s > 10m'; may be repeated",
    )
    options, unknown = parser.parse_known_args(own)
    if unknown and separator:  # named no further than to its "=": what follows may be a secret
        name = unknown[0].partition("=")[0]
        parser.error(f"unknown option {name}" if name.startswith("--") else "only options may stand before the --")
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


def _report(  # noqa: PLR0913 - what is run, how far it came, and since when
    options: argparse.Namespace,
    command: Command,
    status: int,
    pace: Pace,
    child: Child | None,
    *,
    started_at: float,
    began: float,
) -> "Reporter | None":
    environment = options.environment
    if child and _guarded(lambda: _is_worker(command), otherwise=False):
        _say(f"a worker of {command.tool} only makes load for its master: wrap the master; this is not reported")
        return None
    url, token = environment.get("LOADBELL_URL", "").strip(), environment.get("LOADBELL_TOKEN", "").strip()
    if not url or not token:
        _say(f"{'LOADBELL_TOKEN' if url else 'LOADBELL_URL'} is not set: this run is not reported")
        return None
    from loadbell.client.report import Reporter  # noqa: PLC0415 - costs 40 ms, which the running tool need not wait for

    if child and not options.test and not command.is_named and command.tool in WITHOUT_SCRIPT:
        _say(f"no script names this test, so it is compared with no other run of {command.tool}; name it: --test NAME")
    origin = origin_of(environment, at_terminal=os.isatty(_STDIN) or os.isatty(_STDERR))
    run: dict[str, Any] = {
        "name": (options.test or command.name)[:_NAME_CAP],
        "status": status,
        "trigger": options.trigger or origin.trigger,
        "source": "wrap",
        "links": list(origin.links),
        "tool": command.tool,
    }
    if child:
        run["started_at"] = _rfc3339(started_at)
    if options.project is not None:
        run["project_id"] = options.project
    on_abort = child.stop if child else lambda: None
    return Reporter(url, token, run, began=(started_at, began), pace=pace, on_abort=on_abort, on_refusal=_say)


def _is_worker(command: Command) -> bool:
    """Whether the command only makes load for another process, whose run it is."""
    if command.tool == "locust":
        return LocustOptions(command).is_worker
    return command.tool == "jmeter-server" or (
        command.tool == "jmeter" and not command.build and command.option("-s", "--server") is not None
    )


def _rfc3339(instant: float) -> str:
    whole, micros = divmod(round(instant * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{micros:06}Z"


def _not_started(error: OSError, options: argparse.Namespace, pace: Pace) -> int:
    code = tools.NOT_FOUND if isinstance(error, FileNotFoundError) else tools.NOT_EXECUTABLE
    called = options.command[0]
    name = program_name(called)
    shown = called if name and "@" not in called else NAMELESS  # it may hold a secret that was quoted into one word
    _say(f"{shown}: {'command not found' if code == tools.NOT_FOUND else error.strerror}")
    command = Command(name or NAMELESS, tuple(options.command[1:]), options.environment)
    reporter = _report(options, command, _CREATED, pace, None, started_at=time.time(), began=time.monotonic())
    note = f"{command.tool}: {'command not found' if code == tools.NOT_FOUND else 'could not be executed'}"
    end = End(tools.ABORTED_BY_SYSTEM, tools.UNKNOWN, note)
    _tell_end(reporter, _judged(end, [], {}) | {"metrics": {"exit_code": code}})
    return code


def _end_of(child: Child, code: int, execution: Execution) -> End:
    left = f"; still running: {child.survivors}" if child.survivors else ""
    if child.aborted:
        return End(tools.ABORTED_BY_USER, tools.UNKNOWN, f"stopped by an abort in loadbell{left}")
    if child.stopped_by is not None:
        return End(tools.ABORTED_BY_USER, tools.UNKNOWN, f"stopped by {child.stopped_by.name}{left}")
    if code < 0:
        return End(tools.ABORTED_BY_SYSTEM, tools.UNKNOWN, f"killed by {_signal_name(-code)}")
    return tools.end_of(code, execution)


def _judged(end: End, limits: Sequence[Limit], metrics: Mapping[str, float]) -> dict[str, Any]:
    """The end as the API takes it. The user's own limits add to the tool's verdict and never soften it."""
    status, result, notes = end.status, end.result, [end.note] if end.note else []
    thresholds = [threshold for limit in limits if (threshold := limit.judge(metrics)) is not None]
    unmeasured = [limit.expression for limit in limits if limit.name not in metrics]
    if not all(threshold["ok"] for threshold in thresholds):
        status = tools.FAILED_THRESHOLD if status == tools.FINISHED else status
        result = tools.FAILED
    elif status == tools.FINISHED and unmeasured:
        result = tools.UNKNOWN
    elif status == tools.FINISHED and metrics.get("requests") != 0 and any(one.is_about_requests for one in limits):
        result, notes = tools.PASSED, []
    if unmeasured:
        notes.append(f"nothing was measured for {', '.join(unmeasured)}")
    report: dict[str, Any] = {"status": status, "result": result}
    if thresholds:
        report["thresholds"] = thresholds
    if notes:
        report["note"] = "; ".join(notes)
    return report


def _tell_survivors(names: str) -> None:
    _say(f"could not be stopped and still runs: {names}")


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
