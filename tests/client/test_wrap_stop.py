"""``loadbell wrap`` stops all that the command has started when it is told to stop, and nothing else."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from uuid import uuid4

import psutil
import pytest

from loadbell.client.processes import Process, describe_processes
from tests.client.conftest import wrap_command
from tests.client.stub import Stub
from tests.client.test_wrap_signals import wait_until

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
)
Start = Callable[..., "subprocess.Popen[bytes]"]


class Load:
    """The processes of one test, known by a variable that they inherit."""

    def __init__(self) -> None:
        self.mark = str(uuid4())

    def running(self, word: str = "600") -> list[psutil.Process]:
        """Those that live and have ``word`` as an argument, or in one."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_ours = process.environ().get("OF_TEST") == self.mark and process.status() != psutil.STATUS_ZOMBIE
                shows = any(word in argument for argument in process.cmdline()[1:])
                is_wrap = "wrap" in process.cmdline() or "loadbell.client" in " ".join(process.cmdline())
                if is_ours and shows and not is_wrap and process.name() not in {"sh", "bash"}:
                    found.append(process)
        return found


@pytest.fixture
def load() -> Iterator[Load]:
    """The processes of this test; what is left of them is killed."""
    load = Load()
    yield load
    for process in load.running():
        with contextlib.suppress(psutil.Error):
            process.kill()


@pytest.fixture
def start(environment: dict[str, str], load: Load) -> Iterator[Start]:
    """Starts wrap with a shell command, in a process group of its own, and waits until so many commands run."""
    started: list[subprocess.Popen[bytes]] = []

    def start_it(script: str, *, count: int, shell: str = "sh", before: str = "") -> "subprocess.Popen[bytes]":
        command = wrap_command("--", shell, "-c", script, hurried=True)
        process = subprocess.Popen(
            ["sh", "-c", f"{before} exec {shlex.join(command)}"] if before else command,
            env=environment | {"OF_TEST": load.mark},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        started.append(process)
        wait_until(lambda: len(load.running()) == count)
        return process

    yield start_it
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def abort(stub: Stub) -> None:
    """Has the server say, from now on, that somebody pressed Abort."""
    stub.answer = lambda call: (200, {"abort": True}) if call.path.endswith("/heartbeat") else None


@pytest.mark.parametrize(
    ("script", "count"),
    [
        ("sleep 600 | sleep 6001", 2),
        ("sleep 600; sleep 6000", 1),
        ("sleep 600 & sleep 6001 & wait", 2),
        ("sh -c 'sleep 600; true' | sleep 6001; true", 2),
        ("setsid sleep 600 & wait", 1),
        ("(setsid sleep 600 &); sleep 6001", 2),
    ],
)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_abort_stops_all(start: Start, stub: Stub, load: Load, script: str, count: int, shell: str) -> None:  # noqa: PLR0913, PLR0917 - three fixtures and three parameters
    """An abort stops whatever the command has started, in a pipe, in the background or in a session of its own."""
    process = start(script, count=count, shell=shell)

    abort(stub)

    process.wait(30)
    assert [] == load.running()
    assert (6, "stopped by an abort in loadbell") == (stub.end["status"], stub.end["note"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_signal_stops_all(start: Start, stub: Stub, load: Load, number: signal.Signals, shell: str) -> None:
    """A signal to wrap alone stops what the command has started, too, even though a shell passes none on."""
    process = start("sleep 600 | sleep 6001; true", count=2, shell=shell)

    process.send_signal(number)

    process.wait(30)
    assert [] == load.running()
    assert (6, f"stopped by {number.name}") == (stub.end["status"], stub.end["note"])


def test_what_heeds_no_signal_is_killed(start: Start, stub: Stub, load: Load) -> None:
    """What ignores SIGINT and SIGTERM is killed in the end, be it the command itself or what it left behind."""
    stubborn = f"{sys.executable} -c {shlex.quote(STUBBORN)}"
    process = start(f"setsid {stubborn} & exec {stubborn}", count=2)

    abort(stub)

    assert 137 == process.wait(30)
    assert [] == load.running()
    assert (6, 137) == (stub.end["status"], stub.end["metrics"]["exit_code"])


def test_an_end_of_its_own_stops_nothing(start: Start, stub: Stub, load: Load) -> None:
    """A process that the command leaves behind at an end of its own goes on."""
    process = start("sleep 600 & sleep 1", count=1)

    assert 0 == process.wait(30)
    (left,) = load.running()
    assert left.is_running()
    assert 3 == stub.end["status"]


def test_others_are_left_alone(start: Start, stub: Stub, load: Load) -> None:
    """What ran before the command, in our process group or even as our child, is not its and goes on."""
    process = start("sleep 600", count=3, before="sleep 6001 & (sleep 6002 &);")

    abort(stub)

    process.wait(30)
    assert ["6001", "6002"] == sorted(one.cmdline()[1] for one in load.running())


def test_names_of_what_is_left() -> None:
    """What could not be stopped is told by its program and number; a name that may hold anything is not."""
    processes = [Process(5, 1, "vegeta", 0, has_ended=False), Process(6, 1, "https://u:p@h", 0, has_ended=False)]

    assert "vegeta (5), 6" == describe_processes(processes)
    assert "vegeta (5), vegeta (5), vegeta (5), vegeta (5), vegeta (5) and 2 more" == describe_processes(
        processes[:1] * 7
    )
