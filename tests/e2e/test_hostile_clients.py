"""
A real ``loadbell serve`` under each kind of attack, while others report runs and ask whether it is there.

The short form runs with fewer clients, and with bounds that say only that nothing freezes or is refused; ``make soak``
has the real numbers and the promised figures.
"""

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import cramjam
import psutil
import pytest

from tests.support.k6_pushes import empty
from tests.support.server import Client, Server, set_up

MIB = 2**20


@dataclass(frozen=True)
class Form:
    """How hard, how long, and what is promised."""

    scale: float
    seconds: float
    health_ms: float  #: the 99th percentile of GET /healthz
    report_s: float  #: the slowest report
    growth: int  #: bytes of memory


SHORT = Form(scale=0.1, seconds=1.0, health_ms=5_000, report_s=15.0, growth=160 * MIB)
WHOLE = Form(scale=1.0, seconds=20.0, health_ms=100, report_s=1.0, growth=128 * MIB)


@dataclass
class Target:
    """The server, and what an attacker has: an address and a token of scope report."""

    url: str
    token: str
    scale: float
    open: list[socket.socket] = field(default_factory=list)

    def connect(self, sent: bytes) -> None:
        """One more connection that stays open after ``sent``."""
        parts = urlsplit(self.url)
        connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
        self.open.append(connection)
        with contextlib.suppress(OSError):  # it may be dropped meanwhile
            connection.sendall(sent)

    def ask(self, method: str, path: str, body: object = None) -> int:
        """The status of one request as k6 sends it; 0 if the connection was cut."""
        client = Client(self.url, None, timeout=120)
        try:
            return client.call(method, path, body, headers={"Authorization": f"Token {self.token}"}).status
        except (OSError, ConnectionError):
            return 0


def slashes(target: Target) -> None:
    """60,000 slashes, plain and escaped, without a credential."""
    for path in ("//" + "/" * 60_000, "//" + "%2F" * 60_000, "/" + "/v1/x" * 12_000):
        assert Client(target.url, None).call("GET", path).status == 414


def thresholds(target: Target) -> None:
    """The end of a run whose threshold has 100,000 digits."""
    run = Client(target.url, target.token).ok(
        "POST", "//v1/tests", {"name": "x"}, headers={"Authorization": f"Token {target.token}"}
    )["reference_id"]
    text = "value<" + "1" * 100_000 + "x"
    body = {"run_status": 3, "result_status": 1, "thresholds": {"http_req_duration": {text: True}}}
    target.ask("POST", f"//v1/tests/{run}", body)


def series(target: Target) -> None:
    """A push of 8 million empty series."""
    run = Client(target.url, target.token).ok(
        "POST", "//v1/tests", {"name": "x"}, headers={"Authorization": f"Token {target.token}"}
    )["reference_id"]
    target.ask("POST", f"//v2/metrics/{run}", _empty_series(int(8_000_000 * target.scale)))


def idle(target: Target) -> None:
    """2,000 connections that say nothing, or half a head."""
    for number in range(int(2_000 * target.scale)):
        target.connect(b"" if number % 2 else b"GET / HTTP/1.1\r\nHost:")


def half_bodies(target: Target) -> None:
    """200 bodies that end in the middle, without a credential and with one."""
    for number in range(int(200 * target.scale)):
        path, length = ("/login", 60_000) if number % 2 else ("/v2/metrics/1", 8_000_000)
        head = [
            f"POST {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Token {target.token}",
            f"Content-Length: {length}",
        ]
        target.connect("\r\n".join([*head, "", ""]).encode() + b"x" * (length // 2))


ATTACKS: list[Callable[[Target], None]] = [slashes, thresholds, series, idle, half_bodies]


def test_attacks_freeze_nobody(tmp_path: Path) -> None:
    """Every report is taken, health is told, memory is bounded, and SIGTERM ends the process."""
    _attack(tmp_path, SHORT)


@pytest.mark.soak
def test_all_attacks_at_once_are_hardly_felt(tmp_path: Path) -> None:
    """At 50 reports a second: health within 100 ms (p99), no report over 1 s, 128 MiB more memory at most."""
    _attack(tmp_path, WHOLE)


def _attack(data_dir: Path, form: Form) -> None:
    _many_files()
    body = set_up(data_dir)
    with Server(data_dir) as server:
        client = Client(server.url, body["token"])
        target = Target(server.url, client.ok("POST", "/tokens", {"name": "n", "scope": "report"})["token"], form.scale)
        for _ in range(20):
            client.ok("POST", "/runs", {"name": "warm"})
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        healths, reports, sizes = list[float](), list[float](), list[int]()
        wrong: list[str] = []

        def health() -> None:
            healths.append(_time(wrong, lambda: Client(server.url, None).call("GET", "//healthz").status, 200))
            sizes.append(process.memory_info().rss)

        def report() -> None:
            reports.append(_time(wrong, lambda: client.call("POST", "/runs", {"name": "honest"}).status, 201))

        with _each(0.05, health), _each(0.1, report, 5):
            for attack in ATTACKS:
                end = time.monotonic() + form.seconds
                attack(target)
                while time.monotonic() < end:
                    time.sleep(0.05)  # the span of the trial
                    if attack in {slashes, thresholds, series}:
                        attack(target)
        began = time.monotonic()
        code = server.stop(60)
        stopped = time.monotonic() - began
        for connection in target.open:
            connection.close()

    assert [] == wrong
    assert sorted(healths)[int(len(healths) * 0.99)] * 1000 < form.health_ms
    assert max(reports) < form.report_s
    assert max(sizes) - before < form.growth
    assert (0, True) == (code, stopped < 10)


def _time(wrong: list[str], ask: Callable[[], int], expected: int) -> float:
    began = time.monotonic()
    try:
        status = ask()
        if status != expected:
            wrong.append(f"{status} instead of {expected}")
    except OSError as error:
        wrong.append(repr(error))
    return time.monotonic() - began


@contextlib.contextmanager
def _each(pause: float, work: Callable[[], None], threads: int = 1) -> Iterator[None]:
    """``work`` again and again meanwhile."""
    stop = threading.Event()

    def turn() -> None:
        while not stop.wait(pause):
            work()

    running = [threading.Thread(target=turn) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in running:
            thread.join()


def _empty_series(count: int) -> bytes:
    said = empty()
    metric = said.metrics.add(name="m")
    bare = metric.SerializeToString()
    metric.time_series.add()
    of_one = metric.SerializeToString()[len(bare) :]
    body = bare + of_one * count
    del said.metrics[:]
    tag = empty()
    tag.metrics.add()
    begin = tag.SerializeToString()[len(said.SerializeToString()) : -1]
    return bytes(cramjam.snappy.compress_raw(said.SerializeToString() + begin + _varint(len(body)) + body))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _many_files() -> None:
    """Lets this process, which plays the clients, open as many connections as it needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8_192 if hard == resource.RLIM_INFINITY else min(hard, 8_192)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
