"""
Runs the tool as if wrap were not there, and passes signals on to it.

The tool inherits our streams and every other open file, and stays in our process group: a terminal's Ctrl-C, or a
``kill -- -GROUP``, ``timeout`` or service manager that signals the whole group, reaches it directly. Signals to wrap
alone must be passed on, but passing on one that the tool already got would do harm (k6 drops its summary at the second
SIGINT). The kernel doesn't show the difference: ``siginfo`` distinguishes a terminal from a ``kill``, but not a kill of
the group from a kill of one process. So wrap keeps a witness in the group, an idle ``cat`` that any signal to the group
kills. If the witness dies, the tool got the signal, too; if it is alive half a second later, the signal was for wrap
alone, and wrap passes it on. ``timeout`` signals wrap and then its group, so signals that arrive before the witness is
dead count as the same one. The witness holds none of the tool's streams and ends when wrap does, even by SIGKILL.

A shell doesn't forward signals while it waits for a command, so they are passed on to the commands of shells, too.

Stopping a run stops everything that the command has started. While the command runs, it has its own grace period, and
only an abort in loadbell escalates: SIGINT as by Ctrl-C, SIGTERM to all, SIGKILL to all. After an end by a signal or an
abort, remaining processes get a moment, then SIGTERM, then SIGKILL. After an end by itself they are left alone.

Signals that were ignored when wrap started (``nohup``) stay ignored, in wrap and in the tool.
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from types import FrameType

from loadbell.client import processes
from loadbell.client.processes import Process

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask the tool to stop; the run then ends as aborted by a user."""

_PASSED_ON = (*_STOPS, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that would end wrap but may mean something else to the tool: SIGQUIT makes Java print its threads."""

_WITNESS_S = 0.5
_KILL_AFTER = 3
"""An abort kills after this many times its patience."""

_BY_ITSELF = 0.1
"""The part of the patience for processes that an ended command leaves behind."""

_LOOK_S = 0.05


class Child:
    """A running command. Use it in the main thread; only :meth:`stop` may be called from another."""

    def __init__(
        self, command: Sequence[str], *, patience_s: float, on_survivors: Callable[[str], None] = lambda _: None
    ) -> None:
        """Starts ``command``; ``patience_s`` is how long an abort waits before it escalates.

        ``on_survivors`` is called in the main thread with the names of processes that couldn't be stopped.

        Raises:
            OSError: it can't be started.
        """
        self.stopped_by: signal.Signals | None = None  #: the first stop signal sent to wrap
        self.aborted = False  #: :meth:`stop` was called while it ran
        self.ended = 0.0  #: when the command ended, by the monotonic clock
        self.survivors = ""  #: the names of processes that couldn't be stopped
        self._patience_s = patience_s
        self._on_survivors = on_survivors
        self._steps: list[tuple[float, Callable[[], None]]] = []  #: of an abort, with their due times
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._waker, False)
        self._events = select.poll()
        self._events.register(self._wake, select.POLLIN)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _note_signal)
        for number in _PASSED_ON:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _note_signal)
        processes.adopt_orphans()  # before there are any
        self._process = subprocess.Popen(command, close_fds=False)  # noqa: S603 - running the user's command is the job
        self._began = processes.get_start_time(self._process.pid)
        self._witness = _GroupMember()

    def wait(self) -> int:
        """Waits for the command's end, passing signals on; returns its exit code, or minus its fatal signal."""
        while (code := self._process.poll()) is None:
            self._events.poll(self._milliseconds_left())
            self._install_handlers(self._woken_by())
            processes.reap_orphans(self._own)
            while self._steps and time.monotonic() >= self._steps[0][0]:
                self._steps.pop(0)[1]()
        self.ended = time.monotonic()
        if self.aborted or self.stopped_by is not None:
            self._stop_rest()
        self._witness.close()
        return code

    def stop(self) -> None:
        """Asks the command to stop, as Ctrl-C would, and escalates after ``patience_s``."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes the main thread, too
            os.write(self._waker, b"\0")

    def _install_handlers(self, numbers: set[int]) -> None:
        if 0 in numbers and not self.aborted:
            self.aborted = True
            self._pass_on(signal.SIGINT)
            now, patience = time.monotonic(), self._patience_s
            self._steps = [
                (now + patience, lambda: self._send_all(signal.SIGTERM)),
                (now + _KILL_AFTER * patience, lambda: self._send_all(signal.SIGKILL)),
                (now + (_KILL_AFTER + _BY_ITSELF) * patience, self._name_survivors),
            ]
        signals = sorted(number for number in numbers if number in _PASSED_ON)
        self.stopped_by = self.stopped_by or next((signal.Signals(s) for s in signals if s in _STOPS), None)
        if not signals:
            return
        of_group = self._witness.died_of() if self._is_in_our_group() else None
        if of_group is None:
            for number in signals:
                self._pass_on(number)
        else:
            also = self._woken_by() - {of_group}
            self._witness = _GroupMember()
            self._install_handlers(also)

    def _pass_on(self, number: int) -> None:
        if self._process.poll() is not None:
            return
        running = self._running()
        tool = [process for process in running if process.pid == self._process.pid]
        if not tool:  # a system that lists no processes
            with contextlib.suppress(PermissionError):
                self._process.send_signal(number)
        processes.send([*tool, *processes.behind_shells(self._process.pid, running)], number)

    def _send_all(self, number: int) -> None:
        with contextlib.suppress(PermissionError):
            self._process.send_signal(number)
        processes.send([process for process in self._running() if process.pid != self._process.pid], number)

    def _stop_rest(self) -> None:
        if self._is_gone(self._patience_s * _BY_ITSELF):
            return
        processes.send(self._running(), signal.SIGTERM)
        if self._is_gone(self._patience_s):
            return
        processes.send(self._running(), signal.SIGKILL)
        if not self._is_gone(self._patience_s * _BY_ITSELF):
            self._name_survivors()

    def _is_gone(self, within_s: float) -> bool:
        """Returns whether all of the command's processes end within this time."""
        deadline = time.monotonic() + within_s
        while self._running():
            if time.monotonic() >= deadline:
                return False
            self._events.poll(_LOOK_S * 1000)
            self._woken_by()
            processes.reap_orphans(self._own)
        return True

    def _name_survivors(self) -> None:
        survivors = processes.describe_processes(self._running())
        if survivors and survivors != self.survivors:
            self._on_survivors(survivors)
        self.survivors = survivors

    def _running(self) -> list[Process]:
        return processes.list_started_by(self._process.pid, self._began, not_pids=frozenset({self._witness.pid}))

    @property
    def _own(self) -> frozenset[int]:
        return frozenset({self._process.pid, self._witness.pid})

    def _woken_by(self) -> set[int]:
        """Returns the signals since the last call; 0 stands for :meth:`stop`."""
        try:
            return set(os.read(self._wake, 4096))
        except BlockingIOError:
            return set()

    def _is_in_our_group(self) -> bool:
        try:
            return os.getpgid(self._process.pid) == os.getpgrp()
        except ProcessLookupError:  # it has ended, and send_signal() does nothing
            return False

    def _milliseconds_left(self) -> float | None:
        return max(0.0, (self._steps[0][0] - time.monotonic()) * 1000) if self._steps else None


class _GroupMember:
    """An idle ``cat`` in our group, killed by any signal to the group. Without a ``cat`` it detects nothing."""

    def __init__(self) -> None:
        self._process = self._start()

    @property
    def pid(self) -> int:
        """Its process id; 0 without one."""
        return self._process.pid if self._process is not None else 0

    def died_of(self) -> int | None:
        """Returns the signal sent to the group, if any; waits up to 0.5 s for it to arrive."""
        if self._process is None:
            return None
        try:
            code = self._process.wait(_WITNESS_S)
        except subprocess.TimeoutExpired:
            return None
        self.close()
        return -code if code < 0 else None

    def close(self) -> None:
        """Ends the witness."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    @staticmethod
    def _start() -> "subprocess.Popen[bytes] | None":
        nowhere = subprocess.DEVNULL
        try:
            return subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere)  # noqa: S607 - whichever cat there is
        except OSError:
            return None


def _note_signal(number: int, frame: FrameType | None) -> None:
    """Does nothing: the wake-up pipe has already woken the main thread."""
