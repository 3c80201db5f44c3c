"""Processes as an operator runs them: one on SQLite, many on PostgreSQL, and what they say when they can't start."""

import base64
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loadbell.testing.receiver import ScriptedReceiver, hang, respond
from tests.support.server import ALLOW_LOOPBACK, Client, Server, run_loadbell, server_environment, set_up, wait_until

KEY = base64.urlsafe_b64encode(b"k" * 32).decode()


def _channel(client: Client, made: dict[str, Any], url: str) -> dict[str, Any]:
    channel: dict[str, Any] = client.ok(
        "POST",
        f"/organizations/{made['organization_id']}/channels",
        {"kind": "webhook", "name": "receiver", "settings": {"url": url}},
    )
    return channel


def _deliveries(client: Client, made: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.ok("GET", f"/organizations/{made['organization_id']}/deliveries?limit=200")[
        "items"
    ]
    return items


def test_a_second_process_on_the_same_file_is_refused(tmp_path: Path) -> None:
    """On SQLite a second serve, a setup and a migrate beside a running one end with 4 and say who has the file."""
    set_up(tmp_path)
    with Server(tmp_path) as server:
        for arguments in (
            ("serve", "--port", "0"),
            ("migrate",),
            ("setup", "--organization", "B", "--email", "b@example.org"),
        ):
            refused = run_loadbell(*arguments, environment=server_environment(tmp_path))

            assert (4, "") == (refused.returncode, refused.stdout)
            assert f"pid {server.process.pid}" in refused.stderr
            assert "Traceback" not in refused.stderr


def test_setup_works_once(tmp_path: Path) -> None:
    """The second setup ends with 4, says so, and changes nothing."""
    body = set_up(tmp_path)
    again = run_loadbell(
        "setup", "--organization", "B", "--email", "b@example.org", environment=server_environment(tmp_path)
    )

    assert (4, "") == (again.returncode, again.stdout)
    assert "already set up" in again.stderr
    assert {"organization_id", "project_id", "user_id", "token", "password"} == set(body)


def test_setup_reads_the_password(tmp_path: Path) -> None:
    """With --password-stdin the password is read and not printed; a short one is refused."""
    arguments = ("setup", "--organization", "A", "--email", "a@example.org", "--password-stdin", "--json")
    environment = server_environment(tmp_path)
    short = run_loadbell(*arguments, environment=environment, stdin="short\n")
    process = run_loadbell(*arguments, environment=environment, stdin="correct horse battery\n")

    assert (1, "") == (short.returncode, short.stdout)
    assert "password" in short.stderr
    assert process.returncode == 0, process.stderr
    assert "correct horse" not in process.stdout
    assert '"password"' not in process.stdout


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"LOADBELL_RETRY_SCHEDULE": "soon"}, 4, "LOADBELL_RETRY_SCHEDULE"),
        ({"LOADBELL_ALLOWED_NETWORKS": "10.0.0.1/8"}, 4, "LOADBELL_ALLOWED_NETWORKS"),
        ({"LOADBELL_SECRET_KEY": "short"}, 4, "LOADBELL_SECRET_KEY"),
        ({"LOADBELL_DATABASE_URL": "mysql://x/y"}, 4, "LOADBELL_DATABASE_URL"),
        ({"LOADBELL_DATABASE_URL": "postgresql://u:hunter22@127.0.0.1:1/x", "LOADBELL_SECRET_KEY": KEY}, 3, "1/x"),
        ({"LOADBELL_DATABASE_URL": "postgresql://u:hunter22@127.0.0.1:1/x"}, 4, "LOADBELL_SECRET_KEY"),
        ({"LOADBELL_DATA_DIR": "/proc/loadbell"}, 4, "/proc/loadbell"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, changes: dict[str, str], code: int, named: str) -> None:
    """A server that can't start ends with the documented code, names the setting and shows no secret."""
    refused = run_loadbell("serve", "--port", "0", environment=server_environment(tmp_path, changes))

    assert (code, "") == (refused.returncode, refused.stdout)
    assert named in refused.stderr
    assert "hunter22" not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """A port that is in use ends serve with 1 and says which."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run_loadbell("serve", "--port", port, environment=server_environment(tmp_path))

    assert refused.returncode == 1
    assert f"port {port}" in refused.stderr


def test_another_key_is_refused(tmp_path: Path) -> None:
    """A database set up with one key does not open with another, but does with both."""
    set_up(tmp_path, {"LOADBELL_SECRET_KEY": KEY})
    other = base64.urlsafe_b64encode(os.urandom(32)).decode()
    refused = run_loadbell(
        "serve", "--port", "0", environment=server_environment(tmp_path, {"LOADBELL_SECRET_KEY": other})
    )
    with Server(tmp_path, {"LOADBELL_SECRET_KEY": f"{other},{KEY}"}) as server:
        ready = Client(server.url).call("GET", "//readyz").status

    assert refused.returncode == 4
    assert "another key" in refused.stderr
    assert ready == 200


def test_a_full_disk_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """While nothing can be written reports are answered 503; afterwards the server goes on by itself, complete."""
    body = set_up(tmp_path)
    with ScriptedReceiver() as receiver, Server(tmp_path) as server:
        client = Client(server.url, body["token"])
        _channel(client, body, receiver.url)
        accepted = [client.ok("POST", "/runs", {"name": "before"})["id"]]
        receiver.wait_for(1)
        pid = server.process.pid
        limit = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limit[1]))
        refused = client.call("POST", "/runs", {"name": "x" * 9000})
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
        accepted.append(client.ok("POST", "/runs", {"name": "after"})["id"])
        receiver.wait_for(2)
        listed = [run["id"] for run in client.ok("GET", "/runs")["items"]]

    assert refused.status == 503
    assert refused.json["code"] == "unavailable"
    assert "retry-after" in refused.headers
    assert sorted(accepted, reverse=True) == listed


def test_stopping_gives_back_what_is_in_flight(tmp_path: Path) -> None:
    """SIGTERM during a hanging delivery ends within the grace; the next server delivers it, with no attempt counted."""
    body = set_up(tmp_path)
    with ScriptedReceiver([hang(), respond()]) as receiver:
        with Server(tmp_path) as server:
            client = Client(server.url, body["token"])
            _channel(client, body, receiver.url)
            client.ok("POST", "/runs", {"name": "in flight"})
            receiver.wait_for(1)
            began = time.monotonic()
            code = server.stop()
            took = time.monotonic() - began
        with Server(tmp_path) as server:
            client = Client(server.url, body["token"])
            receiver.wait_for(2)
            wait_until(lambda: _deliveries(client, body)[0]["status"] == "delivered")
            (delivery,) = _deliveries(client, body)

    assert code == 0
    assert took < 15
    assert delivery["attempt_count"] == 1
    first, second = (request.header("X-LoadImpact-ID") for request in receiver.requests)
    assert first == second == delivery["id"]


def test_stopping_answers_a_test_hook_that_waits(tmp_path: Path) -> None:
    """A Test Hook that is still under way when the server stops is answered 202, and the next server makes it."""
    body = set_up(tmp_path)
    with ScriptedReceiver([hang(), respond()]) as receiver, ThreadPoolExecutor(1) as pool:
        with Server(tmp_path) as server:
            path = f"/organizations/{body['organization_id']}/channels/test"
            form = {"kind": "webhook", "settings": {"url": receiver.url}}
            asked = pool.submit(Client(server.url, body["token"]).call, "POST", path, form)
            receiver.wait_for(1)
            code = server.stop()
            answer = asked.result()
            log = server.log.read_text()
        with Server(tmp_path) as server:
            client = Client(server.url, body["token"])
            wait_until(lambda: _deliveries(client, body)[0]["status"] == "delivered")

    assert (0, 202) == (code, answer.status)
    assert answer.json["status"] in {"sending", "pending"}
    assert "Traceback" not in log


def test_every_line_of_a_json_log_is_json(tmp_path: Path) -> None:
    """What libraries log is written as loadbell writes its own lines."""
    library = "import logging, sys; from loadbell import app, cli; configure = app.configure_logging\n"
    library += "app.configure_logging = lambda to: (configure(to), logging.getLogger('a.library').warning('Said'))\n"
    library += "cli.main(sys.argv[1:])"
    set_up(tmp_path)
    with Server(tmp_path, {"LOADBELL_LOG_FORMAT": "json"}, program=("-c", library)) as server:
        server.stop()
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]

    assert {("warning", "Said", "a.library")} == {
        (line["level"], line["event"], line["logger"]) for line in lines if "logger" in line
    }


def test_postgresql_needs_migrate_first(tmp_path: Path, postgres_url: str) -> None:
    """On an empty PostgreSQL setup and serve end with 4 and name the command; after migrate, run twice, they work."""
    changes = {"LOADBELL_DATABASE_URL": postgres_url, "LOADBELL_SECRET_KEY": KEY}
    environment = server_environment(tmp_path, changes)
    refused = [
        run_loadbell("setup", "--organization", "A", "--email", "a@example.org", environment=environment),
        run_loadbell("serve", "--port", "0", environment=environment),
    ]
    migrated = [run_loadbell("migrate", environment=environment).returncode for _ in range(2)]

    assert [4, 4] == [process.returncode for process in refused]
    assert all("loadbell migrate" in process.stderr for process in refused)
    assert [0, 0] == migrated
    assert set_up(tmp_path, changes)["token"]


def test_a_worker_needs_postgresql_and_an_address(tmp_path: Path) -> None:
    """`loadbell worker` ends with 4 on SQLite, and on PostgreSQL without LOADBELL_BASE_URL, saying so."""
    on_sqlite = run_loadbell("worker", environment=server_environment(tmp_path))
    changes = {"LOADBELL_DATABASE_URL": "postgresql://127.0.0.1:1/x", "LOADBELL_SECRET_KEY": KEY}
    nameless = run_loadbell("worker", environment=server_environment(tmp_path, changes))

    assert [4, 4] == [on_sqlite.returncode, nameless.returncode]
    assert "PostgreSQL" in on_sqlite.stderr
    assert "LOADBELL_BASE_URL" in nameless.stderr


def test_the_work_of_a_killed_worker_is_taken_over(tmp_path: Path, postgres_url: str) -> None:
    """On PostgreSQL, two workers beside a server: one is killed in mid-delivery, the other repeats it under its id."""
    changes = {
        "LOADBELL_SEND_TIMEOUT": "120s",  # longer than another worker takes to start on a busy machine
        "LOADBELL_DATABASE_URL": postgres_url,
        "LOADBELL_SECRET_KEY": KEY,
        "LOADBELL_BASE_URL": "http://loadbell.example.org",
        **ALLOW_LOOPBACK,
    }
    environment = server_environment(tmp_path, changes)
    assert run_loadbell("migrate", environment=environment).returncode == 0
    body = set_up(tmp_path, changes)
    with (
        ScriptedReceiver([hang(), respond()]) as receiver,
        Server(tmp_path, changes, arguments=("serve", "--port", "0", "--no-worker")) as server,
    ):
        client = Client(server.url, body["token"])
        _channel(client, body, receiver.url)
        client.ok("POST", "/runs", {"name": "taken over"})
        with _worker(tmp_path / "first.log", environment) as first:
            receiver.wait_for(1, 30)
            with _worker(tmp_path / "second.log", environment):
                first.kill()
                receiver.wait_for(2, 20)
                wait_until(lambda: _deliveries(client, body)[0]["status"] == "delivered")
                (delivery,) = _deliveries(client, body)
                attempts = client.ok("GET", f"/deliveries/{delivery['id']}")["attempts"]

    assert ["internal", "ok"] == [attempt["reason"] for attempt in attempts]
    ids = [request.header("X-LoadImpact-ID") for request in receiver.requests]
    assert [delivery["id"]] * 2 == ids


@contextmanager
def _worker(log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """``loadbell worker`` as a process of its own, once it delivers."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "loadbell", "worker"], env=environment, stdin=subprocess.DEVNULL, stderr=stderr
        )
    try:
        wait_until(lambda: b"The worker is running" in log.read_bytes())
        yield process
    finally:
        process.terminate()
        process.wait(20)
