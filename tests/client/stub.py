"""A stand-in for the server: the calls of ``loadbell wrap`` on a real port, recorded, and answered as scripted."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Call:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: str


@dataclass
class Stub:
    """What came in, and how to answer: ``answer`` may give an answer of its own, or None for the usual one."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    answer: Callable[[Call], Answer | None] = lambda _: None
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def created(self) -> list[dict[str, Any]]:
        """The bodies of the runs that were to be created."""
        return [call.body for call in self.calls if call.method == "POST" and call.path.endswith("/runs")]

    @property
    def ends(self) -> list[dict[str, Any]]:
        """The bodies of the updates."""
        return [call.body for call in self.calls if call.method == "PATCH"]

    @property
    def end(self) -> dict[str, Any]:
        """The body of the one update that there must have been."""
        (end,) = self.ends
        return end

    def wait_for(self, method: str, path_end: str, timeout: float = 10.0) -> None:
        """Waits until such a request has come in."""
        with self.changed:
            came = self.changed.wait_for(
                lambda: any(call.method == method and call.path.endswith(path_end) for call in self.calls), timeout
            )
        assert came, f"no {method} …{path_end} in {timeout} s"

    def note(self, call: Call) -> Answer:
        """Records a call; what to answer it."""
        with self.changed:
            self.calls.append(call)
            self.changed.notify_all()
        return self.answer(call) or self._usual(call)

    def _usual(self, call: Call) -> Answer:
        if call.path.endswith("/heartbeat"):
            return 200, {"abort": False}
        status = call.body.get("status", 2)
        run = {"id": 7, "url": f"{self.url}/runs/7", "status": status, "status_text": f"Status {status}"}
        return (201 if call.method == "POST" else 200), run | {"result": call.body.get("result")}


def problem(status: int, detail: str) -> Answer:
    """A refusal as the API gives it."""
    return status, {"type": "about:blank", "title": "Refused", "status": status, "detail": detail, "code": "x"}


@contextmanager
def serving(stub: Stub) -> Iterator[Stub]:
    """``stub`` on a real port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status, answer = stub.note(Call(self.command, self.path, dict(self.headers), json.loads(raw or "{}"), raw))
            content = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass  # the client gave up

        do_POST = do_PATCH = _do  # noqa: N815 - http.server asks for these names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
