"""Robust stdout and stderr: on an ASCII-only terminal, a closed pipe, a full disk."""

import contextlib
import os
import sys
from io import TextIOWrapper

_FAILED = 1
_STDOUT = 1


class _Lossy(TextIOWrapper):
    """A stderr that drops what can't be written: no command may fail because of it."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().flush()


def prepare() -> None:
    """Makes sure that closed streams and unprintable characters never crash a command."""
    if sys.stdin is None:  # it is closed, as the others below
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as above
    elif isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as above
    elif isinstance(sys.stderr, TextIOWrapper) and sys.stderr is sys.__stderr__:
        sys.stderr = _Lossy(sys.stderr.buffer, encoding=sys.stderr.encoding, errors="replace", line_buffering=True)


def finish(code: int | str | None) -> int | str | None:
    """Writes what is left of stdout; the code to exit with, which is ``code`` unless that can't be done."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return code or report_unwritten(error)
    return code


def report_unwritten(error: OSError) -> int:
    """Reports that output was lost, unless its reader closed the pipe. Returns the exit code."""
    with contextlib.suppress(OSError):  # what is still buffered has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
    if not isinstance(error, BrokenPipeError):
        print(f"loadbell: can't write the output: {error.strerror}. Check where stdout is redirected.", file=sys.stderr)
    return _FAILED
