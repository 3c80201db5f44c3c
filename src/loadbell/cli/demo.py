"""``loadbell demo``: shows in half a minute, with a real load test, how loadbell works."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from loadbell.cli.errors import CommandError

if TYPE_CHECKING:
    from loadbell.cli.demo_show import Show
    from loadbell.cli.demo_stage import Stage
    from loadbell.testing import FakeHipChat, FakeSlack, ScriptedReceiver

T = TypeVar("T")

_ARRIVAL_S, _LOGGED_S, _CALL_S = 15.0, 10.0, 30.0
_BY_SIGNAL = 128
_STARTED, _FINISHED = "test.started", "test.finished"
_RUNS_NEWS = (_STARTED, _FINISHED)
_EVENT = "X-LoadImpact-Event"


def register(app: typer.Typer) -> None:
    """Adds ``demo`` to the program."""
    app.command()(demo)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the server running after the demo, until Ctrl-C.")] = False,
) -> None:
    """Run a 30-second demo: a real Locust run notifies a fake Slack, a fake HipChat and a WebHook on this machine."""
    from loadbell.cli.demo_show import Show  # noqa: PLC0415 - only when the demo runs
    from loadbell.cli.demo_stage import Deadline, DemoFailed, Stage, find_locust  # noqa: PLC0415 - as above
    from loadbell.testing import FakeHipChat, FakeSlack, ScriptedReceiver  # noqa: PLC0415 - as above

    locust = find_locust()
    show = Show()
    patience = Deadline()
    show.title("loadbell demo: a real Locust run notifies Slack, HipChat and a WebHook")
    show.line("Everything runs on this machine. Slack and HipChat are realistic fakes.")
    seen = False
    try:
        with ScriptedReceiver() as receiver, FakeSlack() as slack, FakeHipChat() as hipchat, Stage(patience) as stage:
            news = _Arrivals(show, receiver, slack, hipchat)
            _perform(show, stage, news, locust)
            seen = True
            if keep:
                _keep_running(show, stage, news)
    except DemoFailed as demo_failed:
        if not seen:
            raise CommandError(
                "the demo was stopped. All of its files and processes are gone.", _BY_SIGNAL + demo_failed.number
            ) from None
        show.title("The demo is over. All of its files and processes are gone.")
        return
    _suggest(show)


def _perform(show: "Show", stage: "Stage", news: "_Arrivals", locust: list[str]) -> None:
    from loadbell.client.api import Refused, Unreachable  # noqa: PLC0415 - only when the demo runs

    try:
        _add_channels(show, stage, news)
        _run_load_test(show, stage, news, locust)
        _verify(show, stage, news)
    except (Refused, Unreachable) as error:
        raise _failure(f"the demo's server failed: {error}. Its log:", stage.log("server")) from None


class _Arrivals:
    """Shows what the receiver, Slack and HipChat received, each message once."""

    def __init__(self, show: "Show", receiver: "ScriptedReceiver", slack: "FakeSlack", hipchat: "FakeHipChat") -> None:
        self._show, self._receiver, self._slack, self._hipchat = show, receiver, slack, hipchat
        self._shown_ids = {"slack": 0, "hipchat": 0, "webhook": 0}
        self.urls = {
            "slack": slack.webhook_url,
            "hipchat": hipchat.notification_url,
            "webhook": f"{receiver.url}notifications",
        }

    def show(self, when: str) -> None:
        """Prints new messages."""
        for message in self._new("slack", self._slack.posted):
            self._show.slack(message, when)
        for notification in self._new("hipchat", self._hipchat.posted):
            self._show.hipchat(notification, when)
        for received in self._new("webhook", self._receiver.requests):
            self._show.notification(received, when)

    def missing(self) -> list[str]:
        """The run's events that a kind of channel hasn't shown yet, for example ``slack test.finished``."""
        values = {"slack": self._slack, "hipchat": self._hipchat, "webhook": self._receiver}
        arrived = {
            kind: {received.header(_EVENT) for received in fake.requests[: self._shown_ids[kind]]}
            for kind, fake in values.items()
        }
        return [f"{kind} {event}" for kind in arrived for event in _RUNS_NEWS if event not in arrived[kind]]

    def run_ids(self) -> set[int]:
        """The runs that the WebHook's notifications are about."""
        requests = [received for received in self._receiver.requests if received.header(_EVENT) in _RUNS_NEWS]
        return {int(json.loads(received.body)["load_test_run_id"]) for received in requests}

    def _new(self, kind: str, come: Sequence[T]) -> Sequence[T]:
        new = come[self._shown_ids[kind] :]
        self._shown_ids[kind] += len(new)
        return new


def _add_channels(show: "Show", stage: "Stage", news: _Arrivals) -> None:
    show.step(f"server at {stage.url}, on a temporary SQLite database")
    for kind, url in news.urls.items():
        new = {"kind": kind, "name": f"Demo {kind}", "settings": {"url": url}}
        channel = stage.api.call("POST", f"/organizations/{stage.organization_id}/channels", new, timeout=_CALL_S)
        delivery = stage.api.call("POST", f"/channels/{channel['id']}/test", {}, timeout=_CALL_S)
        if delivery["status"] != "delivered":
            raise CommandError(
                f"the {kind} Test Hook wasn't delivered: {delivery.get('message') or delivery['status']}"
            )
        show.step(f"{kind} channel to {channel['settings']['url']} added; Test Hook: delivered")
        news.show("the Test Hook")


def _run_load_test(show: "Show", stage: "Stage", news: _Arrivals, locust: list[str]) -> None:
    show.title("$ loadbell wrap -- locust --headless -u 5 -r 5 -t 10s --csv load")
    began = time.monotonic()
    run = stage.start_load_test(locust)
    while run.poll() is None:
        news.show(f"{time.monotonic() - began:.1f} s after the start")
        stage.patience.wait()
    ended = time.monotonic()
    while news.missing() and time.monotonic() - ended < _ARRIVAL_S:
        news.show(f"{time.monotonic() - began:.1f} s after the start")
        stage.patience.wait()
    if run.returncode != 0:
        raise _failure(f"Locust ended with exit code {run.returncode}. Its output:", stage.log("locust"))
    show.title("Output of wrap on stderr after Locust ended")
    for line in stage.log("locust"):
        if line.startswith("loadbell: "):
            show.line(line)


def _verify(show: "Show", stage: "Stage", news: _Arrivals) -> None:
    if missing := news.missing():
        log = [*stage.log("server"), "Output of wrap and Locust:", *stage.log("locust")]
        raise _failure(f"{', '.join(missing)}: did not arrive. The server's log:", log)
    run_ids = news.run_ids()
    if len(run_ids) != 1:
        raise CommandError(f"the notifications are about different runs: {run_ids}")
    show.title("Delivery log")
    show.delivery_log(_deliveries(stage, run_ids.pop()))
    show.step(f"{_STARTED} and {_FINISHED} arrived everywhere; Locust made {stage.requests} requests")


def _deliveries(stage: "Stage", run_id: int) -> list[Mapping[str, Any]]:
    """The deliveries of a run with their attempts, oldest first, once the server has logged them as done."""
    deadline = time.monotonic() + _LOGGED_S
    while True:
        listed = stage.api.call("GET", f"/runs/{run_id}/deliveries", timeout=_CALL_S)["items"]
        done = all(delivery["status"] == "delivered" for delivery in listed)
        if done or time.monotonic() > deadline:
            return [stage.api.call("GET", f"/deliveries/{one['id']}", timeout=_CALL_S) for one in reversed(listed)]
        stage.patience.wait()


def _suggest(show: "Show") -> None:
    show.title("Next")
    show.line("loadbell demo --keep          repeat the demo and keep the server running")
    show.line("loadbell setup --help         set up your own server: setup, then serve")
    show.line("loadbell wrap -- k6 run x.js  report any load test to it")


def _keep_running(show: "Show", stage: "Stage", news: _Arrivals) -> NoReturn:
    show.title("The server runs until Ctrl-C. Try it from another terminal; messages are shown here")
    show.line(f"export LOADBELL_URL={stage.url} LOADBELL_TOKEN={stage.token}")
    show.line("loadbell wrap -- sleep 3")
    show.line('curl -H "Authorization: Bearer $LOADBELL_TOKEN" "$LOADBELL_URL/api/v1/runs"')
    while stage.serve:
        news.show("just now")
        stage.patience.wait()
    raise _failure("the demo's server stopped. Its log:", stage.log("server"))


def _failure(what: str, log: list[str]) -> CommandError:
    return CommandError("\n".join([what, *log]))
