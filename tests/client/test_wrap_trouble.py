"""``loadbell wrap`` and a server that is down, slow, or says no: the tool never suffers."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.client.conftest import Run
from tests.client.stub import Answer, Call, Stub, problem


@contextmanager
def hanging() -> Iterator[str]:
    """The URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_the_tool_never_waits_for_the_server(run: Run, stub: Stub, tmp_path: Path) -> None:
    """The tool runs from start to end while the server still ponders the first call."""
    finished = tmp_path / "finished"
    tool_was_done: list[bool] = []

    def ponder(call: Call) -> None:
        if call.path.endswith("/runs"):
            deadline = time.monotonic() + 2.5
            while not finished.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            tool_was_done.append(finished.exists())

    stub.answer = ponder

    run("--", "touch", str(finished))

    assert [True] == tool_was_done
    assert 3 == stub.end["status"]


def test_a_dead_server(run: Run) -> None:
    """With nobody listening the tool is untouched; the cost is a few seconds and one line."""
    began = time.monotonic()

    process = run("--", "sh", "-c", "echo out; exit 5", LOADBELL_URL="http://127.0.0.1:9")

    assert time.monotonic() - began < 9
    assert (5, "out\n") == (process.returncode, process.stdout)
    (line,) = process.stderr.splitlines()
    assert line.startswith("loadbell: this run wasn't reported; loadbell can't be reached: ")


def test_a_hanging_server(run: Run) -> None:
    """A server that never answers costs a few seconds and one line too."""
    with hanging() as url:
        began = time.monotonic()
        process = run("--", "sh", "-c", "exit 5", LOADBELL_URL=url)

    assert time.monotonic() - began < 9
    assert 5 == process.returncode
    assert (
        ["loadbell: this run wasn't reported; loadbell can't be reached: it didn't respond in time"]
    ) == process.stderr.splitlines()


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (problem(401, "Unknown token."), "LOADBELL_TOKEN was rejected; HTTP 401: Unknown token."),
        (problem(404, "There is no project 5."), "HTTP 404: There is no project 5."),
        (problem(422, "name:\n\x1b[31mlong"), "HTTP 422: name:  [31mlong"),
        ((302, {}), "HTTP 302"),
        ((200, {"hello": "world"}), "there is no loadbell at LOADBELL_URL"),
    ],
)
def test_a_refusal(run: Run, stub: Stub, answer: Answer, line: str) -> None:
    """A server that refuses the run is asked once; the tool runs, and one line says why."""
    stub.answer = lambda _: answer

    process = run("--", "sh", "-c", "exit 5")

    assert 5 == process.returncode
    assert [f"loadbell: this run isn't reported: {line}"] == process.stderr.splitlines()
    assert 1 == len(stub.calls)


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        ({"LOADBELL_URL": ""}, "LOADBELL_URL is not set: this run isn't reported"),
        ({"LOADBELL_TOKEN": ""}, "LOADBELL_TOKEN is not set: this run isn't reported"),
        (
            {"LOADBELL_URL": "localhost:8025"},
            (
                "this run isn't reported: LOADBELL_URL isn't a server's URL. "
                "Write a URL such as https://loadbell.example.org"
            ),
        ),
        (
            {"LOADBELL_URL": "http://host:port/"},
            (
                "this run isn't reported: LOADBELL_URL isn't a URL. "
                "Write a URL such as https://loadbell.example.org, and an IPv6 address in [brackets]"
            ),
        ),
        (
            {"LOADBELL_TOKEN": "two\nlines"},
            "this run isn't reported: LOADBELL_TOKEN isn't a token. Copy it again, on one line",
        ),
    ],
)
def test_a_bad_setting(run: Run, extra: dict[str, str], line: str) -> None:
    """Without a usable address and token the tool runs all the same, and one line names what is wrong."""
    process = run("--", "sh", "-c", "exit 5", **extra)

    assert (5, [f"loadbell: {line}"]) == (process.returncode, process.stderr.splitlines())


def test_a_path_prefix(run: Run, stub: Stub) -> None:
    """The server may stand under a path, with or without a slash at its end."""
    run("--", "true", LOADBELL_URL=f"{stub.url}/bell/")

    assert ["/bell/api/v1/runs", "/bell/api/v1/runs/7"] == [call.path for call in stub.calls]


def test_trouble_is_retried_with_one_key(run: Run, stub: Stub) -> None:
    """A server that stumbles is asked again, with one idempotency key and the same body: it makes one run."""
    troubles = {"POST": 2, "PATCH": 2}

    def stumble(call: Call) -> Answer | None:
        troubles[call.method] -= 1
        return problem(503, "Later.") if troubles[call.method] >= 0 else None

    stub.answer = stumble

    process = run("--", "true")

    creates = [call for call in stub.calls if call.method == "POST"]
    assert 3 == len(creates)
    assert 1 == len({(call.headers["Idempotency-Key"], call.raw) for call in creates})
    assert 3 == len(stub.ends)
    assert f"loadbell: Status 3, result unknown: {stub.url}/runs/7\n" == process.stderr


def test_each_run_has_its_own_key(run: Run, stub: Stub) -> None:
    """Two runs are never taken for one."""
    run("--", "true")
    run("--", "true")

    keys = [call.headers["Idempotency-Key"] for call in stub.calls if call.method == "POST"]
    assert 2 == len(set(keys))


def test_an_end_that_can_not_be_reported(run: Run, stub: Stub) -> None:
    """If the end can't be told, one line gives the reason and the run's URL."""
    stub.answer = lambda call: problem(409, "It has ended.") if call.method == "PATCH" else None

    assert [f"loadbell: this run's end was refused: HTTP 409: It has ended.; {stub.url}/runs/7"] == run(
        "--", "true"
    ).stderr.splitlines()


def test_a_run_created_late(run: Run, stub: Stub, tmp_path: Path) -> None:
    """A server that comes up while the tool runs still learns of the run, when it began, and how long it took."""
    stub.answer = lambda _: problem(500, "Not yet.") if len(stub.calls) == 1 else None

    run("--", "sleep", "0.6")

    assert [2, 2] == [body["status"] for body in stub.created]
    assert 3 == stub.end["status"]
    began = {datetime.fromisoformat(body["started_at"]) for body in stub.created}
    times = [parsedate_to_datetime(call.headers["Date"]) for call in stub.calls if call.method == "POST"]
    assert 1 == len(began)
    assert all(timedelta(seconds=-1) < at - next(iter(began)) < timedelta(seconds=30) for at in times)
    assert 0.6 <= stub.end["duration_s"] == stub.end["metrics"]["duration_s"]
