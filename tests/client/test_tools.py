from collections.abc import Sequence
from pathlib import Path

import pytest

from loadbell.client.tools import End, Execution, end_of, run_name, tool_of


def end(code: int, command: Sequence[str], started_at: float = 0.0, **environment: str) -> tuple[int, str]:
    """Status and result of a run of ``command`` that exited with ``code``."""
    judged = end_of(code, Execution(command, environment, started_at))
    return judged.status, judged.result


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, (3, "passed")),
        (97, (8, "unknown")),
        (98, (8, "unknown")),
        (99, (12, "failed")),
        (100, (4, "unknown")),
        (101, (4, "unknown")),
        (102, (4, "unknown")),
        (103, (6, "unknown")),
        (104, (9, "unknown")),
        (105, (6, "unknown")),
        (106, (8, "unknown")),
        (107, (9, "unknown")),
        (108, (6, "unknown")),
        (109, (8, "unknown")),
        (110, (8, "failed")),
        (255, (8, "unknown")),
    ],
)
def test_k6(code: int, expected: tuple[int, str]) -> None:
    """Each exit code of k6 gives the status and result that the design decides."""
    assert expected == end(code, ["k6", "run", "script.js"])


def test_k6_without_thresholds_proves_nothing() -> None:
    """k6 told to ignore thresholds exits 0 when they are crossed, so its 0 is no pass; a "false" leaves them on."""
    assert (3, "unknown") == end(0, ["k6", "run", "--no-thresholds", "script.js"])
    assert (3, "unknown") == end(0, ["k6", "run", "script.js"], K6_NO_THRESHOLDS="true")
    assert (3, "passed") == end(0, ["k6", "run", "--no-thresholds=false", "script.js"], K6_NO_THRESHOLDS="false")


@pytest.mark.parametrize(
    ("code", "expected"), [(0, (3, "passed")), (1, (12, "failed")), (2, (8, "unknown")), (5, (8, "failed"))]
)
def test_locust(code: int, expected: tuple[int, str]) -> None:
    """Locust's 1 is failed requests, its 2 a broken listener, any other a code of the user's own making."""
    assert expected == end(code, ["locust", "--headless"])


def test_locust_with_another_code_for_errors() -> None:
    """Locust's exit code for failed requests is the one the user chose; with 0 chosen, 0 proves nothing."""
    assert (12, "failed") == end(4, ["locust", "--exit-code-on-error", "4"])
    assert (12, "failed") == end(4, ["locust", "--exit-code-on-error=4"])
    assert (3, "unknown") == end(0, ["locust", "--exit-code-on-error", "0"])
    assert (3, "unknown") == end(0, ["locust"], LOCUST_EXIT_CODE_ON_ERROR="0")


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, (3, "passed")), (7, (8, "unknown")), (130, (6, "unknown")), (143, (6, "unknown")), (9, (8, "failed"))],
)
def test_artillery(code: int, expected: tuple[int, str]) -> None:
    """Artillery's 0 is a pass, its signal codes an abort by a user."""
    assert expected == end(code, ["artillery", "run", "load.yml"])


def test_artillery_fails_only_with_a_report(tmp_path: Path) -> None:
    """Artillery's 1 is a failed ensure only if this run wrote its report; else the script may be broken."""
    report = tmp_path / "report.json"
    command = ["artillery", "run", "--output", str(report), "load.yml"]

    assert (8, "unknown") == end(1, command)
    report.write_text("{}", encoding="utf-8")
    assert (12, "failed") == end(1, command, report.stat().st_mtime)
    assert (8, "unknown") == end(1, command, report.stat().st_mtime + 60)
    assert (8, "unknown") == end(1, ["artillery", "run", "load.yml"])


@pytest.mark.parametrize(
    ("code", "expected"), [(0, (3, "passed")), (1, (8, "unknown")), (2, (12, "failed")), (3, (8, "failed"))]
)
def test_gatling(code: int, expected: tuple[int, str]) -> None:
    """Gatling's 2 is failed assertions; its 1 says nothing of the system under test."""
    assert expected == end(code, ["./bin/gatling.sh", "-s", "Basic"])


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, (3, "passed")), (1, (8, "unknown")), (2, (6, "unknown")), (3, (12, "failed")), (4, (8, "failed"))],
)
def test_taurus(code: int, expected: tuple[int, str]) -> None:
    """Taurus' 3 is failed criteria, its 2 a stop by hand."""
    assert expected == end(code, ["bzt", "load.yml"])


@pytest.mark.parametrize("tool", ["wrk", "hey", "siege", "vegeta", "ab", "jmeter", "tsung", "./run.sh", "mvn"])
def test_a_tool_without_criteria(tool: str) -> None:
    """A tool whose exit code proves no pass ends as Finished and unknown; another code is a failure with a note."""
    assert End(3, "unknown") == end_of(0, Execution([tool], {}, 0))
    assert End(8, "failed", "exit code 5") == end_of(5, Execution([tool], {}, 0))


@pytest.mark.parametrize("tool", ["k6", "locust", "wrk"])
@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_never_ran(tool: str, code: int) -> None:
    """A shell's codes for a command that did not start prove nothing about the system under test."""
    assert (8, "unknown") == end(code, [tool])


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("k6 run x.js", "k6"),
        ("/opt/bin/k6 run x.js", "k6"),
        ("C:\\k6\\k6.exe run x.js", "k6"),
        ("gatling.sh", "gatling"),
        ("python -m locust -f x.py", "locust"),
        ("/usr/bin/python3.11 -u -m locust", "locust"),
        ("python load.py", "python"),
        ("python3 load.py -m", "python3"),
        ("npx artillery run x.yml", "artillery"),
        ("npx --yes artillery@2.0.21 run x.yml", "artillery"),
        ("uvx locust", "locust"),
        ("uv run locust", "locust"),
        ("pipx run locust", "locust"),
        ("npx", "npx"),
        ("uv sync", "uv"),
        ("sh -c k6", "sh"),
    ],
)
def test_tool_of(command: str, expected: str) -> None:
    """A tool is known by the last part of the path it is called by, or by what python -m, npx, uvx call."""
    assert expected == tool_of(command.split())


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("k6 run load/script.js", "k6 script.js"),
        ("k6 run -e KEY=load/script.js missing.js", "k6"),
        ("locust --locustfile=load/script.js", "locust script.js"),
        ("hey -H Authorization:s3cret http://user:s3cret@host/", "hey"),
        ("vegeta attack", "vegeta"),
        ("k6 run load", "k6"),
        ("k6 run " + "x" * 5000 + ".js", "k6"),
    ],
)
def test_run_name(command: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is named for its tool and its script, and nothing else of the command line is let out."""
    (tmp_path / "load").mkdir()
    (tmp_path / "load" / "script.js").touch()
    monkeypatch.chdir(tmp_path)

    assert expected == run_name(command.split())
