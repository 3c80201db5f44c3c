import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from loadbell.client.commands import read_command
from loadbell.client.exit_codes import Execution, ToolResult, read_result


def end(code: int, command: Sequence[str], started_at: float = 0.0, **environment: str) -> tuple[int, str]:
    """Status and result of a run of ``command`` that exited with ``code``."""
    judged = read_result(code, Execution(read_command(command, environment), started_at))
    return judged.status, judged.result


@pytest.mark.parametrize(
    "command",
    [
        "k6 run script.js",
        "artillery run load.yml",
        "gatling.sh -s Basic",
        "bzt load.yml",
        "jmeter -n -t plan.jmx",
        "mvn gatling:test",
        "locust --headless",
        "docker run grafana/k6 run x.js",
        "wrk -d1s http://localhost/",
        "./run.sh",
    ],
)
def test_exit_0_proves_nothing(command: str) -> None:
    """No tool's exit 0 is a pass by itself: it has the same one without any criterion, and without any request."""
    assert (3, "unknown") == end(0, command.split())


@pytest.mark.parametrize(
    ("code", "expected"),
    [
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


@pytest.mark.parametrize(
    ("code", "expected"),
    [(7, (8, "unknown")), (21, (12, "failed")), (130, (6, "unknown")), (143, (6, "unknown")), (9, (8, "failed"))],
)
def test_artillery(code: int, expected: tuple[int, str]) -> None:
    """Artillery's 21 is a failed expectation, its signal codes an abort by a user."""
    assert expected == end(code, ["artillery", "run", "load.yml"])


def test_artillery_with_a_report(tmp_path: Path) -> None:
    """Artillery's 1 is a failed ensure if this run wrote its report; without it the script is broken."""
    report = tmp_path / "report.json"
    command = ["artillery", "run", "--output", str(report), "load.yml"]

    assert (9, "unknown") == end(1, command)
    report.write_text("{}", encoding="utf-8")
    assert (12, "failed") == end(1, command, report.stat().st_mtime)
    assert (9, "unknown") == end(1, command, report.stat().st_mtime + 60)


def test_artillery_without_a_report(tmp_path: Path) -> None:
    """Without --output, Artillery's 1 is a failed ensure if the script has one; a missing script failed nothing."""
    script = tmp_path / "load.yml"
    command = ["artillery", "run", str(script)]

    assert (9, "unknown") == end(1, command)
    script.write_text("config:\n  target: x\nscenarios: [] # ensure\n", encoding="utf-8")
    assert (9, "unknown") == end(1, command)
    script.write_text("config:\n  ensure:\n    thresholds: []\n", encoding="utf-8")
    assert (12, "failed") == end(1, command)
    assert (12, "failed") == end(1, ["artillery", "run", "--overrides", '{"config": {"ensure": {}}}', "load.yml"])


def test_artillery_with_a_pipe_for_a_script(tmp_path: Path) -> None:
    """What the tool reads as a stream is not waited for: it has been read, and nobody would write it again."""
    os.mkfifo(tmp_path / "load.yml")

    assert (9, "unknown") == end(1, ["artillery", "run", str(tmp_path / "load.yml")])


@pytest.mark.parametrize(("code", "expected"), [(1, (8, "unknown")), (2, (12, "failed")), (3, (8, "failed"))])
def test_gatling(code: int, expected: tuple[int, str]) -> None:
    """Gatling's 2 is failed assertions; its 1 says nothing of the system under test."""
    assert expected == end(code, ["./bin/gatling.sh", "-s", "Basic"])


@pytest.mark.parametrize(
    ("command", "results"),
    [
        ("mvn -B gatling:test", "target/gatling"),
        ("./mvnw -f perf/pom.xml gatling:test", "perf/target/gatling"),
        ("mvn gatling:test -pl perf", "perf/target/gatling"),
        ("./gradlew gatlingRun", "build/reports/gatling"),
        ("sbt Gatling/test", "target/gatling"),
    ],
)
def test_gatling_in_a_build(command: str, results: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that failed after Gatling had written results failed its assertions; else it may not have got so far."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "perf").mkdir()
    assert ToolResult(8, "failed", "exit code 1: assertions failed, or the build failed earlier") == read_result(
        1, Execution(read_command(command.split(), {}), 0)
    )

    (tmp_path / results).mkdir(parents=True)
    assert (12, "failed") == end(1, command.split())
    assert (8, "failed") == end(1, command.split(), (tmp_path / results).stat().st_mtime + 60)


@pytest.mark.parametrize(
    ("code", "expected"), [(1, (8, "unknown")), (2, (6, "unknown")), (3, (12, "failed")), (4, (8, "failed"))]
)
def test_taurus(code: int, expected: tuple[int, str]) -> None:
    """Taurus' 3 is failed criteria, its 2 a stop by hand."""
    assert expected == end(code, ["bzt", "load.yml"])


@pytest.mark.parametrize("tool", ["wrk", "hey", "siege", "vegeta", "ab", "jmeter", "tsung", "./run.sh", "mvn"])
def test_a_tool_without_criteria(tool: str) -> None:
    """A tool whose exit code proves no pass ends as Finished and unknown; another code is a failure with a note."""
    assert ToolResult(3, "unknown") == read_result(0, Execution(read_command([tool], {}), 0))
    assert ToolResult(8, "failed", "exit code 5") == read_result(5, Execution(read_command([tool], {}), 0))


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("hey", 1),
        ("hey -zz", 2),
        ("oha --nope", 2),
        ("oha x", 1),
        ("jmeter -zz", 1),
        ("vegeta attack -nope", 2),
        ("vegeta nope", 1),
        ("wrk", 1),
        ("ab", 22),
        ("ab -n x", 1),
        ("autocannon", 1),
        ("nice timeout 5 hey", 1),
        ("mvn jmeter:jmeter", 1),
    ],
)
def test_a_tool_that_was_called_wrongly(command: str, code: int) -> None:
    """A tool that did not even begin says nothing of the system under test: aborted by the system, result unknown."""
    assert (8, "unknown") == end(code, command.split())


@pytest.mark.parametrize("tool", ["k6", "locust", "wrk"])
@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_never_ran(tool: str, code: int) -> None:
    """A shell's codes for a command that did not start prove nothing about the system under test."""
    assert (8, "unknown") == end(code, [tool])


@pytest.mark.parametrize(
    ("command", "code", "expected"),
    [
        ("timeout 5 k6 run x.js", 124, (4, "unknown")),
        ("timeout 5 wrk", 124, (4, "unknown")),
        ("timeout 5 k6 run x.js", 99, (12, "failed")),
        ("docker run grafana/k6 run x.js", 99, (12, "failed")),
        ("docker run grafana/k6 run x.js", 125, (8, "unknown")),
        ("wrk", 124, (8, "failed")),
    ],
)
def test_codes_of_what_runs_a_tool(command: str, code: int, expected: tuple[int, str]) -> None:
    """The codes of timeout and of containers are theirs; any other is the tool's own."""
    assert expected == end(code, command.split())
