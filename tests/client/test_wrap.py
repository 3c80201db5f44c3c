"""``loadbell wrap`` from outside: its exit codes, its reports, and what it never does to the tool."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.client.conftest import Run, fake_tool, wrap_command
from tests.client.stub import Answer, Call, Stub


def own_lines(stderr: str) -> list[str]:
    """The lines that wrap itself wrote."""
    return [line for line in stderr.splitlines() if line.startswith("loadbell: ")]


def test_reports_a_run(run: Run, stub: Stub, tmp_path: Path) -> None:
    """A run is created as Running, and ended with status, result and what was measured; its URL stands on stderr."""
    before = datetime.now(UTC)
    process = run("--", fake_tool(tmp_path, "k6", "exit 0"), "run", "script.js")

    (created,) = stub.created
    assert before <= datetime.fromisoformat(created.pop("started_at")) <= datetime.now(UTC)
    assert {"name": "k6", "status": 2, "trigger": "unknown", "source": "wrap", "links": [], "tool": "k6"} == created
    end = stub.end
    assert {"exit_code", "duration_s"} == set(end["metrics"])
    assert end["duration_s"] == end["metrics"]["duration_s"]
    assert (3, "unknown", 0) == (end["status"], end["result"], end["metrics"]["exit_code"])
    assert "exit code 0: no thresholds crossed, if any are defined" == end["note"]
    assert [f"loadbell: Status 3, result unknown: {stub.url}/runs/7"] == process.stderr.splitlines()
    assert (0, "") == (process.returncode, process.stdout)


def test_sends_what_it_was_told(run: Run, stub: Stub) -> None:
    """Name, project and trigger come from the options; the token goes in the header, on every call."""
    run("--test", "Checkout ☂", "--project", "5", "--trigger", "scheduled", "--", "true")

    (created,) = stub.created
    assert ("Checkout ☂", 5, "scheduled") == (created["name"], created["project_id"], created["trigger"])
    assert {"Bearer t-secret"} == {call.headers["Authorization"] for call in stub.calls}
    assert ["/api/v1/runs", "/api/v1/runs/7"] == [call.path for call in stub.calls]


def test_reads_the_ci_variables(run: Run, stub: Stub) -> None:
    """In CI the trigger and the links are filled in."""
    run("--", "true", JENKINS_URL="x", JOB_NAME="load", BUILD_NUMBER="5", BUILD_URL="https://ci.example/5/")

    (created,) = stub.created
    assert "ci" == created["trigger"]
    assert [{"title": "Jenkins build load 5", "url": "https://ci.example/5/"}] == created["links"]


def test_never_sends_the_command_line(run: Run, stub: Stub) -> None:
    """Nothing of the arguments or the environment of the command reaches the server."""
    run("--", "sh", "-c", "exit 1", "-H", "Authorization: s3cret", "http://u:s3cret@host/s3cret.js", API_KEY="s3cret")

    assert "sh" == stub.created[0]["name"]
    assert "s3cret" not in json.dumps([(call.path, call.raw, call.headers) for call in stub.calls])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--", "API_KEY=s3cret wrk -d1s"],
        ["--", "https://u:s3cret@host/wrk"],
        ["--", "u:s3cret@host"],
        ["--token=s3cret", "--", "true"],
        ["s3cret", "--", "true"],
        ["API_KEY=s3cret", "k6", "run"],
        ["--", "npx", "--registry", "https://u:s3cret@127.0.0.1:9/", "--offline"],
    ],
)
def test_never_says_the_command_line(run: Run, stub: Stub, arguments: list[str]) -> None:
    """However a command line was quoted or mistyped, no secret in it reaches stderr by wrap, or the server."""
    process = run(*arguments)

    assert "s3cret" not in "\n".join(own_lines(process.stderr)) + process.stderr.partition("loadbell wrap: error")[2]
    assert "s3cret" not in json.dumps([(call.path, call.raw, call.headers) for call in stub.calls])


def test_asks_for_a_name(run: Run, stub: Stub, tmp_path: Path) -> None:
    """A tool without a script is asked to be named, in one line; it is reported all the same, and named it is not."""
    wrk = fake_tool(tmp_path, "wrk", "exit 0")
    asked, named = run("--", "nice", wrk, "http://127.0.0.1:9/"), run("--test", "Front page", "--", wrk)

    assert 1 == sum("--test NAME" in line for line in own_lines(asked.stderr))
    assert 1 == len(own_lines(named.stderr))
    assert [("wrk", "wrk"), ("Front page", "wrk")] == [(body["name"], body["tool"]) for body in stub.created]


@pytest.mark.parametrize(
    ("tool", "code", "expected"),
    [
        ("k6", 99, {"status": 12, "result": "failed", "note": "exit code 99: thresholds were crossed"}),
        ("k6", 105, {"status": 6, "result": "unknown", "note": "exit code 105: stopped by a signal"}),
        ("locust", 1, {"status": 9, "result": "unknown", "note": "exit code 1: the locustfile doesn't exist"}),
        ("locust", 3, {"status": 12, "result": "failed", "note": "exit code 3: set by the locustfile"}),
        ("wrk", 0, {"status": 3, "result": "unknown"}),
        ("wrk", 3, {"status": 8, "result": "failed", "note": "exit code 3"}),
    ],
)
def test_exit_codes(run: Run, stub: Stub, tmp_path: Path, tool: str, code: int, expected: dict[str, object]) -> None:  # noqa: PLR0913, PLR0917 - three fixtures and three parameters
    """The exit code is the tool's, and is reported as what this tool proves by it."""
    process = run("--", fake_tool(tmp_path, tool, f"exit {code}"))

    assert code == process.returncode
    assert expected == {key: value for key, value in stub.end.items() if key not in {"metrics", "duration_s"}}


def test_killed(run: Run, stub: Stub) -> None:
    """A tool killed by a signal that nobody sent to wrap ends as aborted by the system; wrap exits with 128+N."""
    process = run("--", "sh", "-c", "kill -KILL $$")

    assert 137 == process.returncode
    assert (8, "unknown", "killed by SIGKILL") == (stub.end["status"], stub.end["result"], stub.end["note"])


def test_not_found(run: Run, stub: Stub) -> None:
    """A command that does not exist gives 127 and a message; its run is told as one that never was Running."""
    process = run("--", "/nowhere/k7", "--token", "s3cret")

    assert 127 == process.returncode
    assert "loadbell: /nowhere/k7: command not found" == own_lines(process.stderr)[0]
    assert -1 == stub.created[0]["status"]
    assert (8, "unknown", "k7: command not found") == (stub.end["status"], stub.end["result"], stub.end["note"])


def test_not_executable(run: Run, stub: Stub, tmp_path: Path) -> None:
    """A file that can't be executed gives 126 and a message."""
    (tmp_path / "tool").write_text("x", encoding="utf-8")

    process = run("--", str(tmp_path / "tool"))

    assert 126 == process.returncode
    assert f"loadbell: {tmp_path / 'tool'}: Permission denied" == own_lines(process.stderr)[0]
    assert (8, "tool: cannot be executed") == (stub.end["status"], stub.end["note"])


@pytest.mark.parametrize(
    ("expression", "script", "expected"),
    [
        ("exit_code != 0", "exit 0", (3, "unknown")),
        ("duration_s > 60", "exit 0", (3, "unknown")),
        ("duration_s >= 0", "exit 0", (12, "failed")),
        ("exit_code != 0", "exit 4", (8, "failed")),
        ("duration_s > 60", "exit 4", (8, "failed")),
    ],
)
def test_limits(run: Run, stub: Stub, expression: str, script: str, expected: tuple[int, str]) -> None:
    """A limit that fires is a failed threshold; one on the command alone that is kept proves nothing."""
    run("--fail-if", expression, "--", "sh", "-c", script)

    assert expected == (stub.end["status"], stub.end["result"])
    assert [expected[1] == "unknown" or expression == "duration_s > 60"] == [t["ok"] for t in stub.end["thresholds"]]


def test_a_limit_on_what_was_not_measured(run: Run, stub: Stub) -> None:
    """A limit on a figure that the tool did not give is neither kept nor broken: unknown, and the note says why."""
    run("--fail-if", "failed_rate > 1%", "--fail-if", "duration_s > 60", "--", "true")

    assert (3, "unknown") == (stub.end["status"], stub.end["result"])
    assert "nothing was measured for failed_rate <= 1%" == stub.end["note"]
    assert ["duration_s <= 60"] == [threshold["expression"] for threshold in stub.end["thresholds"]]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fail-if", "p95 > 3", "--", "touch"],
        ["--fail-if", "nonsense", "--", "touch"],
        ["--project", "x", "--", "touch"],
        ["--trigger", "x", "--", "touch"],
        ["--test", " ", "--", "touch"],
        ["--unknown", "--", "touch"],
        ["--"],
        [],
        ["touch"],
    ],
)
def test_wrong_usage(run: Run, stub: Stub, tmp_path: Path, arguments: list[str]) -> None:
    """Wrong usage exits with 2 before anything is started or sent, and says what is wrong."""
    witness = tmp_path / "started"

    process = run(*arguments, str(witness)) if "touch" in arguments else run(*arguments)

    assert 2 == process.returncode
    assert "loadbell wrap: error: " in process.stderr
    assert not witness.exists()
    assert [] == stub.calls


def test_an_unknown_metric_is_named(run: Run) -> None:
    """A limit on a metric that nobody measures names those that are known."""
    assert (
        "known metrics: duration_s, exit_code, requests, failed, failed_rate"
        in run("--fail-if", "p95 > 3", "--", "true").stderr
    )


def test_heartbeats_and_abort(run: Run, stub: Stub) -> None:
    """The run is kept alive by heartbeats; told to abort, wrap stops the tool and reports an abort by a user."""
    beats: list[Call] = []

    def answer(call: Call) -> Answer | None:
        if not call.path.endswith("/heartbeat"):
            return None
        beats.append(call)
        return 200, {"abort": len(beats) > 2}

    stub.answer = answer

    process = run("--", sys.executable, "-c", ON_SIGNAL.format(on_int="exit 0", on_term="exit 1"), hurried=True)

    assert len(beats) >= 3
    assert 0 == process.returncode
    assert (6, "unknown") == (stub.end["status"], stub.end["result"])
    assert "stopped by an abort in loadbell" == stub.end["note"]


def test_abort_of_a_tool_that_ignores_sigint(run: Run, stub: Stub) -> None:
    """A tool that does not heed SIGINT is asked by SIGTERM after a while."""
    stub.answer = lambda call: (200, {"abort": True}) if call.path.endswith("/heartbeat") else None

    process = run("--", sys.executable, "-c", ON_SIGNAL.format(on_int="ignore", on_term="exit 9"), hurried=True)

    assert (9, 6) == (process.returncode, stub.end["status"])


def test_output_is_the_tools_own(environment: dict[str, str]) -> None:
    """Standard input, output and error are the tool's, byte for byte, however much it is."""
    script = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read() * 300_000); sys.stderr.write('err')"

    process = subprocess.run(
        wrap_command("--", sys.executable, "-c", script),
        env=environment,
        input=b"\x00\xff in\n",
        capture_output=True,
        timeout=30,
        check=True,
    )

    assert b"\x00\xff in\n" * 300_000 == process.stdout
    assert process.stderr.startswith(b"err")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(environment: dict[str, str], stub: Stub, tmp_path: Path, closed: str) -> None:
    """With standard streams closed the tool finds the same ones closed, and the run is reported."""
    found = tmp_path / "found"
    probe = f"for n in 0 1 2; do test -e /proc/self/fd/$n && echo $n; done >{found}; exit 4"
    tool = fake_tool(tmp_path, "tool", probe)
    shell = f'"$@" {closed}'

    plain = subprocess.run(["sh", "-c", shell, "sh", tool], check=False, timeout=30)
    expected = found.read_text(encoding="utf-8")
    process = subprocess.run(
        ["sh", "-c", shell, "sh", *wrap_command("--", tool)], env=environment, check=False, timeout=30
    )

    assert expected == found.read_text(encoding="utf-8")
    assert (4, 4) == (plain.returncode, process.returncode)
    assert "exit code 4" == stub.end["note"]


def test_other_open_files_are_inherited(run: Run, environment: dict[str, str], tmp_path: Path) -> None:
    """A file that the caller left open for the tool is open in the tool."""
    kept = tmp_path / "kept"
    shell = f'"$@" 5>{kept}'

    subprocess.run(
        ["sh", "-c", shell, "sh", *wrap_command("--", "sh", "-c", "echo yes >&5")],
        env=environment,
        check=True,
        timeout=30,
    )

    assert "yes\n" == kept.read_text(encoding="utf-8")


def test_a_broken_stderr(environment: dict[str, str]) -> None:
    """A stderr that nobody reads any more does not change the exit code."""
    process = subprocess.Popen(wrap_command("--", "sh", "-c", "exit 4"), env=environment, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.close()

    assert 4 == process.wait(30)


ON_SIGNAL = """
import signal, sys, time
def handler(action):
    def handle(number, frame):
        if action.startswith("exit"):
            sys.exit(int(action.split()[1]))
    return handle
signal.signal(signal.SIGINT, handler("{on_int}"))
signal.signal(signal.SIGTERM, handler("{on_term}"))
time.sleep(0.01)
while True:
    time.sleep(20)
"""
