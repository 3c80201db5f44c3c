"""``loadbell demo`` from outside: a real server, a real receiver and a real Locust run."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

DEMO = [sys.executable, "-m", "loadbell", "demo"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the demo makes its temporary folder."""
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """An environment with a proxy that nobody listens at, and settings of another server and another load test."""
    return os.environ | {
        "TMPDIR": str(folder),
        "http_proxy": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "all_proxy": "http://127.0.0.1:9",
        "LOADBELL_DATABASE_URL": "postgresql://127.0.0.1:9/other",
        "LOADBELL_WATCHDOG": "never",
        "LOADBELL_URL": "http://127.0.0.1:9",
        "LOCUST_TAGS": "none",
    }


@pytest.fixture
def demo(environment: dict[str, str], tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A demo with --keep that has just begun, its output in a file."""
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen([*DEMO, "--keep"], env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def wait_for(path: Path, text: str, timeout: float = 200.0) -> str:
    """What stands in the file once that includes ``text``."""
    deadline = time.monotonic() + timeout
    while text not in (found := path.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def test_the_show(demo: "subprocess.Popen[bytes]", tmp_path: Path, folder: Path) -> None:
    """The demo shows what each kind of channel got and its people read, proves that all came, and lets one try."""
    shown = wait_for(tmp_path / "out", "\nloadbell wrap -- sleep 3\n")

    for event in ("test.notification_channel", "test.started", "test.finished"):
        assert 1 == shown.count(f"\n  X-LoadImpact-Event: {event}\n")
    assert "\n  User-Agent: LoadImpactWebHook\n" in shown
    assert '\n    "status_text": "Finished",\n' in shown
    for place in ("Slack", "HipChat, in gray", "HipChat, in green"):
        assert f"\n<- {place}, " in shown
    for text in ("Test Hook: This channel works", "Load test started: Shop, five visitors"):
        assert (f"\n  🔔 {text}\n" in shown, f"\n  {text}\n" in shown) == (True, True)
    assert ("\n  ✅ Load test passed: Shop" in shown, "\n  Load test passed: Shop" in shown) == (True, True)
    assert "test.started and test.finished arrived everywhere; Locust made" in shown
    assert "\nloadbell: Finished, result passed: http://127.0.0.1:" in shown
    assert [] == [line for line in shown.splitlines() if len(line) > 80 and "export" not in line]
    assert "\x1b" not in shown

    (export,) = [line for line in shown.splitlines() if line.startswith("export ")]
    settings = dict(word.split("=", 1) for word in export.split()[1:])
    request = urllib.request.Request(
        f"{settings['LOADBELL_URL']}/api/v1/runs", headers={"Authorization": f"Bearer {settings['LOADBELL_TOKEN']}"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        assert 200 == answer.status

    demo.send_signal(signal.SIGINT)
    assert 0 == demo.wait(120)
    assert [] == list(folder.iterdir())


@pytest.mark.parametrize(
    ("name", "at"), [("SIGINT", "a real Locust run"), ("SIGTERM", "Test Hook: delivered"), ("SIGHUP", "Running")]
)
def test_leaving_early(demo: "subprocess.Popen[bytes]", tmp_path: Path, folder: Path, name: str, at: str) -> None:
    """However early it is left, the demo leaves no process and no folder behind, and exits as a shell would."""
    wait_for(tmp_path / "out", at)
    own = psutil.Process(demo.pid).children(recursive=True)

    demo.send_signal(signal.Signals[name])

    assert 128 + signal.Signals[name] == demo.wait(120)
    _, alive = psutil.wait_procs(own, timeout=0)
    assert [] == alive
    assert [] == list(folder.iterdir())
    assert (
        (tmp_path / "out")
        .read_text(encoding="utf-8")
        .endswith("the demo was stopped. All of its files and processes are gone.\n")
    )


def test_without_locust() -> None:
    """Where Locust is not installed, the demo says how to get it."""
    code = "import sys; sys.modules['locust'] = None; from loadbell.cli.program import run; sys.exit(run(['demo']))"

    process = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PATH": ""},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (1, "") == (process.returncode, process.stdout)
    assert "pip install locust" in process.stderr
