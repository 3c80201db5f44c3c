"""What the tests of ``loadbell wrap`` stand on."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.client.stub import Stub, serving

Run = Callable[..., "subprocess.CompletedProcess[str]"]

HURRIED = """
import os, sys
from loadbell.client.timeouts import Timeouts
from loadbell.client.wrap import main
sys.exit(main(sys.argv[1:], os.environ, Timeouts(heartbeat_s=0.1, patience_s=0.5)))
"""


def wrap_command(*arguments: str, hurried: bool = False) -> list[str]:
    """The command line of ``loadbell wrap``; ``hurried`` with heartbeats and patience of a fraction of a second."""
    program = ["-c", HURRIED] if hurried else ["-m", "loadbell", "wrap"]
    return [sys.executable, *program, *arguments]


def fake_tool(folder: Path, name: str, script: str) -> str:
    """Makes an executable of that name with that shell script; its path."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A stand-in for the server."""
    with serving(Stub()) as running:
        yield running


@pytest.fixture
def environment(stub: Stub) -> dict[str, str]:
    """The environment of a client of ``stub``, with a proxy set that nobody listens at."""
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")
    return {**os.environ, **proxies, "LOADBELL_URL": stub.url, "LOADBELL_TOKEN": "t-secret"}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Runs ``loadbell wrap`` with these arguments to its end."""

    def run_it(*arguments: str, hurried: bool = False, **extra: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            wrap_command(*arguments, hurried=hurried),
            env=environment | extra,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return run_it


@pytest.fixture
def target() -> Iterator[str]:
    """The URL of a server that answers 200."""

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.daemon_threads = True
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
