"""
What ``loadbell wrap`` reports about a run, at its start and at its end.

Loaded while the tool already runs. Errors in reading the tool's files never affect the tool.
"""

import argparse
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from loadbell.client import exit_codes
from loadbell.client.child import Child
from loadbell.client.ci import detect_origin
from loadbell.client.commands import NAMELESS, WITHOUT_SCRIPT, Command, program_name, read_command
from loadbell.client.exit_codes import Execution, ToolResult
from loadbell.client.limits import Limit
from loadbell.client.locust_log import find_lost_workers
from loadbell.client.locust_options import LocustOptions
from loadbell.client.report import Reporter
from loadbell.client.results import read_metrics
from loadbell.client.stderr import STDERR, say
from loadbell.client.timeouts import Timeouts

T = TypeVar("T")

_CREATED, _RUNNING = -1, 2
_MAX_NAME_LENGTH = 10_000
_BY_SIGNAL = 128
_STDIN = 0


class RunReport:
    """The report of one run, whose command was started at ``began`` (wall and monotonic clock)."""

    def __init__(
        self, options: argparse.Namespace, child: Child, began: tuple[float, float], timeouts: Timeouts
    ) -> None:
        self._child, self._limits, self._began = child, options.limits, began
        environment = options.environment
        nameless = Command(NAMELESS, (), environment)
        self._command = _suppress_errors(lambda: read_command(options.command, environment), nameless)
        self._reporter = _report(options, self._command, _RUNNING, timeouts, child, began=began)

    def end(self, code: int) -> int:
        """Reports the command's end, by exit code or minus the signal that killed it. Returns wrap's exit code."""
        child, began = self._child, self._began
        duration = round(child.ended - began[1], 3)
        exit_code = code if code >= 0 else _BY_SIGNAL - code
        nothing: dict[str, float] = {}
        figures = _suppress_errors(lambda: read_metrics(self._command, began[0]), nothing)
        execution = Execution(self._command, began[0], duration, figures)
        unread = ToolResult(
            exit_codes.ABORTED_BY_SYSTEM if exit_code else exit_codes.FINISHED,
            exit_codes.UNKNOWN,
            f"exit code {exit_code}",
        )
        end = _suppress_errors(lambda: _read_result(child, code, execution), unread)
        if lost := _suppress_errors(lambda: find_lost_workers(self._command, began[0]), None):
            end = end.without_workers(lost)
        metrics = {"duration_s": duration, "exit_code": exit_code, **figures}
        judges_itself = code >= 0 and not child.aborted and child.stopped_by is None
        report = _apply_limits(end, self._limits if judges_itself else [], metrics)
        _send_end(self._reporter, report | {"metrics": metrics, "duration_s": duration})
        return exit_code


def report_not_started(error: OSError, options: argparse.Namespace, timeouts: Timeouts) -> int:
    """Reports a command that couldn't be started. Returns a shell's exit code for it."""
    code = exit_codes.NOT_FOUND if isinstance(error, FileNotFoundError) else exit_codes.NOT_EXECUTABLE
    called = options.command[0]
    name = program_name(called)
    shown = called if name and "@" not in called else NAMELESS  # a quoted word may contain a secret
    say(f"{shown}: {'command not found' if code == exit_codes.NOT_FOUND else error.strerror}")
    command = Command(name or NAMELESS, tuple(options.command[1:]), options.environment)
    reporter = _report(options, command, _CREATED, timeouts, None, began=(time.time(), time.monotonic()))
    note = f"{command.tool}: {'command not found' if code == exit_codes.NOT_FOUND else 'cannot be executed'}"
    end = ToolResult(exit_codes.ABORTED_BY_SYSTEM, exit_codes.UNKNOWN, note)
    _send_end(reporter, _apply_limits(end, [], {}) | {"metrics": {"exit_code": code}})
    return code


def _suppress_errors(work: Callable[[], T], otherwise: T) -> T:
    """Returns the result of ``work``, or ``otherwise`` if it raises: our errors must not affect the running tool."""
    try:
        return work()
    except Exception:  # noqa: BLE001 - whatever it is, it is ours and not the tool's
        return otherwise


def _report(  # noqa: PLR0913 - what is run, how far it came, and since when
    options: argparse.Namespace,
    command: Command,
    status: int,
    timeouts: Timeouts,
    child: Child | None,
    *,
    began: tuple[float, float],
) -> Reporter | None:
    environment = options.environment
    if child and _suppress_errors(lambda: _is_worker(command), otherwise=False):
        say(f"a {command.tool} worker only makes load for its master, so it isn't reported. Wrap the master instead")
        return None
    url, token = environment.get("LOADBELL_URL", "").strip(), environment.get("LOADBELL_TOKEN", "").strip()
    if not url or not token:
        say(f"{'LOADBELL_TOKEN' if url else 'LOADBELL_URL'} is not set: this run isn't reported")
        return None
    if child and not options.test and not command.is_named and command.tool in WITHOUT_SCRIPT:
        say(f"this {command.tool} test has no name, so its runs can't be compared. Name it with --test NAME")
    origin = detect_origin(environment, at_terminal=os.isatty(_STDIN) or os.isatty(STDERR))
    run: dict[str, Any] = {
        "name": (options.test or command.name)[:_MAX_NAME_LENGTH],
        "status": status,
        "trigger": options.trigger or origin.trigger,
        "source": "wrap",
        "links": list(origin.links),
        "tool": command.tool,
    }
    if child:
        run["started_at"] = _rfc3339(began[0])
    if options.project is not None:
        run["project_id"] = options.project
    on_abort = child.stop if child else lambda: None
    return Reporter(url, token, run, began=began, timeouts=timeouts, on_abort=on_abort, on_refusal=say)


def _is_worker(command: Command) -> bool:
    """Returns whether the command only makes load for a master process, which reports the run."""
    if command.tool == "locust":
        return LocustOptions(command).is_worker
    return command.tool == "jmeter-server" or (
        command.tool == "jmeter" and not command.build and command.option("-s", "--server") is not None
    )


def _rfc3339(instant: float) -> str:
    whole, micros = divmod(round(instant * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{micros:06}Z"


def _read_result(child: Child, code: int, execution: Execution) -> ToolResult:
    text = f"; still running: {child.survivors}" if child.survivors else ""
    if child.aborted:
        return ToolResult(exit_codes.ABORTED_BY_USER, exit_codes.UNKNOWN, f"stopped by an abort in loadbell{text}")
    if child.stopped_by is not None:
        return ToolResult(exit_codes.ABORTED_BY_USER, exit_codes.UNKNOWN, f"stopped by {child.stopped_by.name}{text}")
    if code < 0:
        return ToolResult(exit_codes.ABORTED_BY_SYSTEM, exit_codes.UNKNOWN, f"killed by {_signal_name(-code)}")
    return exit_codes.read_result(code, execution)


def _apply_limits(end: ToolResult, limits: Sequence[Limit], metrics: Mapping[str, float]) -> dict[str, Any]:
    """Returns the end as an API body. The user's limits never turn a failed run into a passed one."""
    status, result, notes = end.status, end.result, [end.note] if end.note else []
    thresholds = [threshold for limit in limits if (threshold := limit.judge(metrics)) is not None]
    unmeasured = [limit.expression for limit in limits if limit.name not in metrics]
    if not all(threshold["ok"] for threshold in thresholds):
        status = exit_codes.FAILED_THRESHOLD if status == exit_codes.FINISHED else status
        result = exit_codes.FAILED
    elif status == exit_codes.FINISHED and (unmeasured or end.is_partial):
        result = exit_codes.UNKNOWN
    elif (
        status == exit_codes.FINISHED and metrics.get("requests") != 0 and any(one.is_about_requests for one in limits)
    ):
        result, notes = exit_codes.PASSED, []
    if unmeasured:
        notes.append(f"nothing was measured for {', '.join(unmeasured)}")
    report: dict[str, Any] = {"status": status, "result": result}
    if thresholds:
        report["thresholds"] = thresholds
    if notes:
        report["note"] = "; ".join(notes)
    return report


def _send_end(reporter: Reporter | None, report: dict[str, Any]) -> None:
    if reporter is not None and (line := reporter.end(report)):
        say(line)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
