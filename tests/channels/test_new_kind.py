"""A new kind of channel is one file: in a copy of the code, a toy is added so, and all of loadbell knows it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import loadbell
from loadbell.channels import channel_types
from loadbell.testing import ScriptedReceiver
from tests.channels.conformance import FAKES
from tests.channels.conformance_verdicts import ANSWERS, STATUSES
from tests.support.server import Client, server_environment, set_up
from tests.web.browser import Browser

TOY = '''"""Toy: a channel that says the headline of what happened."""

from dataclasses import dataclass
from typing import ClassVar

from loadbell.channels.contract import ChannelType, Envelope, legacy_headers, setting
from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Outcome, Reason
from loadbell.domain.ids import Micros
from loadbell.domain.notices import Notice
from loadbell.outbound.messages import Message, Reply


@dataclass(frozen=True)
class ToySettings:
    """Where the toy stands."""

    url: str = setting("URL", "The address of the toy.", secret=True)
    color: str = setting("Color", "What the toy is painted in.", default="red")


class Toy(ChannelType[ToySettings]):
    """A toy."""

    kind: ClassVar[ChannelKind] = ChannelKind("toy_train")
    title: ClassVar[str] = "Toy Train"
    icon: ClassVar[str] = '<path d="M2 8h12"/>'
    section: ClassVar[int] = 9
    steps: ClassVar[tuple[str, ...]] = ("Wind up the toy.",)
    settings_type: ClassVar[type[ToySettings]] = ToySettings

    def render(self, settings: ToySettings, notice: Notice, envelope: Envelope) -> Message:
        """The headline and the color."""
        body = f"{settings.color}: {notice.headline}".encode()
        return Message("POST", settings.url, legacy_headers(envelope), body)

    def judge(self, reply: Reply, now: Micros) -> Outcome:
        """200 is fine."""
        return Outcome(Reason.OK, "The toy rang.") if reply.status == 200 else Outcome(Reason.HTTP_4XX, "It broke.")


CHANNEL = Toy()
'''


@contextmanager
def _serving(code: Path, data_dir: Path) -> Iterator[str]:
    """The URL of a server that runs the copy."""
    environment = {**server_environment(data_dir, None), "PYTHONPATH": str(code)}
    command = [sys.executable, "-m", "loadbell", "serve", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as one:
        assert one.stdout is not None
        try:
            yield one.stdout.readline().rpartition(" ")[2].strip()
        finally:
            one.terminate()


def test_a_new_kind_is_one_file(tmp_path: Path) -> None:
    """The API takes it and describes its settings, the page and the command line offer it, and its message arrives."""
    code = tmp_path / "code"
    shutil.copytree(Path(loadbell.__file__).parent, code / "loadbell", ignore=shutil.ignore_patterns("__pycache__"))
    (code / "loadbell" / "channels" / "toy.py").write_text(TOY, encoding="utf-8")
    made = set_up(tmp_path / "data")
    with _serving(code, tmp_path / "data") as url, ScriptedReceiver() as receiver:
        client = Client(url, made["token"])
        settings = {"url": receiver.url, "color": "blue"}
        path = f"/organizations/{made['organization_id']}/channels"
        channel = client.ok("POST", path, {"kind": "toy_train", "name": "Toy", "settings": settings})
        client.ok("POST", "/runs", {"name": "Checkout"})
        (request,) = receiver.wait_for(1)
        browser = Browser(url)
        browser.sign_in("owner@example.org", made["password"])
        page_path = f"/organizations/{made['organization_id']}/notifications"
        page = browser.get(page_path)
        tested = browser.post(f"{page_path}/toy_train/test", {"url": receiver.url, "color": "red"}, of=page_path)
        schemas = client.ok("GET", "//api/v1/openapi.json")["components"]["schemas"]
    command = [sys.executable, "-m", "loadbell", "channels", "add", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(code), "COLUMNS": "200"}
    shown = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout

    assert ("toy_train", "blue", "https" not in channel["settings"]["url"]) == (
        channel["kind"], channel["settings"]["color"], True,
    )  # fmt: skip
    assert request.body.startswith(b"blue: ")
    assert "test.started" == request.header("X-LoadImpact-Event")
    assert "toy_train" in schemas["Channel"]["properties"]["kind"]["enum"]
    assert "What the toy is painted in." == schemas["ToySettings"]["properties"]["color"]["description"]
    assert "toy_train" in shown
    assert "Toy Train URL" in page.words
    assert "The address of the toy." in page.words
    assert "Test delivered" in tested.words


@pytest.mark.parametrize("table", [FAKES, STATUSES, ANSWERS], ids=["FAKES", "STATUSES", "ANSWERS"])
def test_every_kind_has_its_row(table: dict[str, object]) -> None:
    """Whoever adds a kind is told where the conformance suite needs a line."""
    missing = set(channel_types()) - set(table)

    assert not missing, (
        f"{sorted(missing)}: add a fake to FAKES in tests/channels/conformance.py, and how it judges to STATUSES and "
        "ANSWERS in tests/channels/conformance_verdicts.py"
    )
