"""
A real PostgreSQL for tests and benchmarks: its own data folder, a free loopback port, gone afterwards.

The server refuses to run as root, so that root starts it as ``postgres`` or ``nobody``. It listens on loopback with a
random password, never on a socket that others may open. It ends with the process that started it, even a killed one.
"""

import asyncio
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import asyncpg

MISSING = (
    "needs PostgreSQL: no server binaries in PATH or /usr/lib/postgresql/*/bin. "
    "Install the package postgresql, or name a server in LOADBELL_TEST_POSTGRES_URL."
)
"""Why a test is skipped where there is no PostgreSQL."""

_START_TIMEOUT = 60.0
_SPEED = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresFailed(Exception):  # noqa: N818 - reads as what happened
    """The server could not be made or started; the message ends with what it wrote."""


def find_binaries() -> Path | None:
    """The folder that holds ``postgres`` and ``initdb``: of PATH, else the highest version that Debian installed."""
    text = shutil.which("postgres")
    candidates = [Path(text).resolve().parent] if text else []
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(installed, key=lambda path: _version(path.parent.name), reverse=True)
    return next((path for path in candidates if (path / "initdb").exists() and (path / "postgres").exists()), None)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


class Databases:
    """Makes and drops databases on one server, through one connection that is kept."""

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection[Any] | None = None
        self._made = 0

    def create(self, template: str | None = None) -> str:
        """The URL of a new database: empty, or a copy of the database ``template`` that nobody is connected to."""
        self._made += 1
        name = f"loadbell_test_{os.getpid()}_{self._made}_{secrets.token_hex(4)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}"')
        return urlsplit(self.admin_url)._replace(path=f"/{name}").geturl()

    def drop(self, url: str) -> None:
        """Drops the database that ``url`` names, whoever is still connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        """Runs one statement on the admin database."""
        self._runner.run(self._execute(statement))

    async def _execute(self, statement: str) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self.admin_url, timeout=_START_TIMEOUT)
        await self._connection.execute(statement)

    def close(self) -> None:
        """Closes the kept connection."""
        if self._connection is not None:
            self._connection.terminate()
        self._runner.close()


class PostgresServer:
    """One server with its own data folder. It can be stopped, killed and started again on the same port and data.

    ``durable``: a commit is on the disk when it is answered, as in production; without it the server is several times
    faster and still survives a kill of any client, but not one of the machine.
    """

    def __init__(self, binaries: Path, *, durable: bool = False) -> None:
        self._binaries = binaries
        self._durable = durable
        self._account = _unprivileged_account()
        # Root's own temporary folder may be closed to the account that the server runs as; /tmp never is.
        self.folder = Path(tempfile.mkdtemp(prefix="loadbell-postgres-", dir="/tmp" if self._account else None))
        self._password = secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The URL of the admin database."""
        return f"postgresql://loadbell:{quote(self._password)}@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Self:
        """Makes the data folder and starts the server."""
        try:
            self._initialize()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the server and removes its folder."""
        self.close()

    def start(self) -> None:
        """Starts the server and waits until it answers; the port stays the same over restarts."""
        for _ in range(5):
            port = self.port or _free_port()
            self._process = self._spawn(port)
            if self._answers(port):
                self.port = port
                return
            self.kill()
            if self.port:
                break
        raise PostgresFailed(f"PostgreSQL did not start:\n{self._log()}")

    def stop(self) -> None:
        """Stops the server in order; clients lose their connections."""
        self._end(signal.SIGINT)  # PostgreSQL's "fast shutdown"

    def kill(self) -> None:
        """Kills the server at once; a later start recovers from its log."""
        self._end(signal.SIGQUIT)  # "immediate shutdown": no checkpoint, as after a crash

    def close(self) -> None:
        """Ends the server and removes its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _initialize(self) -> None:
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        password_file = self.folder / "password"
        password_file.write_text(self._password + "\n")
        password_file.chmod(0o600)
        if self._account is not None:
            os.chown(password_file, self._account.pw_uid, self._account.pw_gid)
        process = subprocess.run(
            [
                *(self._binaries / "initdb", "--pgdata", self.folder / "data", "--username", "loadbell"),
                *("--auth", "password", "--pwfile", password_file, "--encoding", "UTF8", "--locale", "C"),
                *("--no-sync", "--no-instructions"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self._surroundings(),
        )
        password_file.unlink()
        if process.returncode != 0:
            raise PostgresFailed(f"initdb failed:\n{process.stdout.decode(errors='replace')}")

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        options = [
            f"port={port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=64MB",
            "log_min_messages=warning",
            *(() if self._durable else _SPEED),
        ]
        command = [str(self._binaries / "postgres"), "-D", str(self.folder / "data")]
        for option in options:
            command += ["-c", option]
        guard = shutil.which("setpriv")
        # Should this process die without stopping the server, the kernel tells it to shut down.
        prefix = [guard, "--pdeathsig", "INT", "--"] if guard else []
        with (self.folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C is pytest's; its finalizer stops the server
                **self._surroundings(),
            )
            return process

    def _surroundings(self) -> dict[str, Any]:
        body = {name: value for name, value in os.environ.items() if name in {"PATH", "LD_LIBRARY_PATH", "TZ"}}
        surroundings: dict[str, Any] = {"cwd": self.folder, "env": {**body, "LC_ALL": "C"}}
        if self._account is not None:
            surroundings |= {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        return surroundings

    def _answers(self, port: int) -> bool:
        deadline = time.monotonic() + _START_TIMEOUT
        url = f"postgresql://loadbell:{quote(self._password)}@127.0.0.1:{port}/postgres"
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                return False
            try:
                asyncio.run(_greet(url))
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                time.sleep(0.02)
            else:
                return True
        return False

    def _log(self) -> str:
        try:
            return (self.folder / "log").read_text(errors="replace")[-4000:]
        except OSError:
            return "(it wrote no log)"


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """A server of its own for one test or benchmark, which may stop, kill and restart it.

    Raises:
        PostgresFailed: there are no binaries here, or it did not start.
    """
    binaries = find_binaries()
    if binaries is None:
        raise PostgresFailed(MISSING)
    with PostgresServer(binaries, durable=durable) as server:
        yield server


async def _greet(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    await connection.close()


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Whom root starts the server as; None for anybody else, who starts it as himself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresFailed("Root has neither a postgres nor a nobody account to start the server as.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
