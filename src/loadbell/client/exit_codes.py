"""
What each load tool's exit code proves. ``docs/wrap.md`` has the table for users.

Exit code 0 proves nothing by itself: a tool without criteria returns it, too, however its requests ended. Locust's
means that no request failed, which counts only with at least one request, and if errors change Locust's exit code.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from loadbell.client.commands import Command
from loadbell.client.locust_options import LocustOptions
from loadbell.client.results import is_fresh

FINISHED, TIMED_OUT, ABORTED_BY_USER, ABORTED_BY_SYSTEM, SCRIPT_ERROR, FAILED_THRESHOLD = 3, 4, 6, 8, 9, 12
PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""A shell's exit codes for a command that it couldn't start."""

_BY_TIMEOUT, _NOT_RUN = 124, 125
_LOST_UNKNOWN = "unknown whether a worker was lost"
_SCRIPT_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ToolResult:
    """How a run ended: a status code, a result, and a note when there is more to say."""

    status: int
    result: str
    note: str | None = None
    is_partial: bool = False  #: part of the load was lost, so kept limits prove nothing

    def without_workers(self, lost: str) -> "ToolResult":
        """Returns the result of a run that lost workers: unknown, unless it failed. ``lost`` is the note."""
        note = lost if self.note in {None, _LOST_UNKNOWN} else f"{self.note}; {lost}"
        return ToolResult(self.status, FAILED if self.result == FAILED else UNKNOWN, note, is_partial=True)


@dataclass(frozen=True)
class Execution:
    """One execution of a command. ``metrics``: see :func:`loadbell.client.results.read_metrics`."""

    command: Command
    started_at: float  #: by the file system's clock, in seconds since the epoch
    duration_s: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)

    def has_written(self, path: str | None) -> bool:
        """Returns whether the file or folder at ``path`` was written during the execution."""
        return bool(path) and not self.command.elsewhere and is_fresh(path or "", self.started_at)


def read_result(code: int, execution: Execution) -> ToolResult:
    """Returns the result of a command that ended by itself with exit code ``code``."""
    command = execution.command
    if code in {NOT_EXECUTABLE, NOT_FOUND}:
        return ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, f"exit code {code}: the command couldn't be started")
    if code == _BY_TIMEOUT and command.under_timeout:
        return ToolResult(TIMED_OUT, UNKNOWN, "exit code 124: stopped by timeout")
    if code == _NOT_RUN and (command.under_timeout or command.elsewhere):
        return ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 125: the command couldn't be started")
    if command.build and code != 0:
        return _failed_build(code, execution)
    if code == 0 and command.tool != "locust":
        return ToolResult(FINISHED, UNKNOWN, _describe_requests(execution.metrics) or _UNSEEN.get(command.tool))
    return _TOOLS.get(command.tool, _other_tool)(code, execution)


_UNSEEN = {
    "k6": "exit code 0: no thresholds crossed, if any are defined",
    "artillery": "exit code 0: no ensure conditions failed, if any are defined",
    "gatling": "exit code 0: no assertions failed, if any are defined",
    "bzt": "exit code 0: no pass/fail criteria failed, if any are defined",
}

_K6 = {
    97: ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 97: the cloud run failed"),
    98: ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 98: the cloud run's progress couldn't be read"),
    99: ToolResult(FAILED_THRESHOLD, FAILED, "exit code 99: thresholds were crossed"),
    100: ToolResult(TIMED_OUT, UNKNOWN, "exit code 100: setup timed out"),
    101: ToolResult(TIMED_OUT, UNKNOWN, "exit code 101: teardown timed out"),
    102: ToolResult(TIMED_OUT, UNKNOWN, "exit code 102: timed out"),
    103: ToolResult(ABORTED_BY_USER, UNKNOWN, "exit code 103: stopped through k6's REST API"),
    104: ToolResult(SCRIPT_ERROR, UNKNOWN, "exit code 104: invalid configuration"),
    105: ToolResult(ABORTED_BY_USER, UNKNOWN, "exit code 105: stopped by a signal"),
    106: ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 106: k6's REST API couldn't start"),
    107: ToolResult(SCRIPT_ERROR, UNKNOWN, "exit code 107: script exception"),
    108: ToolResult(ABORTED_BY_USER, UNKNOWN, "exit code 108: the script called test.abort()"),
    109: ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 109: k6 crashed"),
    110: ToolResult(ABORTED_BY_SYSTEM, FAILED, "exit code 110: the script marked the test as failed"),
}

_NEVER_BEGAN: Mapping[str, frozenset[int]] = {
    "ab": frozenset({1, 22}),
    "autocannon": frozenset({1}),
    "bombardier": frozenset({1, 2}),
    "hey": frozenset({1, 2}),
    "jmeter": frozenset({1}),
    "oha": frozenset({1, 2}),
    "siege": frozenset({1}),
    "vegeta": frozenset({1, 2}),
    "wrk": frozenset({1}),
    "wrk2": frozenset({1}),
}
"""Exit codes for wrong usage or a failed start; with these tools, failed requests never change the code."""


def _k6(code: int, _: Execution) -> ToolResult:
    return _K6.get(code) or ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, f"exit code {code}")


def _locust(code: int, execution: Execution) -> ToolResult:
    options = LocustOptions(execution.command)
    on_error = options.exit_code_on_error
    if code == 0:
        return _locust_without_errors(execution, options)
    if str(code) == on_error:
        return _locust_with_errors(code, execution, options)
    if code == 1 and not execution.metrics:
        return ToolResult(SCRIPT_ERROR, UNKNOWN, "exit code 1: the locustfile is broken, or Locust couldn't start")
    if code == 2:  # noqa: PLR2004 - Locust's own code, named in the note
        return ToolResult(
            ABORTED_BY_SYSTEM, UNKNOWN, "exit code 2: wrong usage, or a listener in the locustfile raised"
        )
    if code < NOT_EXECUTABLE:
        return ToolResult(FAILED_THRESHOLD, FAILED, f"exit code {code}: set by the locustfile")
    return ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, f"exit code {code}: Locust couldn't start or was killed")


def _locust_without_errors(execution: Execution, options: LocustOptions) -> ToolResult:
    requests, failed = execution.metrics.get("requests"), execution.metrics.get("failed")
    if requests is None:
        note = "exit code 0: the number of requests is unknown"
        hint = "" if options.csv_prefix or options.json_file else "; with --csv PREFIX among Locust's options it is"
        return ToolResult(FINISHED, UNKNOWN, note + hint)
    if not requests or failed:
        return ToolResult(FINISHED, UNKNOWN, _describe_requests(execution.metrics))
    if options.exit_code_on_error == "0":
        return ToolResult(FINISHED, UNKNOWN, "Locust's exit code for errors is switched off")
    if options.is_distributed:
        return ToolResult(FINISHED, UNKNOWN, _LOST_UNKNOWN)
    return ToolResult(FINISHED, PASSED)


def _locust_with_errors(code: int, execution: Execution, options: LocustOptions) -> ToolResult:
    """Returns the result for the code of failed requests; code 1 may also mean a broken locustfile."""
    if execution.metrics.get("failed"):
        return ToolResult(FAILED_THRESHOLD, FAILED, f"exit code {code}: {_describe_requests(execution.metrics)}")
    if code == 1 and not execution.metrics and (doubt := _explain_locust_doubt(execution, options)):
        return doubt
    return ToolResult(FAILED_THRESHOLD, FAILED, f"exit code {code}: requests failed, or the locustfile raised")


def _explain_locust_doubt(execution: Execution, options: LocustOptions) -> ToolResult | None:
    """Returns the result of a run that has no metrics and may not have begun; None if it did run."""
    if options.missing_file:
        return ToolResult(SCRIPT_ERROR, UNKNOWN, "exit code 1: the locustfile doesn't exist")
    results = [options.json_file] if options.json_file else []
    results += [f"{options.csv_prefix}_stats.csv"] if options.csv_prefix else []
    if results and not execution.command.elsewhere:
        wrote = any(execution.has_written(path) for path in results)
        return (
            None if wrote else ToolResult(SCRIPT_ERROR, UNKNOWN, "exit code 1 and no results: the locustfile is broken")
        )
    if options.run_time_s is None:
        return ToolResult(ABORTED_BY_SYSTEM, FAILED, "exit code 1: requests failed, or the locustfile is broken")
    if execution.duration_s < options.run_time_s:
        why = "before the end of its run time: the locustfile is broken or ended the test early"
        return ToolResult(SCRIPT_ERROR, UNKNOWN, f"exit code 1 {why}")
    return None


def _artillery(code: int, execution: Execution) -> ToolResult:
    command = execution.command
    values = {
        7: ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 7: Artillery Cloud refused the key"),
        21: ToolResult(FAILED_THRESHOLD, FAILED, "exit code 21: expectations weren't met"),
        130: ToolResult(ABORTED_BY_USER, UNKNOWN, "exit code 130: stopped by SIGINT"),
        143: ToolResult(ABORTED_BY_USER, UNKNOWN, "exit code 143: stopped by SIGTERM"),
    }
    if code != 1:
        return values.get(code) or ToolResult(ABORTED_BY_SYSTEM, FAILED, f"exit code {code}")
    report = command.option("--output", "-o")
    if execution.has_written(report):
        return ToolResult(FAILED_THRESHOLD, FAILED, "exit code 1: an ensure condition failed")
    if command.elsewhere:
        return ToolResult(ABORTED_BY_SYSTEM, FAILED, "exit code 1: an ensure condition failed, or the script is broken")
    if not report and _has_criteria(command):
        return ToolResult(FAILED_THRESHOLD, FAILED, "exit code 1 of a script with ensure conditions: one failed")
    return ToolResult(SCRIPT_ERROR, UNKNOWN, "exit code 1: the script is missing or broken")


def _has_criteria(command: Command) -> bool:
    """Returns whether one of Artillery's files has conditions that change the exit code."""
    words = [word.partition("=")[2] or word for word in command.arguments]
    if any("ensure" in word for word in words if word.lstrip().startswith("{")):  # of --overrides
        return True
    for path in filter(os.path.isfile, words):  # never a pipe
        try:
            with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib is slow to import
                text = file.read(_SCRIPT_BYTES)
        except (OSError, ValueError):
            continue
        if any(line.lstrip(" -\"'").startswith("ensure") for line in text.replace("{", "\n").splitlines()):
            return True
    return False


def _gatling(code: int, _: Execution) -> ToolResult:
    values = {
        1: ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 1: invalid arguments, or Gatling couldn't run"),
        2: ToolResult(FAILED_THRESHOLD, FAILED, "exit code 2: assertions failed"),
    }
    return values.get(code) or ToolResult(ABORTED_BY_SYSTEM, FAILED, f"exit code {code}")


def _failed_build(code: int, execution: Execution) -> ToolResult:
    """Returns the result of a failed build with a load test; the tool's files show more than the exit code."""
    command = execution.command
    if command.tool != "gatling":
        return ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, f"exit code {code}: the build failed")
    if code > NOT_FOUND:
        return ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, f"exit code {code}")
    if any(execution.has_written(folder) for folder in _gatling_results(command)):
        return ToolResult(
            FAILED_THRESHOLD, FAILED, f"exit code {code} after Gatling wrote its results: assertions failed"
        )
    note = f"exit code {code}: assertions failed, or the build failed earlier"
    return ToolResult(ABORTED_BY_SYSTEM, FAILED, note)


def _gatling_results(command: Command) -> list[str]:
    place = command.option("-f", "--file", "-p", "--project-dir") or "."
    root = place if os.path.isdir(place) else os.path.dirname(place) or "."  # noqa: PTH112, PTH120 - pathlib is slow to import
    own = "build/reports/gatling" if command.build == "gradle" else "target/gatling"
    try:
        modules = [entry.path for entry in os.scandir(root) if entry.is_dir()]
    except OSError:
        modules = []
    return [f"{module}/{own}" for module in (root, *modules)]


def _taurus(code: int, _: Execution) -> ToolResult:
    values = {
        1: ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 1: Taurus or its executor failed"),
        2: ToolResult(ABORTED_BY_USER, UNKNOWN, "exit code 2: stopped manually"),
        3: ToolResult(FAILED_THRESHOLD, FAILED, "exit code 3: pass/fail criteria were not met"),
    }
    return values.get(code) or ToolResult(ABORTED_BY_SYSTEM, FAILED, f"exit code {code}")


def _other_tool(code: int, execution: Execution) -> ToolResult:
    if code in _NEVER_BEGAN.get(execution.command.tool, ()):
        return ToolResult(ABORTED_BY_SYSTEM, UNKNOWN, f"exit code {code}: wrong usage, or it couldn't start")
    return ToolResult(ABORTED_BY_SYSTEM, FAILED, f"exit code {code}")


_TOOLS: Mapping[str, Callable[[int, Execution], ToolResult]] = {
    "k6": _k6,
    "locust": _locust,
    "artillery": _artillery,
    "gatling": _gatling,
    "bzt": _taurus,
}


def _describe_requests(figures: Mapping[str, float]) -> str | None:
    """Returns a note if no request was made or some failed; otherwise None."""
    requests, failed = figures.get("requests"), figures.get("failed")
    if requests == 0:
        return "no request was made"
    if not requests or not failed:
        return None
    return f"{100 * failed / requests:.3g} % of {requests:,.0f} requests failed"
