"""The sender against real receivers: what goes over the wire, what comes back, and that nothing goes wrong for long."""

import asyncio
import gc
import gzip
import os
import socket
import threading
import time
from contextlib import ExitStack

import psutil
import pytest

from loadbell.domain.deliveries import Reason
from loadbell.outbound.failures import LOOKUP_FAILED, NOT_FOUND
from loadbell.outbound.messages import Message, Reply
from loadbell.outbound.sender import MAX_BODY_SIZE, Sender
from loadbell.testing import (
    Behaviour,
    ScriptedReceiver,
    close,
    cut_off,
    drip,
    endless_body,
    endless_headers,
    gzip_bomb,
    hang,
    informational_flood,
    raw,
    redirect,
    reset,
    respond,
)
from tests.outbound.sending import SECOND, message, no_reply, reply, scenario


def test_a_request_goes_out_exactly_as_rendered() -> None:
    """The sender adds Host and Content-Length and nothing else; spelling, order, path and body stay as they are."""
    headers = (
        ("X-LoadImpact-ID", "19c5d426"),
        ("User-Agent", "LoadImpactWebHook"),
        ("x-oDd", ""),
        ("Authorization", "B c"),
    )
    body = b'{"b":1,"a":"\xc3\xbc"}\x00'

    with ScriptedReceiver() as receiver:
        scenario(lambda sender: sender.send(message(f"{receiver.url}a/../b//c?x=%41&y#z", *headers, body=body)))
        (request,) = receiver.requests

    host = ("Host", f"127.0.0.1:{receiver.port}")
    length = ("Content-Length", str(len(body)))
    assert (host, ("Content-Type", "application/json"), *headers, length) == request.headers
    assert ("POST", "/a/../b//c?x=%41&y", body) == (request.method, request.path, request.body)


def test_nothing_of_libcurls_own_goes_out() -> None:
    """A message without headers has none; a large body is not announced by Expect."""
    with ScriptedReceiver() as receiver:
        scenario(lambda sender: sender.send(Message("POST", receiver.url, (), b"x" * 200_000)))
        (request,) = receiver.requests

    assert ["Host", "Content-Length"] == [name for name, _ in request.headers]


def test_a_large_body_goes_out_without_stalling() -> None:
    """Megabytes are sent without waiting for anything but the receiver."""
    body = os.urandom(2 * 1024 * 1024)

    with ScriptedReceiver() as receiver:
        answer = reply(scenario(lambda sender: sender.send(message(receiver.url, body=body))))

        assert body == receiver.requests[0].body
    assert answer.duration < 2 * SECOND


def test_a_get_has_no_body() -> None:
    """Other methods than POST work; a GET after a POST on the same handle is a plain GET."""

    async def play(sender: Sender) -> None:
        await sender.send(message(receiver.url))
        await sender.send(Message("GET", receiver.url, (), b""))
        await sender.send(message(receiver.url, method="PUT", body=b"put"))

    with ScriptedReceiver() as receiver:
        scenario(play)

        assert [("POST", b"{}"), ("GET", b""), ("PUT", b"put")] == [(r.method, r.body) for r in receiver.requests]


def test_a_reply_is_told_whole() -> None:
    """Status, headers as spelled, body with NUL and non-text bytes, and the time it took come back."""
    body = b"\x00\xff\xfe binary"

    with ScriptedReceiver([respond(418, {"X-MiXed": "a: b", "Empty": ""}, body, delay=0.1)]) as receiver:
        answer = reply(scenario(lambda sender: sender.send(message(receiver.url))))

    assert (418, body, False) == (answer.status, answer.body, answer.truncated)
    assert ("X-MiXed", "a: b") == answer.headers[0]
    assert (("Empty", ""), "a: b") == (answer.headers[1], answer.header("x-mixed"))
    assert 0.1 * SECOND <= answer.duration <= 3 * SECOND


def test_interim_answers_folded_headers_and_trailers_are_borne() -> None:
    """Only the final answer's own headers are told."""
    wire = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Folded: a\r\n  b\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Trailer: late\r\n\r\n"
    )
    with ScriptedReceiver([raw(wire)]) as receiver:
        answer = reply(scenario(lambda sender: sender.send(message(receiver.url))))

    assert (200, b"ok") == (answer.status, answer.body)
    assert (("Transfer-Encoding", "chunked"), ("X-Folded", "a b")) == answer.headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    """A redirect is the answer; the place it names is never contacted."""
    with ScriptedReceiver() as elsewhere, ScriptedReceiver([redirect(elsewhere.url, status)]) as receiver:
        answer = reply(scenario(lambda sender: sender.send(message(receiver.url))))

        assert (status, elsewhere.url, 0) == (answer.status, answer.header("Location"), elsewhere.connects)


@pytest.mark.parametrize(
    ("behaviour", "reason", "words"),
    [
        (hang(), Reason.TIMEOUT, "didn't respond within 0.4 s"),
        (drip(interval=0.05), Reason.TIMEOUT, "complete within 0.4 s"),
        (reset(), Reason.PROTOCOL, "closed the connection before it responded"),
        (reset(after=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Reason.PROTOCOL, "cut off"),
        (close(), Reason.PROTOCOL, "closed the connection without a response"),
        (cut_off(), Reason.PROTOCOL, "cut off"),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"), Reason.PROTOCOL, "cut off"),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), Reason.PROTOCOL, "valid HTTP"),
        (raw(b"HTTP/1.1 what?\r\n\r\n"), Reason.PROTOCOL, "valid HTTP"),
        (raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), Reason.PROTOCOL, "without a response"),
        (endless_headers(), Reason.PROTOCOL, "too many headers"),
        (informational_flood(), Reason.PROTOCOL, "too many headers"),
    ],
)
def test_each_way_to_fail_has_its_reason_and_sentence(behaviour: Behaviour, reason: Reason, words: str) -> None:
    """What a bad receiver did is told apart, in a sentence that shows nothing of the URL's path."""
    timeout = 0.4 if reason is Reason.TIMEOUT else 20.0
    with ScriptedReceiver([behaviour]) as receiver:
        url = f"{receiver.url}secret?secret"
        result = no_reply(scenario(lambda sender: sender.send(message(url)), timeout=timeout))

    assert reason is result.reason
    assert words in result.message
    assert (True, False) == (result.message.endswith("."), "secret" in result.message)
    assert result.duration <= 10 * SECOND


def test_a_refused_connection_is_told() -> None:
    """Where nobody listens the reason is connect."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        result = no_reply(scenario(lambda sender: sender.send(message(url))))

    assert (Reason.CONNECT, "The receiver refused the connection.") == (result.reason, result.message)


def test_a_receiver_that_does_not_accept_is_given_up_at_the_deadline() -> None:
    """A connection that never stands ends as a timeout that says so."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        for _ in range(4):  # fills the accept queue: the kernel drops what comes after
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        time.sleep(0.05)
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"
        result = no_reply(scenario(lambda sender: sender.send(message(url)), timeout=0.4))

    assert Reason.TIMEOUT is result.reason


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, NOT_FOUND),
        (socket.gaierror(socket.EAI_NONAME, "x"), NOT_FOUND),
        (socket.gaierror(socket.EAI_NODATA, "x"), NOT_FOUND),
        (socket.gaierror(socket.EAI_AGAIN, "x"), LOOKUP_FAILED),
        (OSError(socket.EAI_NONAME, "x"), LOOKUP_FAILED),
        (ValueError("x"), LOOKUP_FAILED),
    ],
)
def test_a_name_without_an_address_is_told(error: Exception | None, words: str) -> None:
    """Whatever the resolver says, no address means dns, in our own words: there is none, or that could not be asked."""

    def resolve(host: str, port: int) -> list[str]:
        if error is not None:
            raise error
        return []

    result = no_reply(scenario(lambda sender: sender.send(message("http://nowhere.example/")), resolver=resolve))

    assert (Reason.DNS, words) == (result.reason, result.message)


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "http://[fe80::1%25lo]/"])
def test_a_url_that_cannot_be_used_is_bad_settings(url: str) -> None:
    """A stored URL that would not pass today ends as bad_settings; nothing is connected."""
    assert Reason.BAD_SETTINGS is no_reply(scenario(lambda sender: sender.send(message(url)))).reason


@pytest.mark.parametrize(
    "header",
    [
        ("X-A", "1\r\nX-Injected: 1"),
        ("X-A", "1\nX-Injected: 1"),
        ("X-A\r\nX-Injected", "1"),
        ("X-A", "nul\x00"),
        ("X-A", "\u00fc"),
        ("", "x"),
        ("a b", "x"),
        ("X:A", "x"),
        ("@/etc/passwd", "x"),
        ("Host", "elsewhere.example"),
        ("content-length", "1"),
        ("Transfer-Encoding", "chunked"),
    ],
)
def test_headers_cannot_break_out_of_their_line(header: tuple[str, str]) -> None:
    """A header that would smuggle in another, or change the framing, is not sent and nothing is connected."""
    with ScriptedReceiver() as receiver:
        result = no_reply(scenario(lambda sender: sender.send(message(receiver.url, header))))

        assert (Reason.BAD_SETTINGS, 0) == (result.reason, receiver.connects)


@pytest.mark.parametrize(
    ("size", "truncated"), [(MAX_BODY_SIZE, False), (MAX_BODY_SIZE + 1, True), (16 * 1024 * 1024, True)]
)
def test_an_answer_is_read_up_to_64_kib_and_judged_by_its_status(size: int, *, truncated: bool) -> None:
    """A longer body is cut off with its connection and flagged; the status still counts; the next exchange is sound."""

    async def play(sender: Sender) -> tuple[Reply, Reply]:
        return reply(await sender.send(message(receiver.url))), reply(await sender.send(message(receiver.url)))

    with ScriptedReceiver([respond(503, body=b"x" * size), respond(204)]) as receiver:
        cut, following = scenario(play)

        assert (503, min(size, MAX_BODY_SIZE), truncated) == (cut.status, len(cut.body), cut.truncated)
        assert (204, 1 + truncated) == (following.status, receiver.connects)


def test_one_byte_too_many_is_cut_off_when_it_comes_alone() -> None:
    """However the body comes in pieces, what is over the limit ends its connection."""

    async def in_pieces(writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_SIZE + 1) + b"x" * MAX_BODY_SIZE)
        await writer.drain()
        await asyncio.to_thread(read.wait, 30)
        writer.write(b"y")
        await writer.drain()
        return True

    def watch(sender: Sender) -> None:
        assert sender._engine is not None
        flying = sender._engine._flying
        while [MAX_BODY_SIZE] != [len(one.transfer._body) for one in list(flying.values()) if one.transfer is not None]:
            time.sleep(0.001)
        read.set()

    async def play(sender: Sender) -> tuple[Reply, Reply]:
        first = asyncio.create_task(sender.send(message(receiver.url)))
        await asyncio.to_thread(watch, sender)
        return reply(await first), reply(await sender.send(message(receiver.url)))

    read = threading.Event()
    with ScriptedReceiver([in_pieces, respond(204)]) as receiver:
        cut, following = scenario(play)

        assert (MAX_BODY_SIZE, True, b"x") == (len(cut.body), cut.truncated, cut.body[-1:])
        assert (204, 2) == (following.status, receiver.connects)


def test_endless_bodies_do_not_fill_the_memory() -> None:
    """A hundred receivers' worth of endless bodies leave the process no larger."""

    async def play(sender: Sender) -> list[Reply]:
        return [reply(await sender.send(message(receiver.url))) for _ in range(100)]

    with ScriptedReceiver([endless_body()]) as receiver:
        scenario(play)
        gc.collect()
        before = psutil.Process().memory_info().rss
        answers = scenario(play)
        grown = psutil.Process().memory_info().rss - before

    assert {(200, MAX_BODY_SIZE, True)} == {(answer.status, len(answer.body), answer.truncated) for answer in answers}
    assert grown < 32 * 1024 * 1024


def test_nothing_is_decompressed() -> None:
    """A gzip bomb is the few bytes that came over the wire."""
    bomb = gzip.compress(bytes(16 * 1024 * 1024), 9)
    with ScriptedReceiver([gzip_bomb()]) as receiver:
        answer = reply(scenario(lambda sender: sender.send(message(receiver.url))))

        assert (200, bomb[10:], False) == (answer.status, answer.body[10:], answer.truncated)
        assert None is receiver.requests[0].header("Accept-Encoding")


def test_no_cookie_is_ever_sent_back() -> None:
    """What one answer sets, the next request does not carry."""

    async def play(sender: Sender) -> None:
        for _ in range(2):
            await sender.send(message(receiver.url))

    with ScriptedReceiver([respond(200, {"Set-Cookie": "a=b"})]) as receiver:
        scenario(play)

        assert [None, None] == [request.header("Cookie") for request in receiver.requests]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_proxy_is_used_whatever_the_environment_says(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment sees no connection; the receiver is reached directly."""
    with ScriptedReceiver() as proxy, ScriptedReceiver() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        url = receiver.url.replace("http:", f"{scheme}:")
        scenario(lambda sender: sender.send(message(url)), timeout=0.5)

        assert (0, 1) == (proxy.connects, receiver.connects)
