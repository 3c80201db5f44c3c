"""stdout and stderr, whatever they lead to: a terminal that shows ASCII only, a reader who has gone, a full disk."""

import contextlib
import os
import sys
from io import TextIOWrapper

_FAILED = 1
_STDOUT = 1


class _Lossy(TextIOWrapper):
    """stderr, on which nobody's work depends: what can't be written is lost."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().flush()


def prepare() -> None:
    """Sees to it that reading or printing never ends a command in surprise, whatever a stream can't show or is."""
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
    """Tells that the output was lost, unless whoever read it has seen enough; the code to exit with."""
    with contextlib.suppress(OSError):  # what is still buffered has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
    if not isinstance(error, BrokenPipeError):
        print(f"loadbell: the output can't be written: {error.strerror}. Look where stdout leads.", file=sys.stderr)
    return _FAILED
