"""
The stage of ``loadbell demo``: a real server in a temporary folder, a target for load, and the load test.

Each process has its own process group: Ctrl-C reaches only the demo, which ends them in order. Leaving the stage always
ends all of them and removes the folder.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from loadbell.cli.errors import CommandError, ExitCode
from loadbell.client.api import Server

LOAD = ["--headless", "-u", "5", "-r", "5", "-t", "10s", "--only-summary", "--csv", "load"]
_READY_S, _END_S, _TICK_S = 30.0, 15.0, 0.05
_ANNOUNCED = "loadbell is listening on "
_LOG_LINES = 15


def find_locust() -> list[str]:
    """The command that runs Locust.

    Raises:
        CommandError: it isn't installed; the message says how to get it.
    """
    if importlib.util.find_spec("locust") is not None:
        return [sys.executable, "-P", "-m", "locust"]
    if text := shutil.which("locust"):
        return [text]
    raise CommandError(
        "The demo runs a real Locust load test, but Locust isn't installed. Install it with: "
        f"{sys.executable} -m pip install locust (or pipx install locust)"
    )


class DemoFailed(Exception):  # noqa: N818 - reads as what happened
    """Signal ``number`` ended the demo."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


class Deadline:
    """Waits, and records signals that ask the demo to end.

    Signals raise only where the demo waits. Raised elsewhere, they could leave a process or thread behind that was
    started but not recorded yet.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def wait(self) -> None:
        """Waits a moment.

        Raises:
            DemoFailed: a signal asked the demo to end.
        """
        if self._asked is None:
            time.sleep(_TICK_S)
        if self._asked is not None:
            raise DemoFailed(self._asked)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._asked = number


class Stage:
    """A running server, set up, with a token; and a target for load. A context manager."""

    def __init__(self, patience: Deadline) -> None:
        self.patience = patience
        self.url = ""  #: of the server
        self.token = ""
        self.organization_id = 0
        self.requests = 0  #: that have reached the target
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._ending = contextlib.ExitStack()
        try:
            self.folder = Path(self._ending.enter_context(tempfile.TemporaryDirectory(prefix="loadbell-demo-")))
            self._ending.callback(self._end_children)
            self._start_target()
            self._set_up()
            self._serve()
        except BaseException:
            self._ending.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    @property
    def api(self) -> Server:
        """The server's API, as its owner."""
        return Server(self.url, self.token)

    @property
    def serve(self) -> bool:
        """Whether the server is still up."""
        return self._server.poll() is None

    def start_load_test(self, locust: list[str]) -> "subprocess.Popen[bytes]":
        """Starts the load test through ``loadbell wrap``."""
        script = self.folder / "locustfile.py"
        shutil.copyfile(Path(__file__).with_name("demo_locustfile.py"), script)
        tool = [*locust, "-f", str(script), "--host", self._target_url, *LOAD]
        return self._start(["wrap", "--test", "Shop, five visitors", "--", *tool], "locust")

    def log(self, name: str) -> list[str]:
        """The last lines that ``server`` or ``locust`` wrote."""
        text = (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return text.splitlines()[-_LOG_LINES:]

    def _start_target(self) -> None:
        stage = self

        class Shop(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stage.requests += 1
                self.send_response(200)
                self.send_header("Content-Length", "8")
                self.end_headers()
                self.wfile.write(b"welcome\n")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
                pass

        class Target(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """Prints nothing: a client that disconnects mid-request is of no interest in the demo."""

        target = Target(("127.0.0.1", 0), Shop)
        target.daemon_threads = True
        self._target_url = f"http://127.0.0.1:{target.server_address[1]}"
        self._ending.callback(target.server_close)
        threading.Thread(target=target.serve_forever, name="demo-target", daemon=True).start()
        self._ending.callback(target.shutdown)

    def _set_up(self) -> None:
        command = ["setup", "--organization", "Demo", "--email", "owner@demo.example", "--json"]
        with (self.folder / "setup.json").open("wb") as out:
            setup = self._start(command, "setup", stdout=out.fileno())
            while setup.poll() is None:
                self.patience.wait()
            if setup.returncode != 0:
                raise CommandError("The demo's server couldn't be set up:\n" + "\n".join(self.log("setup")))
        made = json.loads((self.folder / "setup.json").read_bytes())
        self.token, self.organization_id = made["token"], made["organization_id"]

    def _serve(self) -> None:
        out = self.folder / "server.out"
        with out.open("wb") as announced:
            self._server = self._start(["serve", "--port", "0"], "server", stdout=announced.fileno())
        deadline = time.monotonic() + _READY_S
        while not (line := out.read_text(encoding="utf-8")).endswith("\n"):
            if not self.serve or time.monotonic() > deadline:
                raise CommandError(
                    "The demo's server didn't start:\n" + "\n".join(self.log("server")), ExitCode.UNREACHABLE
                )
            self.patience.wait()
        self.url = line.strip().removeprefix(_ANNOUNCED)

    def _start(self, arguments: list[str], name: str, stdout: int | None = None) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(  # noqa: S603 - our own commands
                [sys.executable, "-P", "-m", "loadbell", *arguments],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                process_group=0,
            )
        self._children.append(child)
        return child

    def _environment(self) -> dict[str, str]:
        """This process's environment without settings for other servers, other load tests, or a proxy."""
        foreign = ("LOADBELL_", "LOCUST_")
        values = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}
        for name in [name for name in values if name.lower().endswith("_proxy")]:
            del values[name]
        if path := values.get("PYTHONPATH"):
            values["PYTHONPATH"] = os.pathsep.join(
                str(Path(part).absolute()) for part in path.split(os.pathsep) if part
            )
        return values | {
            "LOADBELL_DATA_DIR": str(self.folder / "data"),
            "LOADBELL_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
            "LOADBELL_URL": self.url,
            "LOADBELL_TOKEN": self.token,
            "NO_PROXY": "*",
            "no_proxy": "*",
        }

    def _end_children(self) -> None:
        """Ends what still runs, the load test before the server that it reports to."""
        for child in reversed(self._children):
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(_END_S)
                except subprocess.TimeoutExpired:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
