"""A real nginx in front of a server of ours, with what docs/operations.md says of it."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

MISSING = "needs nginx: there is none in PATH. Install the package nginx; on Debian, `make test` does it as root."
"""Why a test is skipped where there is no nginx."""

_START_S = 20.0
_CONFIGURATION = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
{locations}
    }}
}}
"""


def find_nginx() -> Path | None:
    """The program, if there is one; Debian keeps it where only root's PATH leads."""
    text = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    return None if text is None else Path(text)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Nginx:
    """One nginx on 127.0.0.1, as a context manager. It keeps all its files in ``folder``."""

    def __init__(self, folder: Path, port: int, locations: str) -> None:
        folder.mkdir()
        self._folder, self._port = folder, port
        self._configuration = folder / "nginx.conf"
        self._configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, locations=locations))

    def __enter__(self) -> Self:
        program = find_nginx()
        assert program is not None, MISSING
        self._process = subprocess.Popen(
            [program, "-p", self._folder, "-e", self._folder / "error.log", "-c", self._configuration],
            stdin=subprocess.DEVNULL,
        )
        end = time.monotonic() + _START_S
        while not self._listens():
            assert self._process.poll() is None, (self._folder / "error.log").read_text()
            assert time.monotonic() < end, "nginx does not listen"
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(_START_S)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
