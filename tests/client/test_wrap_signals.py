"""``loadbell wrap`` and signals: the tool gets each one once, whoever was meant by it."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.client.conftest import wrap_command
from tests.client.stub import Stub

TOOL = """
import os, signal, sys, time
heard = open({heard!r}, "a", buffering=1)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, lambda number, _: print(signal.Signals(number).name, file=heard))
print("ready", os.getpid(), file=heard)
deadline = time.monotonic() + 20
while not os.path.exists({stop!r}) and time.monotonic() < deadline:
    time.sleep(0.02)
sys.exit(5)
"""


@dataclass
class Tool:
    """A tool that writes down every signal it gets and exits with 5 once told to."""

    folder: Path

    @property
    def command(self) -> list[str]:
        """How to call it."""
        return [sys.executable, "-c", TOOL.format(heard=str(self.folder / "heard"), stop=str(self.folder / "stop"))]

    @property
    def heard(self) -> list[str]:
        """The signals it got."""
        return self._lines()[1:]

    @property
    def pid(self) -> int:
        """Its process, once it is ready."""
        wait_until(lambda: bool(self._lines()))
        return int(self._lines()[0].split()[1])

    def release(self) -> None:
        """Lets it come to its end."""
        (self.folder / "stop").touch()

    def _lines(self) -> list[str]:
        path = self.folder / "heard"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def wait_until(holds: Callable[[], bool], timeout: float = 15.0) -> None:
    """Waits for ``holds`` to be true."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    """A tool that writes down its signals."""
    return Tool(tmp_path)


@pytest.fixture
def start(environment: dict[str, str], tool: Tool) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Starts wrap with the tool in a process group of its own, and waits until both are up."""
    started: list[subprocess.Popen[bytes]] = []

    def start_it(*prefix: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [*prefix, *wrap_command("--", *tool.command)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        started.append(process)
        wait_until_watched(tool)
        return process

    yield start_it
    tool.release()
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until_watched(tool: Tool) -> None:
    """Waits until the tool runs and wrap has started its witness."""
    wrap = psutil.Process(tool.pid).parent()
    assert wrap is not None
    wait_until(lambda: any(child.name() == "cat" for child in wrap.children()))


def settle() -> None:
    """Gives a signal that should not come the time to come: twice what wrap waits for its witness."""
    time.sleep(1.0)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_to_wrap_alone(
    start: Callable[..., "subprocess.Popen[bytes]"], tool: Tool, stub: Stub, name: str
) -> None:
    """A signal sent to wrap is passed on, the tool ends as it likes, and the run as aborted by a user."""
    process = start()

    process.send_signal(signal.Signals[name])

    wait_until(lambda: tool.heard == [name])
    settle()
    tool.release()
    assert 5 == process.wait(15)
    assert [name] == tool.heard
    assert (6, "unknown", f"stopped by {name}") == (stub.end["status"], stub.end["result"], stub.end["note"])


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_to_the_group(
    start: Callable[..., "subprocess.Popen[bytes]"], tool: Tool, stub: Stub, name: str
) -> None:
    """A signal sent to the whole process group reaches the tool once, again and again; wrap adds none of its own."""
    process = start()

    for count in (1, 2):
        os.killpg(process.pid, signal.Signals[name])
        wait_until(lambda count=count: len(tool.heard) >= count)  # type: ignore[misc]  # binds the loop's count
        settle()
        assert [name] * count == tool.heard

    process.send_signal(signal.SIGHUP)
    wait_until(lambda: tool.heard[2:] == ["SIGHUP"])
    tool.release()
    assert 5 == process.wait(15)
    assert (6, f"stopped by {name}") == (stub.end["status"], stub.end["note"])


def test_timeout(start: Callable[..., "subprocess.Popen[bytes]"], tool: Tool) -> None:
    """Under ``timeout``, which signals wrap and then its whole group, the tool gets one SIGTERM."""
    start("timeout", "4")

    wait_until(lambda: tool.heard != [])
    settle()
    assert ["SIGTERM"] == tool.heard


@pytest.mark.parametrize("apart", [0.0, 0.05])
def test_a_signal_to_wrap_and_then_to_the_group(
    start: Callable[..., "subprocess.Popen[bytes]"], tool: Tool, apart: float
) -> None:
    """As ``timeout`` does it on a busy machine: the two may come one after the other; the tool gets one."""
    process = start()

    process.send_signal(signal.SIGTERM)
    time.sleep(apart)
    os.killpg(process.pid, signal.SIGTERM)

    wait_until(lambda: tool.heard != [])
    settle()
    assert ["SIGTERM"] == tool.heard
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: tool.heard == ["SIGTERM", "SIGTERM"])


def test_a_signal_that_does_not_ask_to_stop(
    start: Callable[..., "subprocess.Popen[bytes]"], tool: Tool, stub: Stub
) -> None:
    """SIGUSR1 is passed on and changes nothing about how the run ends."""
    process = start()

    process.send_signal(signal.SIGUSR1)

    wait_until(lambda: tool.heard == ["SIGUSR1"])
    tool.release()
    assert 5 == process.wait(15)
    assert (8, "exit code 5") == (stub.end["status"], stub.end["note"])


def test_nohup(start: Callable[..., "subprocess.Popen[bytes]"], tool: Tool, stub: Stub) -> None:
    """A SIGHUP that was ignored when wrap started is ignored by wrap and by the tool."""
    process = start("nohup")

    process.send_signal(signal.SIGHUP)

    settle()
    tool.release()
    assert 5 == process.wait(15)
    assert ([], 8) == (tool.heard, stub.end["status"])


def test_a_tool_that_died_of_the_signal(environment: dict[str, str], stub: Stub) -> None:
    """A tool without a handler dies of the signal passed on, and wrap exits as a shell would."""
    process = subprocess.Popen(wrap_command("--", "sleep", "20"), env=environment, process_group=0)
    stub.wait_for("POST", "/runs")

    process.send_signal(signal.SIGTERM)

    assert 143 == process.wait(15)
    assert (6, 143) == (stub.end["status"], stub.end["metrics"]["exit_code"])


def test_nothing_is_left_behind(start: Callable[..., "subprocess.Popen[bytes]"], tool: Tool) -> None:
    """If wrap is killed outright the tool goes on, and no process of wrap's own stays."""
    process = start()
    others = [child for child in psutil.Process(process.pid).children() if child.pid != tool.pid]

    process.kill()
    process.wait(15)

    _, alive = psutil.wait_procs(others, timeout=10)
    assert [] == alive
    assert psutil.pid_exists(tool.pid)


def test_ctrl_c_at_a_terminal(environment: dict[str, str], tool: Tool, stub: Stub) -> None:
    """Ctrl-C at a terminal reaches the tool once, through the terminal; the run was started by hand."""
    controlling = (
        "import fcntl,os,sys,termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
    )
    keyboard, terminal = pty.openpty()
    with os.fdopen(keyboard, "r+b", buffering=0) as keys:
        process = subprocess.Popen(
            [sys.executable, "-c", controlling, *wrap_command("--", *tool.command)],
            env=environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        wait_until_watched(tool)

        keys.write(b"\x03")

        wait_until(lambda: tool.heard != [])
        settle()
        assert ["SIGINT"] == tool.heard
        tool.release()
        assert 5 == process.wait(15)

    assert "manual" == stub.created[0]["trigger"]
    assert (6, "stopped by SIGINT") == (stub.end["status"], stub.end["note"])
