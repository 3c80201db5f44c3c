"""``loadbell wrap`` and Locust: what its files and options prove, by the rules and by Locust itself."""

import json
import sys
from pathlib import Path

import pytest

from loadbell.client.commands import Command, read_command
from loadbell.client.exit_codes import Execution, read_result
from loadbell.client.locust_options import LocustOptions
from loadbell.client.results import read_metrics
from tests.client.conftest import Run, fake_tool
from tests.client.stub import Stub

HEADER = "Type,Name,Request Count,Failure Count,Median Response Time"
GOOD = {"requests": 311.0, "failed": 0.0, "failed_rate": 0.0}
SCRIPT = """
from locust import HttpUser, constant, events, task

class Visitor(HttpUser):
    wait_time = constant(0.1)

    @task
    def visit(self):
        self.client.get("/")
        if self.environment.stats.total.num_requests >= 3:
            self.environment.runner.quit()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, and no home: Locust reads its options in both."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "locustfile.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path


def locust(options: str = "", **environment: str) -> Command:
    """A call of Locust with these options."""
    return read_command(["locust", "--headless", *options.split()], environment)


def end(
    code: int, command: Command, figures: dict[str, float] | None = None, duration_s: float = 9.0
) -> tuple[int, str, str | None]:
    """Status, result and note of a run of ``command`` that exited with ``code``."""
    judged = read_result(code, Execution(command, 0, duration_s, figures or {}))
    return judged.status, judged.result, judged.note


def test_exit_0_with_requests() -> None:
    """Locust's 0 is a pass of at least one request that is known of."""
    assert (3, "passed", None) == end(0, locust(), GOOD)


@pytest.mark.parametrize(
    ("figures", "note"),
    [
        ({}, "exit code 0: the number of requests is unknown; with --csv PREFIX among Locust's options it is"),
        ({"requests": 0.0, "failed": 0.0}, "no request was made"),
        ({"requests": 311.0, "failed": 311.0, "failed_rate": 1.0}, "100 % of 311 requests failed"),
    ],
)
def test_exit_0_without_proof(figures: dict[str, float], note: str) -> None:
    """Locust's 0 of no request, of failed ones, or of nobody knows what is no pass."""
    assert (3, "unknown", note) == end(0, locust(), figures)


@pytest.mark.parametrize("options", ["--master", "--processes 2", "--processes -1", "--master --expect-workers 2"])
def test_exit_0_of_a_master(options: str) -> None:
    """A master ends with 0 when a worker was killed on the way, so its 0 is no pass."""
    assert (3, "unknown", "unknown whether a worker was lost") == end(0, locust(options), GOOD)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("locust.conf", "exit-code-on-error = 0"),
        ("locust.conf", "users = 3\n--exit-code-on-error: 0  # never red"),
        ("locust.conf", "exit-code-on-error 0\n"),
        ("home/.locust.conf", "exit-code-on-error=0"),
        ("pyproject.toml", "[tool.locust]\nexit-code-on-error = 0\n"),
        ("other.conf", "exit-code-on-error = 00"),
        ("other.toml", '[tool.locust]\nexit-code-on-error = "0"\n'),
    ],
)
def test_errors_that_change_no_exit_code(folder: Path, path: str, text: str) -> None:
    """Wherever Locust was told to exit with 0 in spite of errors, its 0 is no pass."""
    (folder / path).write_text(text, encoding="utf-8")
    home = {"HOME": str(folder / "home")}
    calls = [locust(**home)]
    if path.startswith("other"):
        calls = [locust(f"--config {path}", **home), locust(f"--config={path}"), locust(LOCUST_CONFIG=path)]

    for command in calls:
        assert (3, "unknown", "Locust's exit code for errors is switched off") == end(0, command, GOOD)


@pytest.mark.parametrize("options", ["--exit-code-on-error 0", "--exit-code-on-error=0", "--exit-code 0"])
def test_errors_switched_off_on_the_command_line(options: str) -> None:
    """The option counts in every form that Locust takes, and as its variable; the command line wins over a file."""
    assert (3, "unknown") == end(0, locust(options), GOOD)[:2]
    assert (3, "unknown") == end(0, locust(LOCUST_EXIT_CODE_ON_ERROR="0"), GOOD)[:2]
    Path("locust.conf").write_text("exit-code-on-error = 0", encoding="utf-8")
    assert (3, "passed") == end(0, locust("--exit-code-on-error 1"), GOOD)[:2]


@pytest.mark.parametrize("text", ["\x00\x01", "[[[", "[" * 50_000, "= = =\n:\n \n--", "tool = 3\nlocust"])
@pytest.mark.parametrize("path", ["locust.conf", "pyproject.toml"])
def test_files_that_are_no_options(run: Run, stub: Stub, folder: Path, path: str, text: str) -> None:
    """A file that can't be read does no harm: the tool says so itself, and its exit code is wrap's."""
    (folder / path).write_text(f"locust {text}", encoding="utf-8")

    assert 5 == run("--", fake_tool(folder, "locust", "exit 5")).returncode
    assert (12, "failed") == (stub.end["status"], stub.end["result"])


@pytest.mark.parametrize(
    ("code", "options", "figures", "duration_s", "expected"),
    [
        (1, "-t 5s", {}, 5.2, (12, "failed", "exit code 1: requests failed, or the locustfile raised")),
        (1, "--run-time 1m30s", {}, 91, (12, "failed", "exit code 1: requests failed, or the locustfile raised")),
        (1, "-t5", {"requests": 300.0, "failed": 30.0}, 2, (12, "failed", "exit code 1: 10 % of 300 requests failed")),
        (1, "", {}, 9, (8, "failed", "exit code 1: requests failed, or the locustfile is broken")),
        (1, "-f missing.py", {}, 9, (9, "unknown", "exit code 1: the locustfile doesn't exist")),
        (1, "-f locustfile.py,missing.py", {}, 9, (9, "unknown", "exit code 1: the locustfile doesn't exist")),
        (1, "--csv out", {}, 9, (9, "unknown", "exit code 1 and no results: the locustfile is broken")),
        (4, "--exit-code-on-error 4", {}, 9, (12, "failed", "exit code 4: requests failed, or the locustfile raised")),
        (3, "", {}, 9, (12, "failed", "exit code 3: set by the locustfile")),
        (2, "", {}, 9, (8, "unknown", "exit code 2: wrong usage, or a listener in the locustfile raised")),
        (255, "", {}, 9, (8, "unknown", "exit code 255: Locust couldn't start or was killed")),
    ],
)  # fmt: skip
def test_other_codes(
    code: int, options: str, figures: dict[str, float], duration_s: float, expected: tuple[int, str, str]
) -> None:
    """A 1 is failed requests where the test did run; a code of the script's own is its own end, and a failure."""
    assert expected == end(code, locust(options), figures, duration_s)


def test_an_end_before_its_time() -> None:
    """A 1 before the run time was over is the script's: it is broken, or stopped the test."""
    status, result, note = end(1, locust("-t 10s"), duration_s=0.8)

    assert (9, "unknown") == (status, result)
    assert "exit code 1 before the end of its run time: the locustfile is broken or ended the test early" == note


def test_figures_of_csv(folder: Path) -> None:
    """The counts are read from the file that the user asked for, wherever that was said, and from no older one."""
    stats = folder / "out_stats.csv"
    stats.write_text(f'{HEADER}\nGET,"/a,b",200,2,3\n,Aggregated,311,31,3\n', encoding="utf-8")
    began = stats.stat().st_mtime
    expected = {"requests": 311.0, "failed": 31.0, "failed_rate": 0.099678}

    assert expected == read_metrics(locust("--csv out"), began) == read_metrics(locust(LOCUST_CSV="out"), began)
    assert {} == read_metrics(locust("--csv out"), began + 60) == read_metrics(locust(), began)
    stats.write_text("cut off,", encoding="utf-8")
    assert {} == read_metrics(locust("--csv out"), began)
    assert {"requests": 0.0, "failed": 0.0} == read_metrics(locust("--csv out"), began - 60)


def test_a_short_run_whose_csv_is_behind(folder: Path) -> None:
    """Locust's CSV file lacks the last seconds: none in it is not none in a short run, but the test did begin."""
    stats = folder / "out_stats.csv"
    stats.write_text(f"{HEADER}\n,Aggregated,0,0,0\n", encoding="utf-8")
    execution = Execution(locust("--csv out -t 1s"), stats.stat().st_mtime, 1.2, {})

    assert {} == read_metrics(execution.command, execution.started_at)
    assert (3, "unknown") == (read_result(0, execution).status, read_result(0, execution).result)
    assert (12, "failed") == (read_result(1, execution).status, read_result(1, execution).result)


def test_figures_of_json(folder: Path) -> None:
    """The counts of all entries of a JSON file are added up; a broken file says nothing."""
    entries = [{"num_requests": 229, "num_failures": 0}, {"num_requests": 71, "num_failures": 30}]
    (folder / "out.json").write_text(json.dumps(entries), encoding="utf-8")

    assert {"requests": 300.0, "failed": 30.0, "failed_rate": 0.1} == read_metrics(locust("--json-file out"), 0)
    for text in ("{", "3", "[1]", '[{"num_requests": "x", "num_failures": 1}]', "[]" * 2):
        (folder / "out.json").write_text(text, encoding="utf-8")
        assert {} == read_metrics(locust("--json-file out"), 0)


@pytest.mark.parametrize(
    ("options", "variables", "config"),
    [
        ("--worker", {}, ""),
        ("--worker --master-host 10.0.0.1 --processes 4", {}, ""),
        ("", {"LOCUST_MODE_WORKER": "true"}, ""),
        ("", {}, "worker = true"),
        ("", {}, "worker"),
    ],
)
def test_a_worker(run: Run, stub: Stub, folder: Path, options: str, variables: dict[str, str], config: str) -> None:  # noqa: PLR0913, PLR0917 - three fixtures and three places
    """A wrapped worker reports nothing, for its master does, and says so in one line; its exit code is kept."""
    (folder / "locust.conf").write_text(config, encoding="utf-8")

    process = run("--", fake_tool(folder, "locust", "exit 3"), *options.split(), **variables)

    assert (3, []) == (process.returncode, stub.calls)
    assert [
        "loadbell: a locust worker only makes load for its master, so it isn't reported. Wrap the master instead"
    ] == process.stderr.splitlines()


def test_no_worker() -> None:
    """A master, and what says in so many words that it is no worker, is none."""
    for command in (locust("--master"), locust(LOCUST_MODE_WORKER="false"), locust()):
        assert not LocustOptions(command).is_worker


def real_locust(run: Run, *options: str, **environment: str) -> int:
    """Runs Locust itself through wrap; its exit code."""
    command = [sys.executable, "-m", "locust", "--headless", "-u", "2", "-r", "2", "--only-summary", *options]
    return run("--", *command, **environment).returncode


def test_a_real_pass(run: Run, stub: Stub, target: str) -> None:
    """Locust itself, with good answers and a file that counts them, passes, and its counts go along."""
    assert 0 == real_locust(run, "-H", target, "-t", "4s", "--json-file", "out")

    assert (3, "passed") == (stub.end["status"], stub.end["result"])
    assert stub.end["metrics"]["requests"] >= 3
    assert 0 == stub.end["metrics"]["failed_rate"]


def test_a_real_failure_that_is_switched_off(run: Run, stub: Stub, folder: Path) -> None:
    """Locust itself, told in its own file to exit with 0, does not pass when every request fails."""
    (folder / "locust.conf").write_text("exit-code-on-error = 0\nrun-time = 60s\njson-file = out\n", encoding="utf-8")

    assert 0 == real_locust(run, "-H", "http://127.0.0.1:9")

    assert (3, "unknown") == (stub.end["status"], stub.end["result"])
    assert stub.end["note"].startswith("100 % of ")


@pytest.mark.parametrize(
    ("script", "options"),
    [("import nowhere\n", ["-t", "30s"]), (None, ["-t", "30s"]), ("import nowhere\n", ["-t", "30s", "--csv", "out"])],
)
def test_a_real_broken_script(run: Run, stub: Stub, folder: Path, script: str | None, options: list[str]) -> None:
    """Locust itself, with a script that is missing or can't be imported, is aborted by a script error."""
    (folder / "broken.py").write_text(script or "", encoding="utf-8")

    assert 1 == real_locust(run, "-f", "broken.py" if script else "missing.py", *options)

    assert (9, "unknown") == (stub.end["status"], stub.end["result"])


def test_a_real_code_of_its_own(run: Run, stub: Stub, folder: Path, target: str) -> None:
    """Locust itself, whose script sets an exit code of its own, came to its own end and failed."""
    quitting = "\n@events.quitting.add_listener\ndef judge(environment, **_):\n    environment.process_exit_code = 3\n"
    (folder / "locustfile.py").write_text(SCRIPT + quitting, encoding="utf-8")

    assert 3 == real_locust(run, "-H", target, "-t", "4s")

    assert (12, "failed") == (stub.end["status"], stub.end["result"])
