"""Commands as a person calls them: real processes, with a pipe or a terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from tests.support import processes

Completed = subprocess.CompletedProcess[str]

_NOTHING_SET = {"LOADBELL_URL": "", "LOADBELL_TOKEN": ""}
_TIMEOUT_S = 60


def loadbell(*words: str, stdin: str = "", **environment: str) -> Completed:
    """Runs ``loadbell`` to its end, without a terminal."""
    return processes.run(
        ["-m", "loadbell", *words],
        env=os.environ | _NOTHING_SET | {"COLUMNS": "200"} | environment,
        stdin=stdin,
        timeout=_TIMEOUT_S,
    )


def loadbell_at_terminal(*words: str, environment: dict[str, str], typed: str, columns: int = 80) -> Completed:
    """Runs ``loadbell`` with stdin and stdout on a terminal of that width, at which somebody has typed ``typed``.

    stdout has what the terminal shows, with what was typed.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.write(ours, typed.encode())
    process = subprocess.Popen(
        [sys.executable, "-m", "loadbell", *words],
        env=os.environ | _NOTHING_SET | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    data = b""
    try:
        while piece := _read(ours):
            data += piece
        _, text = process.communicate(timeout=_TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return subprocess.CompletedProcess(words, process.returncode, data.decode().replace("\r\n", "\n"), text)


def _read(terminal: int) -> bytes:
    """What the other side has written; empty once nobody has it open any more."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""
