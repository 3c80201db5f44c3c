"""The secret in a channel's URL is kept: a real server, and a receiver that answers with the URL itself."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from loadbell.channels import channel_types
from loadbell.domain.channels import ChannelKind
from loadbell.testing import Behaviour, Received, ScriptedReceiver, respond
from tests.support.server import Client, Server, set_up, wait_until

SECRET_PATH = "services/TSENTINEL1/BSENTINEL2/v2/room/sentinel3/notification?auth_token=sentinel4&x=%73entinel5"
STATUSES = (200, 204, 302, 400, 401, 403, 404, 410, 429, 500)

FORMS = {
    "text": "URL",
    "Slack's JSON": '{"ok": false, "error": "URL"}',
    "Slack's word": "sentinel3",
    "HipChat's JSON": '{"error": {"code": 400, "type": "URL", "message": "No room at URL"}}',
    "any provider's code": '{"error": {"code": "sentinel4", "message": "URL"}, "code": "sentinel4"}',
    "any provider's errors": '{"errors": [{"code": "sentinel4", "message": "URL"}], "detail": "URL", "type": "URL"}',
    "HipChat's word": '{"error": {"code": 400, "type": "x", "message": "Bad token sentinel4"}}',
}
"""The ways in which a server could say the URL back."""


@dataclass
class Site:
    """A server with one organization; all that it ever answered is kept."""

    client: Client
    organization_id: int
    said: list[bytes] = field(default_factory=list)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer, which is kept, its headers too."""
        answer = self.client.call(method, path, body)
        self.said += [answer.body, repr(answer.headers).encode()]
        return answer.json if answer.body else None


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps its database and its log."""
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(scope="module")
def site(data_dir: Path) -> Iterator[Site]:
    """A real server process whose deliveries are tried twice."""
    body = set_up(data_dir)
    with Server(data_dir, {"LOADBELL_RETRY_SCHEDULE": "10ms", "LOADBELL_LOG_FORMAT": "json"}) as server:
        yield Site(Client(server.url, body["token"]), body["organization_id"])


@pytest.mark.parametrize("kind", channel_types())
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_receiver_that_echoes_the_url_makes_it_known_to_nobody(
    site: Site, data_dir: Path, kind: ChannelKind, form: str
) -> None:
    """No answer of the API, no row and no line of the log holds the secret, whatever the receiver says and however.

    The files are searched while the server runs: database, journal and log.
    """
    statuses = itertools.chain(STATUSES, [200], itertools.cycle([403, 410]))  # the last ones pause it

    def echo(request: Received) -> Behaviour:
        status = next(statuses)
        url = f"http://127.0.0.1{request.path}"
        body = b"" if status == 204 else form.replace("URL", url).encode()
        return respond(status, {"Location": url, "X-Echo": "TSENTINEL1", "X-sentinel4": "1"}, body)

    with ScriptedReceiver(echo) as receiver:
        settings = {"url": f"{receiver.url}{SECRET_PATH}"}
        channels = f"/organizations/{site.organization_id}/channels"
        made = site.call("POST", channels, {"kind": kind, "name": "c", "settings": settings})
        channel = made["id"]
        for _ in STATUSES:
            site.call("POST", f"/channels/{channel}/test")
        site.call("POST", f"{channels}/test", {"kind": kind, "settings": settings})
        run = site.call("POST", "/runs", {"name": "r"})
        site.call("PATCH", f"/runs/{run['id']}", {"status": 3})
        wait_until(lambda: site.call("GET", f"/channels/{channel}")["paused_reason"] is not None)
        site.call("PATCH", f"/channels/{channel}", {"settings": {"url": f"ftp://{SECRET_PATH}"}})
        for path in (channels, f"/organizations/{site.organization_id}/deliveries"):
            site.call("GET", path)
        for delivery in site.call("GET", f"/channels/{channel}/deliveries")["items"]:
            site.call("GET", f"/deliveries/{delivery['id']}")
        site.call("DELETE", f"/channels/{channel}")

    assert len(receiver.requests) > len(STATUSES)
    assert [] == [answer for answer in site.said if b"sentinel" in answer.lower()]
    files = [path for path in data_dir.rglob("*") if path.is_file()]
    assert {"loadbell.sqlite3", "server.log"} <= {path.name for path in files}
    assert [] == [path.name for path in files if b"sentinel" in path.read_bytes().lower()]
