"""
Runs the tool as if wrap were not there, and gives it the signals that it would have got.

The tool inherits our streams and every other open file, and stays in our process group: a terminal's Ctrl-C, a
``kill -- -GROUP``, a ``timeout`` or a service manager that signals the whole group reaches it without us. What is sent
to wrap alone has to be passed on; passing on what the tool already got would be harm (k6 gives up its summary at the
second SIGINT). The kernel does not say which of the two it was: its ``siginfo`` tells a terminal from a ``kill``, but
not a kill of the group from a kill of one process. So wrap keeps a witness: an idle ``cat`` in the same group, which
dies of whatever the group is sent. If the witness dies too, the tool got the signal; if it still lives half a
second later, wrap was meant alone and passes the signal on. ``timeout`` signals wrap and then its group: what else came
until the witness was dead is the same signal. The witness holds none of the tool's streams and ends by itself when wrap
does, even by SIGKILL.

A shell keeps a signal to itself while it waits for a command, so what is passed on goes to the commands of shells, too.

Whatever stops a run stops all that the command has started. While the command lives the grace is its own, and only an
abort in loadbell becomes firmer: SIGINT as by Ctrl-C, SIGTERM to all, SIGKILL to all. Once it has ended by a signal or
an abort, what it left behind gets a moment, then SIGTERM, then SIGKILL. At an end of its own nothing is touched.

Signals that were ignored when wrap started (``nohup``) stay ignored, here and in the tool.
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
"""Asks the tool to stop; the run then ends as aborted by a user."""

_PASSED_ON = (*_STOPS, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Would end wrap but may mean something else to the tool: SIGQUIT makes a Java tool print its threads."""

_WITNESS_S = 0.5
_KILL_AFTER = 3
"""How many times its patience an abort waits before it kills."""

_BY_ITSELF = 0.1
"""The part of the patience that is left to what an ended command has left behind."""

_LOOK_S = 0.05


class Child:
    """A running command. Made and waited for by the main thread; only :meth:`stop` may be called from another."""

    def __init__(
        self, command: Sequence[str], *, patience_s: float, on_survivors: Callable[[str], None] = lambda _: None
    ) -> None:
        """Starts ``command``; ``patience_s`` is how long an abort waits before it asks more firmly.

        ``on_survivors`` is called, by the main thread, with the names of what could not be stopped.

        Raises:
            OSError: it can't be started.
        """
        self.stopped_by: signal.Signals | None = None  #: the first signal sent to wrap that asks to stop
        self.aborted = False  #: whether :meth:`stop` was called while it ran
        self.ended = 0.0  #: when the command ended, by the monotonic clock
        self.survivors = ""  #: the names of what could not be stopped
        self._patience_s = patience_s
        self._on_survivors = on_survivors
        self._steps: list[tuple[float, Callable[[], None]]] = []  #: of an abort, with when they are due
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
        """Waits for the end of the command, passing signals on; its exit code, or minus the signal that killed it."""
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
        """Asks the command to stop, as Ctrl-C would; after the patience that it was made with, more firmly."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes the main thread too, and a next call may come
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
        """Stops what the command has left behind."""
        if self._is_gone(self._patience_s * _BY_ITSELF):
            return
        processes.send(self._running(), signal.SIGTERM)
        if self._is_gone(self._patience_s):
            return
        processes.send(self._running(), signal.SIGKILL)
        if not self._is_gone(self._patience_s * _BY_ITSELF):
            self._name_survivors()

    def _is_gone(self, within_s: float) -> bool:
        """Whether nothing of the command is left, or ends so soon."""
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
        """What runs of the command: itself and all that it has started."""
        return processes.list_started_by(self._process.pid, self._began, not_pids=frozenset({self._witness.pid}))

    @property
    def _own(self) -> frozenset[int]:
        return frozenset({self._process.pid, self._witness.pid})

    def _woken_by(self) -> set[int]:
        """The numbers of the signals since the last call; 0 for :meth:`stop`."""
        try:
            return set(os.read(self._wake, 4096))
        except BlockingIOError:
            return set()

    def _is_in_our_group(self) -> bool:
        try:
            return os.getpgid(self._process.pid) == os.getpgrp()
        except ProcessLookupError:  # nobody to pass anything on to: send_signal() does nothing then
            return False

    def _milliseconds_left(self) -> float | None:
        return max(0.0, (self._steps[0][0] - time.monotonic()) * 1000) if self._steps else None


class _GroupMember:
    """An idle process in our group, which dies of whatever the group is sent. Without a ``cat`` it sees nothing."""

    def __init__(self) -> None:
        self._process = self._start()

    @property
    def pid(self) -> int:
        """Its process; 0 without one."""
        return self._process.pid if self._process is not None else 0

    def died_of(self) -> int | None:
        """The signal that the group was sent, if any; waits a moment, for it may be still on its way."""
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
    """Does nothing: the wake-up pipe has told the main thread already."""
