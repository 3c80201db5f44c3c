"""
Processes of loadbell that start at once: forked from one that has imported it, not started from nothing.

An interpreter that imports the server takes one to two seconds of CPU time, and the tests start many hundreds of them.
So each process that runs tests keeps a *template*, a child that has imported everything and has no thread; it forks
for each :func:`start`. What is forked is a process of its own, with its own environment, working folder and streams,
that runs ``__main__`` from its first line and ends as any Python does. What has to be seen of a start from nothing
(imports, the interpreter's options) is tested with :mod:`subprocess`.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

_MAX_MESSAGE_SIZE = 1 << 20
_IMPORTED = (
    *(
        "loadbell.app",
        "loadbell.cli.program",
        "loadbell.cli.demo_stage",
        "loadbell.client.wrap",
        "loadbell.store.engine.migrate",
    ),
    *("alembic.command", "uvloop", "sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql.asyncpg"),
)
"""What a process of loadbell imports, at once or later."""


class Process:
    """A forked process; what it has in common with :class:`subprocess.Popen` is called the same."""

    def __init__(self, connection: socket.socket, pid: int, stdout: IO[str] | None) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._connection = connection

    def poll(self) -> int | None:
        """The exit code, or minus the signal; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """As :meth:`poll`, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not within ``timeout`` seconds.
        """
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = int(_receive(self._connection))
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.stdout is not None:
            self.stdout.close()
        self.wait()


def start(  # noqa: PLR0913 - what a process is started with
    program: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any] = subprocess.DEVNULL,
    stderr: int | IO[Any] = subprocess.DEVNULL,
    cwd: Path | None = None,
) -> Process:
    """Runs ``python *program``, where ``program`` begins with ``-m MODULE``, ``-c CODE`` or the path of a script.

    ``stdout`` may be ``subprocess.PIPE``, to be read as text; else each is a file, or ``subprocess.DEVNULL``.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with contextlib.ExitStack() as stack:
        ours, theirs = os.pipe() if stdout == subprocess.PIPE else (None, None)
        if theirs is not None:
            stack.callback(os.close, theirs)
        null = os.open(os.devnull, os.O_RDWR)
        stack.callback(os.close, null)
        descriptors = [
            theirs if theirs is not None and stream == subprocess.PIPE else _descriptor(stream, null)
            for stream in (stdin, stdout, stderr)
        ]
        job = {"program": [*program], "env": dict(env), "cwd": str(cwd or Path.cwd())}
        connection.connect(_Template.address())
        socket.send_fds(connection, [json.dumps(job).encode()], descriptors)
    pid = int(_receive(connection))
    return Process(connection, pid, None if ours is None else os.fdopen(ours, encoding="utf-8"))


def run(
    program: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: str | None = None,
    timeout: float,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """As :func:`start`, to its end; ``stdin`` is what it reads there.

    Raises:
        subprocess.TimeoutExpired: it has not ended within ``timeout`` seconds, and was killed.
    """
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        source.write((stdin or "").encode())
        source.seek(0)
        process = start(program, env=env, stdin=source, stdout=out, stderr=err, cwd=cwd)
        try:
            process.wait(timeout)
        finally:
            process.kill()
            process.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode().replace("\r\n", "\n"))
    assert process.returncode is not None
    return subprocess.CompletedProcess([*program], process.returncode, *texts)


class _Template:
    """The process that is forked, of this process; it ends with it, for its stdin does."""

    _process: subprocess.Popen[bytes] | None = None
    _folder: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def address(cls) -> str:
        """Where it is asked to fork."""
        if cls._process is None or cls._process.poll() is not None or cls._folder is None:
            cls._folder = tempfile.TemporaryDirectory(prefix="loadbell-tests-")
            cls._process = subprocess.Popen(
                [sys.executable, "-m", __name__, f"{cls._folder.name}/socket"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            assert cls._process.stdout is not None
            cls._process.stdout.readline()  # it listens
            atexit.register(cls.end)
        return f"{cls._folder.name}/socket"

    @classmethod
    def end(cls) -> None:
        """Lets it end."""
        if cls._process is not None and cls._folder is not None:
            for stream in (cls._process.stdin, cls._process.stdout):
                assert stream is not None
                stream.close()
            cls._process.wait()
            cls._folder.cleanup()
            cls._process = None


def _descriptor(stream: int | IO[Any], null: int) -> int:
    if stream == subprocess.DEVNULL:
        return null
    return stream if isinstance(stream, int) else stream.fileno()


def _receive(connection: socket.socket) -> str:
    if not (data := connection.recv(64)):
        raise AssertionError("the template of loadbell's processes has ended")
    return data.decode()


def _fork_when_asked(path: str) -> list[str] | None:
    """In each forked process: its command line. In the template: None, once stdin has ended."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(64)
    os.write(1, b"\n")
    running: dict[int, tuple[int, socket.socket]] = {}  # by its pidfd: the process, and who waits for it
    while True:
        watched: list[Any] = [listener, 0, *running]
        ready = select.select(watched, [], [])[0]
        if 0 in ready:
            return None
        for ended in [descriptor for descriptor in running if descriptor in ready]:
            _tell_end(ended, *running.pop(ended))
        if listener in ready:
            connection, _ = listener.accept()
            data, descriptors, _, _ = socket.recv_fds(connection, _MAX_MESSAGE_SIZE, 3)
            pid = os.fork()
            if pid == 0:
                for of_template in (listener, connection, *(waits for _, waits in running.values())):
                    of_template.close()
                for descriptor in running:
                    os.close(descriptor)
                return _become(json.loads(data), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            running[os.pidfd_open(pid)] = (pid, connection)
            connection.send(str(pid).encode())


def _tell_end(descriptor: int, pid: int, connection: socket.socket) -> None:
    os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):  # nobody waits for it
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    connection.close()


def _become(job: Mapping[str, Any], streams: Sequence[int]) -> list[str]:
    """Makes this process what it would be had it been started so; gives its command line."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    # For the life of the process, as Python's own:
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - see above
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - see above
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115 - see above
    random.seed()
    program: list[str] = job["program"]
    return program


def _main() -> None:
    for module in _IMPORTED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    program = _fork_when_asked(sys.argv[1])
    if program is None:
        return
    if program[0] == "-c":
        sys.argv = ["-c", *program[2:]]
        exec(compile(program[1], "<string>", "exec"), {"__name__": "__main__"})
    elif program[0] == "-m":
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = program
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    _main()
