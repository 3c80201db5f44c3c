"""A real loadbell server process for a test, and a small REST client that speaks to it."""

import atexit
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support import processes

STARTUP_SECONDS = 60.0
_OF_DATABASE = {"LOADBELL_DATABASE_URL", "LOADBELL_SECRET_KEY"}
ALLOW_LOOPBACK = {"LOADBELL_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128"}


class DidNotStart(Exception):  # noqa: N818 - reads as what happened
    """The server ended before it answered; the message has its exit code and the end of its log."""


@dataclass(frozen=True)
class Answer:
    """What the server said; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """REST calls on one connection each; ``token`` may be None."""

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host, self._port, self._timeout = parts.hostname, parts.port or 80, timeout
        self.url = url
        self.token = token

    def call(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """One request below ``/api/v1`` (or at the root when ``path`` starts with ``//``). Bytes are sent as they are.

        Raises:
            OSError: the server can't be reached.
            http.client.HTTPException: it broke off.
        """
        target = path[1:] if path.startswith("//") else f"/api/v1{path}"
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            connection.request(method, target, data, sent)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def ok(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """As :meth:`call`, for a request that must succeed; its JSON."""
        answer = self.call(method, path, body, headers=headers)
        assert 200 <= answer.status < 300, f"{method} {path}: {answer.status} {answer.body!r}"
        return answer.json if answer.body else None


class Server:
    """``loadbell serve`` as a process of its own, on a free port, as a context manager.

    ``program`` replaces ``-m loadbell`` for tests that start it in a special way. Its log goes to ``log``.
    """

    def __init__(
        self,
        data_dir: Path,
        environment: Mapping[str, str] | None = None,
        *,
        program: tuple[str, ...] = ("-m", "loadbell"),
        arguments: tuple[str, ...] = ("serve", "--port", "0"),
    ) -> None:
        self.environment = server_environment(data_dir, environment)
        self.log = data_dir / "server.log"
        self._program = program
        self._arguments = arguments

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = processes.start(
                [*self._program, *self._arguments], env=self.environment, stdout=subprocess.PIPE, stderr=log
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("loadbell is listening on "):
            self.process.wait(STARTUP_SECONDS)
            self.process.stdout.close()
            raise DidNotStart(f"{self.process.returncode}: {line!r}\n{self.log.read_text()[-4000:]}")
        self.url = line.removeprefix("loadbell is listening on ").strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def kill(self) -> None:
        """Kills it with SIGKILL, now."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout: float = 20.0) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


def server_environment(data_dir: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a server that keeps its data in ``data_dir`` and may send to loopback."""
    return {**os.environ, "LOADBELL_DATA_DIR": str(data_dir), **ALLOW_LOOPBACK, **(environment or {})}


def run_loadbell(
    *arguments: str, environment: Mapping[str, str], stdin: str | None = None, timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Runs one command of loadbell to its end."""
    return processes.run(["-m", "loadbell", *arguments], env=environment, stdin=stdin, timeout=timeout)


def set_up(data_dir: Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What ``loadbell setup`` does, and what it printed as JSON. On SQLite with a key of its own: a copy, made once."""
    if environment is not None and not _OF_DATABASE.isdisjoint(environment):
        return _set_up(data_dir, environment)
    folder, printed = _template()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("loadbell.sqlite3", "secret.key"):
        shutil.copy(folder / name, data_dir)
    body: dict[str, Any] = json.loads(printed)
    return body


@cache
def _template() -> tuple[Path, str]:
    folder = tempfile.TemporaryDirectory(prefix="loadbell-tests-")
    atexit.register(folder.cleanup)
    return Path(folder.name), json.dumps(_set_up(Path(folder.name), None))


def _set_up(data_dir: Path, environment: Mapping[str, str] | None) -> dict[str, Any]:
    process = run_loadbell(
        "setup", "--organization", "Acme", "--email", "owner@example.org", "--json",
        environment=server_environment(data_dir, environment),
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    body: dict[str, Any] = json.loads(process.stdout)
    return body


def wait_until(condition: Callable[[], bool], timeout: float = 20.0, interval: float = 0.02) -> None:
    """Returns as soon as ``condition()`` holds.

    Raises:
        TimeoutError: it did not within ``timeout`` seconds.
    """
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not so within {timeout} s")
        time.sleep(interval)
