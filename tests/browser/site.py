"""A server for one test, with the providers' fakes beside it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadbell.testing import FakeHipChat, FakeSlack, ScriptedReceiver
from tests.support.server import Server


@dataclass(frozen=True)
class Site:
    """A running server and what it sends to."""

    url: str
    slack: FakeSlack
    hipchat: FakeHipChat
    receiver: ScriptedReceiver


@contextmanager
def running_site(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Site]:
    """A server on ``folder``; nobody has set it up unless that was done before."""
    slack = FakeSlack(per_second=1000, burst=1000)
    with slack, FakeHipChat() as hipchat, ScriptedReceiver() as receiver, Server(folder, environment) as server:
        yield Site(server.url, slack, hipchat, receiver)
