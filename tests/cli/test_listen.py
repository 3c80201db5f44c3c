"""``loadbell listen`` from outside: a real process, asked over HTTP."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest

from loadbell.testing import Behaviour, ScriptedReceiver, cut_off, hang, respond
from tests.cli.test_main import HEAVY, imported_by, loadbell

ID = "19c5d426-3b4d-43c3-8277-37ad7d457430"
HEADERS = {
    "X-LoadImpact-ID": ID,
    "X-LoadImpact-Event": "test.finished",
    "User-Agent": "LoadImpactWebHook",
    "Content-Type": "application/json",
    "webhook-signature": "v1,sentinel",
    "Authorization": "Bearer sentinel",
}


class Listener:
    """A ``loadbell listen`` that listens: its announcement, what it prints, and the URL to paste."""

    def __init__(self, process: "subprocess.Popen[str]", announced: list[str]) -> None:
        self.process, self.announced = process, announced
        self.paste = urlsplit(announced[1].rpartition(" ")[2])

    def lines(self, count: int) -> list[str]:
        """The next lines on stdout."""
        assert self.process.stdout is not None
        return [self.process.stdout.readline().rstrip("\n") for _ in range(count)]

    def ask(self, body: bytes, headers: dict[str, str] | None = None, method: str = "POST") -> HTTPResponse:
        """One request to the URL to paste; its answer, read to the end into ``body``."""
        client = HTTPConnection("127.0.0.1", self.paste.port or 0, timeout=20)
        path = self.paste.path + (f"?{self.paste.query}" if self.paste.query else "")
        client.request(method, path, body, HEADERS | (headers or {}))
        answer = client.getresponse()
        self.body = answer.read()
        client.close()
        return answer


@contextmanager
def listening(*arguments: str) -> Iterator[Listener]:
    """A listener on a free port, ended afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "loadbell", "listen", "--port", "0", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out = process.stderr if "--json" in arguments else process.stdout
        assert out is not None
        yield Listener(process, [out.readline().rstrip("\n") for _ in range(4)])
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_it_says_what_to_do() -> None:
    """The first lines have the URL to paste and what the server has to be allowed."""
    with listening() as listener:
        assert re.fullmatch(r"loadbell is listening on http://127\.0\.0\.1:\d+", listener.announced[0])
        assert re.fullmatch(r"Paste this URL into a WebHook channel: http://127\.0\.0\.1:\d+/", listener.announced[1])
        assert "LOADBELL_ALLOWED_NETWORKS=127.0.0.0/8" in listener.announced[2]


def test_a_notification_is_shown() -> None:
    """Time, event, id, the headers without values that may be secret, and the body for a person; the answer is 200."""
    with listening() as listener:
        assert 200 == listener.ask(b'{"status":3,"name":"caf\xc3\xa9 \\u001b[2J"}', {"X-Own": "sentinel"}).status
        items = listener.lines(7)

    assert "" == items[0]
    assert re.fullmatch(rf"\d\d:\d\d:\d\d UTC  test\.finished  {ID}", items[1])
    assert "  POST /  Content-Type: application/json, webhook-signature, Authorization, X-Own" == re.sub(
        "Accept-Encoding, ", "", items[2]
    )
    assert ["", "  {", '    "status": 3,', '    "name": "café \\u001b[2J"'] == items[3:]
    assert "sentinel" not in "".join(items)


def test_what_would_steer_a_terminal_is_not_printed() -> None:
    """Bodies that are no JSON are shown line by line, control characters replaced."""
    with listening() as listener:
        listener.ask(b"one\x1b[2J\ntwo\xff")

        assert ["  one\ufffd[2J", "  two\ufffd"] == listener.lines(6)[4:]


def test_as_json_each_request_is_one_line() -> None:
    """Stdout has objects only, with all that came; the announcement is on stderr."""
    with listening("--json") as listener:
        listener.ask(b'{"status":3}')
        listener.ask(b"\xff\n", {"X-LoadImpact-Event": "test.started"})
        first, second = (json.loads(line) for line in listener.lines(2))

    assert ("test.finished", ID, "POST", "/", {"status": 3}) == tuple(
        first[key] for key in ("event", "id", "method", "path", "body")
    )
    assert ["Authorization", "Bearer sentinel"] in first["headers"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["at"])
    assert ("test.started", "\ufffd\n") == (second["event"], second["body"])


@pytest.mark.parametrize(
    ("kind", "title", "message", "text"),
    [
        (
            "slack",
            "Slack",
            {"text": "a &lt; b <https://a.example/1?x=1&amp;y=2|Open>"},
            "a < b Open: https://a.example/1?x=1&y=2",
        ),
        ("hipchat", "HipChat", {"message": "<b>a</b> &lt; b"}, "a < b"),
    ],
)
def test_as_a_fake_it_says_what_it_made_of_each(kind: str, title: str, message: dict[str, Any], text: str) -> None:
    """What the fake takes is shown as a person would read it; what it refuses, with the code."""
    with listening("--as", kind, "--json") as listener:
        taken = listener.ask(json.dumps(message).encode()).status
        refused = listener.ask(b"{").status
        first, second = (json.loads(line) for line in listener.lines(2))

    assert f"into a {title} channel" in listener.announced[1]
    assert (True, 400) == (taken in {200, 204}, refused)
    assert (True, None, text) == tuple(first[key] for key in ("taken", "refused", "text"))
    assert (False, None) == (second["taken"], second["text"])
    assert second["refused"]


def test_as_a_fake_it_tells_a_person_too() -> None:
    """The text stands where the body would, and the verdict below it."""
    with listening("--as", "hipchat") as listener:
        listener.ask(b'{"message": "<b>a</b><br>b"}')
        listener.ask(b'{"message": ""}')

        assert ["  a", "  b", "", "  -> accepted"] == listener.lines(8)[4:]
        assert "  -> rejected: bad_request" in listener.lines(9)


def test_what_is_forwarded_comes_as_it_was_sent() -> None:
    """Method, headers and body reach the URL, and its answer goes back."""
    with ScriptedReceiver([respond(418, {"X-Own": "1", "Connection": "keep-alive"}, b"teapot")]) as target:
        url = f"{target.url}hook?token=sentinel"
        with listening("--json", "--forward-to", url) as listener:
            answer = listener.ask(b'{"a":1}', method="PUT")
            (line,) = listener.lines(1)
        (request,) = target.requests

    assert (418, "1", b"teapot") == (answer.status, answer.headers["X-Own"], listener.body)
    assert ("PUT", "/hook?token=sentinel", b'{"a":1}') == (request.method, request.path, request.body)
    assert HEADERS.items() <= dict(request.headers).items()
    assert [f"127.0.0.1:{target.port}"] == [value for name, value in request.headers if name == "Host"]
    assert {"status": 418, "error": None} == json.loads(line)["forwarded"]


@pytest.mark.parametrize(("script", "why"), [([cut_off()], "IncompleteRead"), (None, "Connection refused")])
def test_an_address_that_gives_no_answer_is_told(script: list[Behaviour] | None, why: str) -> None:
    """502 with a line that says why, in the answer and in what is printed, without the address's path."""
    with ScriptedReceiver() as target:
        url = f"{target.url}sentinel"
    with ExitStack() as there:
        if script is not None:
            there.enter_context(ScriptedReceiver(script, port=target.port))
        with listening("--forward-to", url) as listener:
            answer = listener.ask(b"{}")
            items = listener.lines(7)

    assert 502 == answer.status
    assert f"loadbell listen got no response from the --forward-to URL: {why}.\n".encode() == listener.body
    assert f"  -> forwarded: no response ({why}), returned 502" == items[-1]
    assert b"sentinel" not in listener.body
    assert "sentinel" not in "".join(items).replace("v1,sentinel", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_asked(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it with 0 and no complaint, even while an address that hangs is waited for."""
    with ScriptedReceiver([hang()]) as target, listening("--forward-to", target.url) as listener:
        client = socket.create_connection(("127.0.0.1", listener.paste.port or 0))
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        target.wait_for(1)
        listener.process.send_signal(number)
        _, err = listener.process.communicate(timeout=20)
        client.close()

    assert (0, "") == (listener.process.returncode, err)


def test_a_reader_that_has_seen_enough_ends_it() -> None:
    """``loadbell listen --json | head -1`` is no error."""
    with listening("--json") as listener:
        assert listener.process.stdout is not None
        assert listener.process.stderr is not None
        listener.process.stdout.close()
        listener.ask(b"{}")

        assert 0 == listener.process.wait(20)
        assert "" == listener.process.stderr.read()
        listener.process.stdout = open(os.devnull)  # noqa: SIM115, PTH123 - communicate() closes it


def test_a_port_that_is_taken() -> None:
    """Exit code 1, and one line says what to do."""
    with ScriptedReceiver() as other:
        process = loadbell("listen", "--port", str(other.port))

    assert (1, "") == (process.returncode, process.stdout)
    assert (
        f"loadbell: can't listen on port {other.port}: Address already in use. Choose another port with --port.\n"
        == process.stderr
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--as", "irc"],
        ["--forward-to", "ftp://a.example"],
        ["--forward-to", "http://"],
        ["--forward-to", "http://a.example:99999"],
        ["--forward-to", "http://[::1"],
        ["--forward-to", "http://a.example", "--as", "slack"],
        ["--port", "65536"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    """What can't be done is exit code 2, before anything listens."""
    process = loadbell("listen", *arguments)

    assert (2, "") == (process.returncode, process.stdout)
    assert "Traceback" not in process.stderr


def test_it_imports_nothing_of_the_server() -> None:
    """It starts as fast as the standard library and the command line allow."""
    with ScriptedReceiver() as scripted_receiver:
        assert set() == imported_by("listen", "--port", str(scripted_receiver.port)) & (
            HEAVY | {"msgspec", "loadbell.app"}
        )
