"""The pages of ``loadbell serve`` itself, and of a server in trouble."""

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from litestar.testing import RequestFactory

from loadbell.cli.errors import ExitCode
from loadbell.domain.errors import Unavailable
from loadbell.entry.hosts import format_host
from loadbell.entry.problems import refuse
from loadbell.web.page import error_page
from tests.support.server import Client, Server, run_loadbell, set_up
from tests.web.browser import Browser


def test_the_first_owner_signs_in_over_plain_http(tmp_path: Path) -> None:
    """Setup prints a password that opens the pages; without HTTPS the cookie is not Secure, or it would be lost."""
    body = set_up(tmp_path)
    with Server(tmp_path) as server:
        browser = Browser(server.url)
        answer = browser.sign_in("owner@example.org", body["password"])
        words = browser.get("/organizations").words

    assert answer.status == 303
    assert "secure" not in answer.set_cookies["loadbell_session"].lower()
    assert "Acme Owner" in words


def _read_address(server: Server) -> list[str]:
    """What it prints on stdout after the line that it listens, until it has been stopped."""
    assert server.process.stdout is not None
    assert server.stop() == 0
    return server.process.stdout.read().splitlines()


def test_the_first_start_needs_what_serve_printed(tmp_path: Path) -> None:
    """Where others may reach it, /setup asks for the code on stdout, which stays the same; afterwards there is none.

    The address is of this machine only, but not known to be: what others reach can't be tried in a test.
    """
    far = ("serve", "--port", "0", "--host", "::ffff:127.0.0.1")
    body = {"organization": "Acme", "name": "Mara", "email": "owner@example.org", "password": "correct horse battery"}
    with Server(tmp_path, arguments=far) as server:
        (line,) = _read_address(server)
    with Server(tmp_path, arguments=far) as server:
        assert server.process.stdout is not None
        again = server.process.stdout.readline().strip()
        browser = Browser(server.url)
        refused = browser.post("/setup", body)
        answer = browser.post("/setup", {**body, "code": line.rpartition(" ")[2]})
    with Server(tmp_path, arguments=far) as server:
        afterwards = _read_address(server)
    again_by_command = run_loadbell(
        "setup", "--organization", "Acme", "--email", "eve@example.org", environment=server.environment
    )

    assert re.fullmatch(r"Setup code for the first start: [A-Z2-7]{4}(-[A-Z2-7]{4}){2}", line)
    assert line == again
    assert (refused.status, answer.status) == (422, 303)
    assert afterwards == []
    assert again_by_command.returncode == ExitCode.WRONG_STATE
    assert line.rpartition(" ")[2] not in server.log.read_text()


def test_on_this_machine_no_code_is_asked_for(tmp_path: Path) -> None:
    """Who sits at this machine may set it up; who comes by a proxy on it needs the code, which is printed for that."""
    body = {"organization": "Acme", "name": "Mara", "email": "owner@example.org", "password": "correct horse battery"}
    with Server(tmp_path) as server:
        browser, proxied = Browser(server.url), {"X-Forwarded-For": "203.0.113.9"}
        ours, theirs = browser.get("/setup"), browser.get("/setup", **proxied)
        refused = browser.post("/setup", body, **proxied)
        (line,) = _read_address(server)
    with Server(tmp_path) as server:
        page = Browser(server.url).post("/setup", {**body, "code": line.rpartition(" ")[2]}, **proxied)

    assert 'name="code"' not in ours.text
    assert 'name="code"' in theirs.text
    assert (refused.status, page.status) == (422, 303)


def _own_names() -> set[str]:
    return {name.lower() for name in (socket.getfqdn(), socket.gethostname())}


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_that_listens_everywhere_goes_by_its_machines_name(tmp_path: Path, host: str) -> None:
    """Links lead to the machine's own name, stderr says what to set, and it answers to its names and addresses only."""
    made = set_up(tmp_path)
    with Server(tmp_path, arguments=("serve", "--port", "0", "--host", host)) as server:
        port = urlsplit(server.url).port
        client = Client(f"http://127.0.0.1:{port}", made["token"])
        run = client.ok("POST", "/runs", {"name": "Checkout"})
        asked = {name: client.call("GET", "/runs", headers={"Host": name}).status for name in (
            f"127.0.0.1:{port}", f"localhost:{port}", urlsplit(run["url"]).netloc, f"{format_host(host)}:{port}",
            socket.gethostname(), "evil.example", f"evil.example:{port}", "203.0.113.9",
        )}  # fmt: skip
        log = server.log.read_text()

    assert server.url == f"http://{format_host(host)}:{port}"
    assert urlsplit(run["url"]).port == port
    assert urlsplit(run["url"]).hostname in _own_names()
    assert list(asked.values()) == [200] * 5 + [421] * 3
    assert "LOADBELL_BASE_URL" in log
    assert run["url"].partition("/runs/")[0] in log


def test_a_server_that_says_where_it_is_warns_of_nothing(tmp_path: Path) -> None:
    """With a base URL, links lead there, whatever it listens on, and other names of the machine are not its own."""
    body = set_up(tmp_path)
    settings = {"LOADBELL_BASE_URL": "https://bell.example.org", "LOADBELL_ALLOWED_HOSTS": "loadbell, bell.svc"}
    with Server(tmp_path, settings, arguments=("serve", "--port", "0", "--host", "0.0.0.0")) as server:
        client = Client(f"http://127.0.0.1:{urlsplit(server.url).port}", body["token"])
        run = client.ok("POST", "/runs", {"name": "Checkout"})
        asked = [client.call("GET", "/runs", headers={"Host": name}).status for name in (
            "bell.example.org", "loadbell:8025", "BELL.svc.", "localhost", socket.gethostname(), "svc", "a.bell.svc",
        )]  # fmt: skip
        log = server.log.read_text()

    assert run["url"] == f"https://bell.example.org/runs/{run['id']}"
    assert asked == [200, 200, 200, 200, 421, 421, 421]
    assert "LOADBELL_BASE_URL" not in log


def test_a_database_that_is_away_is_told_as_a_page() -> None:
    """503 with when to come back, in the words that a program gets."""
    away = refuse(Unavailable("The database does not answer. Try again soon."))
    page = error_page(RequestFactory().get("/"), away, "")

    assert page.status_code == 503
    assert "Retry-After" in page.headers
    assert "The database does not answer. Try again soon." in page.content


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [
        ("", "127.0.0.1"),  # the connection's other end
        ("10.9.9.9", "127.0.0.1"),  # which is no trusted proxy
        ("127.0.0.1", "198.51.100.7"),
        ("127.0.0.0/8,198.51.100.0/24", "192.0.2.1"),  # two proxies in a row
    ],
)
def test_only_a_trusted_proxy_tells_where_a_request_came_from(tmp_path: Path, trusted: str, seen: str) -> None:
    """The last address in X-Forwarded-For that is no trusted proxy's; the connection's own where none is trusted."""
    body = set_up(tmp_path)
    with Server(tmp_path, {"LOADBELL_TRUSTED_PROXIES": trusted}) as server:
        browser = Browser(server.url)
        form = browser.get("/login").hidden("csrf_token")
        fields = {"csrf_token": form, "email": "owner@example.org", "password": body["password"]}
        browser.send("POST", "/login", fields, {"X-Forwarded-For": "203.0.113.9, 192.0.2.1, 198.51.100.7"})
        words = browser.get("/account").words

    assert seen in words
    assert all(other not in words for other in {"127.0.0.1", "198.51.100.7", "192.0.2.1", "203.0.113.9"} - {seen})
