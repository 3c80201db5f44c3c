"""``loadbell channels`` as a person calls it: real processes against a real server and real receivers."""

import json
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from loadbell.channels import channel_types
from loadbell.channels.reference import list_settings
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Role, Scope
from loadbell.domain.quotas import Quotas
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.api.site import ApiSite, served
from tests.cli.conftest import Ask
from tests.support.commands import Completed, loadbell

Call = Callable[..., Completed]


@pytest.fixture
def call(ask: Ask) -> Call:
    """Runs ``loadbell channels`` with the server's address and the owner's token."""
    return partial(ask, "channels")


def test_a_channel_from_its_beginning_to_its_end(site: ApiSite, call: Call, tmp_path: Path) -> None:
    """Add with secrets from a file and stdin, list, test, delete: each exits with 0 and says what it did."""
    with ScriptedReceiver() as receiver:
        (tmp_path / "url").write_text(f"{receiver.url}sentinel\n")
        words = ["--set", f"url=@{tmp_path / 'url'}", "--set", "headers.X-Team=a=b", "--set", "bearer_token=@-"]
        added = call("add", "--kind", "webhook", "--name", "Build room", *words, stdin="token-from-stdin\n")
        listed = call("list")
        tested = call("test", "1")
        (request,) = receiver.requests
        deleted = call("delete", "1")

    assert [(0, "")] * 4 == [(done.returncode, done.stderr) for done in (added, listed, tested, deleted)]
    assert added.stdout.startswith(f"Channel 1 added: http://127.0.0.1:{receiver.port}/…\nSigning secret")
    assert "whsec_" in added.stdout
    assert f"1  webhook  Build room  http://127.0.0.1:{receiver.port}/…  on\n" == listed.stdout
    assert "Delivered. The receiver answered 200 OK.\n" == tested.stdout
    assert ("/sentinel", "a=b", "Bearer token-from-stdin") == (
        request.path, request.header("X-Team"), request.header("Authorization"),
    )  # fmt: skip
    assert "Channel 1 deleted.\n" == deleted.stdout
    assert [] == site.client.ok("GET", f"/organizations/{site.ours.organization_id}/channels")["items"]
    assert "sentinel" not in added.stdout + listed.stdout + tested.stdout


def test_a_channel_for_failures(site: ApiSite, call: Call) -> None:
    """--only-failures makes it what the page calls Only failures; without it the channel hears everything."""
    words = ("--kind", "webhook", "--name", "n", "--set", "url=https://hooks.example.org/x", "--json")
    failures = json.loads(call("add", *words, "--only-failures").stdout)["subscription"]
    everything = json.loads(call("add", *words).stdout)["subscription"]

    assert (["test.finished"], True) == (failures.pop("events"), failures.pop("only_failures"))
    assert not any(failures.values())
    assert not any(everything.values())


def test_json_is_the_servers_own_answer(site: ApiSite, call: Call) -> None:
    """With --json stdout is one JSON object: the channel, the list, the delivery."""
    with ScriptedReceiver([respond(503, {}, b"later")]) as receiver:
        words = ("--kind", "webhook", "--name", "n", "--set", f"url={receiver.url}", "--json")
        added = json.loads(call("add", *words).stdout)
        tested = call("test", str(added["id"]), "--json")
    secret = added.pop("signing_secret")
    delivery = json.loads(tested.stdout)

    assert secret.startswith("whsec_")
    assert {"items": [added]} == json.loads(call("list", "--json").stdout)
    assert (1, "") == (tested.returncode, tested.stderr)
    assert ("failed", "http_5xx") == (delivery["status"], delivery["reason"])


def test_a_test_that_fails_tells_what_the_receiver_said(site: ApiSite, call: Call) -> None:
    """Exit code 1, the verdict as a sentence, and the receiver's own words, made fit for a terminal."""
    with ScriptedReceiver([respond(404, {}, b"no such\nroom\x1b[2J")]) as receiver:
        channel = site.channel(receiver.url)
        process = call("test", str(channel["id"]))

    assert 1 == process.returncode
    assert "Not delivered. The receiver answered 404 Not Found.\nResponse: no such room [2J\n" == process.stdout


def test_pausing_and_resuming(site: ApiSite, call: Call) -> None:
    """A paused channel is listed as such; resume lets it tell again."""
    channel = site.channel("https://hooks.example.org/x")
    number = str(channel["id"])

    assert (0, f"Channel {number} paused. Notifications are queued.\n") == _outcome(call("pause", number))
    assert "paused: " in call("list").stdout
    assert json.loads(call("list", "--json").stdout)["items"][0]["paused_reason"]
    assert 0 == call("resume", number, "--held", "drop").returncode
    assert json.loads(call("pause", number, "--json").stdout)["paused_reason"]
    process = call("resume", number)
    assert (0, f"Channel {number} resumed. Queued notifications are being sent.\n") == _outcome(process)
    assert site.client.ok("GET", f"/channels/{number}")["paused_reason"] is None


def test_a_waiting_channel(site: ApiSite, call: Call) -> None:
    """The list says since when, until when and why."""
    channel = site.channel("http://127.0.0.1:9/")
    until = 4_000_000_000 * SECOND
    site.sql(
        "UPDATE channels SET throttled_until = :until, throttled_since = :since, throttled_reason = 'Too much.'",
        until=until,
        since=until - 3600 * SECOND,
    )
    process = call("list")

    assert "waiting since 2096-10-02T06:06:40.000Z until 2096-10-02T07:06:40.000Z: Too much.\n" in process.stdout
    assert site.client.ok("GET", f"/channels/{channel['id']}")["waiting"] is not None


def test_every_page_is_listed(sqlite_store: str) -> None:
    """A list that is longer than a page of the server's is printed whole."""
    with served(sqlite_store, with_worker=False, quotas=Quotas(channels=205)) as site:
        for index in range(205):
            site.channel(f"https://{index}.example.org", site.client)
        process = loadbell("channels", "list", LOADBELL_URL=site.url, LOADBELL_TOKEN=site.ours.token)

    assert 205 == len(process.stdout.splitlines())


def test_no_channels(site: ApiSite, call: Call) -> None:
    """Nothing on stdout, and on stderr how to add one."""
    process = call("list")

    assert (0, "") == (process.returncode, process.stdout)
    assert "loadbell channels add" in process.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["add", "--kind", "webhook", "--name", "n", "--set", "url"],
        ["add", "--kind", "webhook", "--name", "n", "--set", "=x"],
        ["add", "--kind", "webhook", "--name", "n", "--set", "url=@/nowhere/at/all"],
        ["add", "--kind", "webhook", "--name", "n", "--set", "headers=x", "--set", "headers.X=1"],
        ["add", "--name", "n"],
        ["test"],
        ["test", "x"],
        ["delete", "0"],
        ["resume", "1", "--held", "burn"],
        ["nope"],
        [],
    ],
)
def test_wrong_usage(words: list[str]) -> None:
    """What can't be meant exits with 2 before a server is asked, and shows no stack trace."""
    process = loadbell("channels", *words, LOADBELL_URL="http://127.0.0.1:9", LOADBELL_TOKEN="lb_x")

    assert 2 == process.returncode
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("environment", "code", "said"),
    [
        ({}, 2, "LOADBELL_URL is not set"),
        ({"LOADBELL_URL": "http://127.0.0.1:9"}, 2, "LOADBELL_TOKEN is not set"),
        ({"LOADBELL_URL": "nowhere", "LOADBELL_TOKEN": "lb_x"}, 2, "LOADBELL_URL isn't a server's URL"),
        ({"LOADBELL_URL": "http://127.0.0.1:{port}", "LOADBELL_TOKEN": "lb_x"}, 3, "can't be reached"),
    ],
)
def test_without_a_server(environment: dict[str, str], code: int, said: str) -> None:
    """What the environment lacks is wrong usage; a server that is away is 3; one line says which."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    process = loadbell("channels", "list", **{name: value.format(port=port) for name, value in environment.items()})

    assert (code, "") == (process.returncode, process.stdout)
    (line,) = process.stderr.splitlines()
    assert line.startswith("loadbell: ")
    assert said in line
    assert "lb_x" not in line


def test_what_the_server_refuses(site: ApiSite, call: Call) -> None:
    """A wrong setting, a kind, an id or a token that is none, and a role that may not are 1, in the server's words."""
    ours = site.channel("https://hooks.example.org")
    theirs = site.channel("https://hooks.example.org", site.their_client)
    new = ("add", "--name", "n", "--kind")
    refused = {
        "settings.url": call(*new, "webhook", "--set", "url=http://10.0.0.1/"),
        "settings.colour": call(*new, "webhook", "--set", "url=https://a.example", "--set", "colour=red"),
        "kind": call(*new, "pigeon", "--set", "url=https://a.example"),
        f"no channel {theirs['id']}": call("delete", str(theirs["id"])),
        "LOADBELL_TOKEN": call("list", LOADBELL_TOKEN="lb_unknown"),
        "member": call("pause", str(ours["id"]), LOADBELL_TOKEN=site.token(role=Role.MEMBER)),
        "scope": call("list", LOADBELL_TOKEN=site.token(scope=Scope.REPORT)),
    }

    assert {1} == {process.returncode for process in refused.values()}
    assert {""} == {process.stdout for process in refused.values()}
    assert [] == [(word, process.stderr) for word, process in refused.items() if word not in process.stderr]


def test_the_help_names_every_setting_of_every_kind() -> None:
    """``add --help`` tells each kind's settings from their fields."""
    process = loadbell("channels", "add", "--help")

    assert (0, "") == (process.returncode, process.stderr)
    for kind in channel_types():
        for setting in list_settings(kind):
            assert f"{kind} {setting.name}" in process.stdout


@pytest.mark.parametrize("command", ["list", "add", "test", "pause", "resume", "delete"])
def test_each_command_explains_itself(command: str) -> None:
    """--help says what it does, on stdout."""
    process = loadbell("channels", command, "-h")

    assert (0, "") == (process.returncode, process.stderr)
    assert f"loadbell channels {command}" in process.stdout


def _outcome(done: Completed) -> tuple[int, str]:
    return done.returncode, done.stdout
