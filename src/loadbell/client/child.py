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

Signals that were ignored when wrap started (``nohup``) stay ignored, here and in the tool.
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from types import FrameType

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Asks the tool to stop; the run then ends as aborted by a user."""

_PASSED_ON = (*_STOPS, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Would end wrap but may mean something else to the tool: SIGQUIT makes a Java tool print its threads."""

_WITNESS_S = 0.5


class Child:
    """A running command. Made and waited for by the main thread; only :meth:`stop` may be called from another."""

    def __init__(self, command: Sequence[str], *, patience_s: float) -> None:
        """Starts ``command``; ``patience_s`` is how long :meth:`stop` waits before it asks more firmly.

        Raises:
            OSError: it can't be started.
        """
        self.stopped_by: signal.Signals | None = None  #: the first signal sent to wrap that asks to stop
        self.aborted = False  #: whether :meth:`stop` was called while it ran
        self._patience_s = patience_s
        self._ask_firmly_at: float | None = None
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        for number in _PASSED_ON:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _noted)
        self._process = subprocess.Popen(command, close_fds=False)  # noqa: S603 - running the user's command is the job
        self._witness = _Witness()

    def wait(self) -> int:
        """Waits for the end of the command, passing signals on; its exit code, or minus the signal that killed it."""
        events = select.poll()
        events.register(self._wake, select.POLLIN)
        while (code := self._process.poll()) is None:
            events.poll(self._milliseconds_left())
            self._heed(self._woken_by())
            if self._ask_firmly_at is not None and time.monotonic() >= self._ask_firmly_at:
                self._ask_firmly_at = None
                self._process.send_signal(signal.SIGTERM)
        self._witness.close()
        return code

    def stop(self) -> None:
        """Asks the command to stop, as Ctrl-C would; after the patience that it was made with, by SIGTERM."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes the main thread too, and a next call may come
            os.write(self._waker, b"\0")

    def _heed(self, numbers: set[int]) -> None:
        if 0 in numbers and not self.aborted:
            self.aborted = True
            self._ask_firmly_at = time.monotonic() + self._patience_s
            self._process.send_signal(signal.SIGINT)
        signals = sorted(number for number in numbers if number in _PASSED_ON)
        self.stopped_by = self.stopped_by or next((signal.Signals(s) for s in signals if s in _STOPS), None)
        if not signals:
            return
        of_group = self._witness.died_of() if self._is_in_our_group() else None
        if of_group is None:
            for number in signals:
                self._process.send_signal(number)
        else:
            also = self._woken_by() - {of_group}
            self._witness = _Witness()
            self._heed(also)

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
        if self._ask_firmly_at is None:
            return None
        return max(0.0, (self._ask_firmly_at - time.monotonic()) * 1000)


class _Witness:
    """An idle process in our group, which dies of whatever the group is sent. Without a ``cat`` it sees nothing."""

    def __init__(self) -> None:
        self._process = self._start()

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


def _noted(number: int, frame: FrameType | None) -> None:
    """Does nothing: the wake-up pipe has told the main thread already."""
