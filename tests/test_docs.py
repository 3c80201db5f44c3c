"""The documentation says what the code does: settings, commands, routes, links, and each snippet that claims to run."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer
from standardwebhooks import WebhookVerificationError
from typer.core import TyperGroup

from loadbell import api, web
from loadbell.api import openapi
from loadbell.channels.contract import Envelope
from loadbell.channels.webhook import WebHook, WebHookSettings
from loadbell.cli.program import program
from loadbell.domain import events, notices
from loadbell.domain.deliveries import Reason
from loadbell.domain.runs import RunStatus
from loadbell.outbound.signing import new_secret
from loadbell.settings import DEFAULTS
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.support.pages import rewrite
from tests.support.snippets import MISSING, has_curl, run_page, runs, snippets
from tests.support.tree import ROOT, relative

TOLD = {
    "docs/api.md": {"test.notification_channel", "test.started", "test.finished"},
    "README.md": {"test.notification_channel", "test.started", "test.finished"},
}
"""The events that reach the receiver when a page's blocks are run."""

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _prose(text: str) -> str:
    """``text`` without its code blocks, in which a hash is no heading and brackets are no link."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchor(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _sections(text: str, level: str) -> dict[str, str]:
    """The text under each heading of ``level``, by the heading without its backticks."""
    parts = re.split(rf"^{level} (.+)$", text, flags=re.MULTILINE)
    return {title.strip("` "): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_every_setting_has_an_entry_and_nothing_else_has() -> None:
    """docs/settings.md has one entry for each setting of the code, and none for a setting that is gone."""
    assert set(_sections(_page("docs/settings.md"), "###")) == set(DEFAULTS)


@pytest.mark.parametrize("name", [name for name, default in DEFAULTS.items() if default])
def test_the_documented_default_is_the_real_one(name: str) -> None:
    """A default that can be written down is written down as it is."""
    assert f"Default: `{DEFAULTS[name]}`\n" in _sections(_page("docs/settings.md"), "###")[name]


def _options(command: Any) -> Iterator[str]:
    """The long options of a command, and of the commands that it has itself, which are words of their own."""
    yield from (flag for parameter in command.params for flag in parameter.opts if flag.startswith("--"))
    for name, inner in getattr(command, "commands", {}).items():
        yield name
        yield from _options(inner)


def _commands() -> dict[str, list[str]]:
    """Every command with its long options, as the program itself knows them."""
    command = typer.main.get_command(program())
    assert isinstance(command, TyperGroup)
    options = {name: list(_options(found)) for name, found in command.commands.items()}
    # wrap reads its own arguments: its help is where they stand.
    process = subprocess.run(
        [sys.executable, "-m", "loadbell", "wrap", "--help"], capture_output=True, text=True, check=True
    )
    options["wrap"] = sorted(set(re.findall(r"--[a-z][a-z-]+", process.stdout)))
    return {name: [flag for flag in flags if flag != "--help"] for name, flags in options.items()}


def test_every_command_and_option_is_described() -> None:
    """docs/cli.md has a section for each command, which names each of its options; and none for anything else."""
    described = {title.removeprefix("loadbell "): body for title, body in _sections(_page("docs/cli.md"), "##").items()}
    commands = _commands()

    assert set(described) == set(commands)
    missing = [(name, flag) for name, flags in commands.items() for flag in flags if f"`{flag}`" not in described[name]]
    assert missing == []


def test_the_settings_of_each_kind_are_described() -> None:
    """docs/channels.md has what the code says of each kind's steps, settings and rate; `make docs` writes it."""
    page = _page("docs/channels.md")

    assert page == rewrite(page)


def test_every_route_is_described() -> None:
    """docs/api.md names each method and path of the OpenAPI document, and none that is not in it."""
    described = set(re.findall(r"^\| `([A-Z]+ /[^ `]+)` \|", _page("docs/api.md"), flags=re.MULTILINE))

    document = json.loads(openapi.document(api._NOUNS.items(), "http://loadbell.example"))
    routes = {
        f"{method.upper()} {path.removeprefix(openapi.PREFIX)}"
        for path, methods in document["paths"].items()
        for method in methods
    }

    assert described == routes


def test_every_page_is_described() -> None:
    """docs/pages.md names the address of each page, and none that isn't there; what ids are called is left to it."""
    described = re.findall(r"^\| `(/[^ `]*)` \|", _page("docs/pages.md"), flags=re.MULTILINE)

    pages = {
        path
        for noun in web._NOUNS
        for handler in noun.HANDLERS
        if "GET" in handler.http_methods
        for path in handler.paths
        if not path.endswith("/live")  # what changes on a page
    }

    assert sorted(re.sub(r"{[^}]*}", "{}", path) for path in described) == sorted(
        re.sub(r"{[^}]*}", "{}", path) for path in pages
    )


def test_every_reason_and_status_is_described() -> None:
    """docs/delivery.md explains each reason an attempt can end with and each status a body can carry."""
    page = _page("docs/delivery.md")
    missing = [reason.value for reason in Reason if f"| `{reason.value}` |" not in page]
    missing += [status.text for status in RunStatus if f"| {status.value} | {status.text} |" not in page]

    assert missing == []


@pytest.mark.parametrize("page", [page for page in PAGES if runs(page)], ids=relative)
def test_what_a_page_tells_to_run_works(page: Path, tmp_path: Path) -> None:
    """The shell blocks of a page that are marked to run do, from top to bottom, against a real server and receiver."""
    if not has_curl() and "curl" in "".join(snippet.code for snippet in snippets(page)):
        pytest.skip(MISSING)
    with ScriptedReceiver([respond(200)]) as receiver:
        run_page(page, tmp_path, receiver.url)
        items = {request.header("X-LoadImpact-Event") for request in receiver.requests}

    assert items == TOLD.get(relative(page), set())


def test_the_documented_verification_accepts_us_and_nobody_else() -> None:
    """A receiver that copies the snippet takes what loadbell sends and refuses a body that was changed."""
    (snippet,) = [one for one in snippets(ROOT / "docs/delivery.md") if one.name == "verify"]
    namespace: dict[str, Any] = {}
    exec(compile(snippet.code, "docs/delivery.md", "exec"), namespace)
    secret = new_secret(os.urandom)
    envelope = Envelope(
        uuid4(), events.EventName.TEST_HOOK, 1, time.time_ns() // 1000, events.test_hook_payload(), (secret,)
    )
    message = WebHook().render(
        WebHookSettings("https://receiver.example"), notices.minimal_notice(events.EventName.TEST_HOOK, 0), envelope
    )

    assert namespace["receive"](secret, dict(message.headers), message.body) == {"event": "test.notification_channel"}
    with pytest.raises(WebhookVerificationError):
        namespace["receive"](secret, dict(message.headers), message.body.replace(b"test", b"tost"))


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to another page, and to a heading of one, leads there."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists():
            broken.append(target)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", _prose(linked.read_text(encoding="utf-8")), flags=re.MULTILINE)
            if anchor not in {_anchor(heading) for heading in headings}:
                broken.append(target)

    assert broken == []
