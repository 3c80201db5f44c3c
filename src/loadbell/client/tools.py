"""
What each load tool's exit code proves. ``docs/wrap.md`` has the same as a table for users.

A tool is known by the name it is called by: ``k6``, ``/opt/bin/k6``, ``k6.exe``, ``gatling.sh``, ``python -m locust``,
``npx artillery@2 run``, ``uvx locust``, ``uv run locust``, ``pipx run locust``. Any other way to call it (inside a
script, in a container) makes it an unknown tool: exit 0 then proves nothing, and any other code is a failure.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FINISHED, TIMED_OUT, ABORTED_BY_USER, ABORTED_BY_SYSTEM, SCRIPT_ERROR, FAILED_THRESHOLD = 3, 4, 6, 8, 9, 12
PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""The exit codes that a shell gives for a command which it could not start."""

_SCRIPT = re.compile(r".+\.(?:js|mjs|cjs|ts|py|jmx|ya?ml|json|lua|scala|java|kt|sh|txt)", re.IGNORECASE)
_RUNNERS = {("npx",), ("uvx",), ("uv", "run"), ("pipx", "run")}


@dataclass(frozen=True)
class End:
    """How a run ended, as it is reported: a status code, a result, and a remark when there is more to say."""

    status: int
    result: str
    note: str | None = None


@dataclass(frozen=True)
class Execution:
    """One execution of a command, as far as what its exit code proves depends on it."""

    command: Sequence[str]
    environment: Mapping[str, str]
    started_at: float  #: by the clock of the file system, in seconds since the epoch

    def says(self, *options: str) -> str | None:
        """The value of the last of ``options`` on the command line, "" for one without a value, None if absent."""
        value = None
        for word, following in zip(self.command, [*self.command[1:], ""], strict=True):
            name, equals, inline = word.partition("=")
            if name in options:
                value = inline if equals else ("" if following.startswith("-") else following)
        return value

    def wrote(self, *options: str) -> bool:
        """Whether the file that one of ``options`` names was written during the execution."""
        name = self.says(*options)
        try:
            return bool(name) and os.stat(name or "").st_mtime >= self.started_at - 1  # noqa: PTH116 - pathlib is slow to import
        except OSError:
            return False


_PASSED = End(FINISHED, PASSED)

_K6 = {
    0: _PASSED,
    97: End(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 97: the cloud run failed"),
    98: End(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 98: the progress of the cloud run could not be read"),
    99: End(FAILED_THRESHOLD, FAILED, "exit code 99: thresholds were crossed"),
    100: End(TIMED_OUT, UNKNOWN, "exit code 100: setup timed out"),
    101: End(TIMED_OUT, UNKNOWN, "exit code 101: teardown timed out"),
    102: End(TIMED_OUT, UNKNOWN, "exit code 102: timed out"),
    103: End(ABORTED_BY_USER, UNKNOWN, "exit code 103: stopped through k6's REST API"),
    104: End(SCRIPT_ERROR, UNKNOWN, "exit code 104: invalid configuration"),
    105: End(ABORTED_BY_USER, UNKNOWN, "exit code 105: stopped by a signal"),
    106: End(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 106: k6's REST API could not start"),
    107: End(SCRIPT_ERROR, UNKNOWN, "exit code 107: script exception"),
    108: End(ABORTED_BY_USER, UNKNOWN, "exit code 108: the script called test.abort()"),
    109: End(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 109: k6 crashed"),
    110: End(ABORTED_BY_SYSTEM, FAILED, "exit code 110: the script marked the test as failed"),
}


def _k6(code: int, execution: Execution) -> End:
    thresholds_off = execution.says("--no-thresholds") not in {None, "false"}
    if code == 0 and (thresholds_off or _is_true(execution.environment.get("K6_NO_THRESHOLDS"))):
        return End(FINISHED, UNKNOWN, "thresholds were switched off")
    return _K6.get(code) or End(ABORTED_BY_SYSTEM, UNKNOWN, f"exit code {code}")


def _locust(code: int, execution: Execution) -> End:
    on_error = execution.says("--exit-code-on-error") or execution.environment.get("LOCUST_EXIT_CODE_ON_ERROR") or "1"
    if code == 0:
        return End(FINISHED, UNKNOWN, "exit codes for errors were switched off") if on_error == "0" else _PASSED
    if str(code) == on_error:
        return End(FAILED_THRESHOLD, FAILED, f"exit code {code}: requests failed")
    if code == 2:  # noqa: PLR2004 - Locust's own code, named in the note
        return End(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 2: wrong usage, or a listener in the locustfile raised")
    return End(ABORTED_BY_SYSTEM, FAILED, f"exit code {code}")


def _artillery(code: int, execution: Execution) -> End:
    if code == 1 and execution.wrote("--output", "-o"):
        return End(FAILED_THRESHOLD, FAILED, "exit code 1: an ensure condition did not hold")
    known = {
        0: _PASSED,
        1: End(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 1 without a report: use --output to tell ensure from an error"),
        7: End(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 7: Artillery Cloud refused the key"),
        130: End(ABORTED_BY_USER, UNKNOWN, "exit code 130: stopped by SIGINT"),
        143: End(ABORTED_BY_USER, UNKNOWN, "exit code 143: stopped by SIGTERM"),
    }
    return known.get(code) or End(ABORTED_BY_SYSTEM, FAILED, f"exit code {code}")


def _gatling(code: int, _: Execution) -> End:
    known = {
        0: _PASSED,
        1: End(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 1: invalid arguments, or Gatling could not run"),
        2: End(FAILED_THRESHOLD, FAILED, "exit code 2: assertions failed"),
    }
    return known.get(code) or End(ABORTED_BY_SYSTEM, FAILED, f"exit code {code}")


def _taurus(code: int, _: Execution) -> End:
    known = {
        0: _PASSED,
        1: End(ABORTED_BY_SYSTEM, UNKNOWN, "exit code 1: Taurus or its executor failed"),
        2: End(ABORTED_BY_USER, UNKNOWN, "exit code 2: stopped by hand"),
        3: End(FAILED_THRESHOLD, FAILED, "exit code 3: pass/fail criteria were not met"),
    }
    return known.get(code) or End(ABORTED_BY_SYSTEM, FAILED, f"exit code {code}")


def _unknown_tool(code: int, _: Execution) -> End:
    return End(FINISHED, UNKNOWN) if code == 0 else End(ABORTED_BY_SYSTEM, FAILED, f"exit code {code}")


_TOOLS = {"k6": _k6, "locust": _locust, "artillery": _artillery, "gatling": _gatling, "bzt": _taurus}


def end_of(code: int, execution: Execution) -> End:
    """How a command that ended by itself, with exit code ``code``, ended its run."""
    if code in {NOT_EXECUTABLE, NOT_FOUND}:
        return End(ABORTED_BY_SYSTEM, UNKNOWN, f"exit code {code}: the command could not be started")
    return _TOOLS.get(tool_of(execution.command), _unknown_tool)(code, execution)


def tool_of(command: Sequence[str]) -> str:
    """The name of the tool that ``command`` calls, without its folder, ending and version."""
    words = [_plain(command[0]), *command[1:]]
    if words[0].startswith(("python", "pypy")):
        return words[words.index("-m") + 1] if "-m" in words[1:-1] else words[0]
    for runner in _RUNNERS:
        if tuple(words[: len(runner)]) == runner:
            called = next((word for word in words[len(runner) :] if not word.startswith("-")), None)
            return _plain(called.partition("@")[0]) if called else words[0]
    return words[0]


def run_name(command: Sequence[str]) -> str:
    """A name for a run of ``command``: the tool and the file of its script, nothing else of the command line.

    Command lines hold secrets. A word is taken for the script only if it names a file that exists and looks like one.
    """
    candidates = (word.partition("=")[2] if word.startswith("--") else word for word in command[1:])
    script = next((word for word in candidates if _SCRIPT.fullmatch(word) and os.path.isfile(word)), None)  # noqa: PTH113 - it never raises
    return tool_of(command) + (f" {base_name(script)}" if script else "")


def base_name(path: str) -> str:
    """The name of the file at ``path``, without its folders."""
    return path.replace("\\", "/").rpartition("/")[2]


def _plain(path: str) -> str:
    name = base_name(path)
    for ending in (".exe", ".cmd", ".bat", ".sh"):
        name = name.removesuffix(ending) or name
    return name


def _is_true(value: str | None) -> bool:
    return (value or "").lower() in {"1", "t", "true"}
