"""``loadbell demo``: shows in half a minute, with a real load test, what loadbell does."""

import contextlib
import json
import signal
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from loadbell.cli.exits import Exit, GaveUp

if TYPE_CHECKING:
    from loadbell.cli.demo_show import Show
    from loadbell.cli.demo_stage import Stage
    from loadbell.testing.receiver import Received, ScriptedReceiver

_ARRIVAL_S, _LOGGED_S, _CALL_S = 15.0, 10.0, 30.0
_TICK_S = 0.05
_BY_SIGNAL = 128
_STARTED, _FINISHED = "test.started", "test.finished"


class _Left(BaseException):
    """The person wants to leave, or the system wants us to."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


def register(app: typer.Typer) -> None:
    """Adds ``demo`` to the program."""
    app.command()(demo)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the server up after the show, until Ctrl-C.")] = False,
) -> None:
    """See it work: a server, a receiver and a real Locust run on this machine, for half a minute."""
    from loadbell.cli.demo_stage import ENDING  # noqa: PLC0415 - only when the demo runs

    def leave(number: int, _: FrameType | None) -> NoReturn:
        for ending in ENDING:
            signal.signal(ending, signal.SIG_IGN)
        raise _Left(number)

    for number in ENDING:
        signal.signal(number, leave)
    try:
        _perform(keep=keep)
    except _Left as left:
        raise GaveUp("the demo was stopped; nothing is left of it.", _BY_SIGNAL + left.number) from None


def _perform(*, keep: bool) -> None:
    from loadbell.cli.demo_show import Show  # noqa: PLC0415 - only when the demo runs
    from loadbell.cli.demo_stage import Stage, find_locust, undisturbed  # noqa: PLC0415 - as above
    from loadbell.client.api import Refused, Unreachable  # noqa: PLC0415 - as above
    from loadbell.testing.receiver import ScriptedReceiver  # noqa: PLC0415 - as above

    locust = find_locust()
    show = Show()
    show.title("loadbell demo: a real Locust run rings a WebHook, all on this machine")
    with contextlib.ExitStack() as stack:
        with undisturbed():
            receiver = stack.enter_context(ScriptedReceiver())
        stage = stack.enter_context(Stage())
        news = _News(show, receiver)
        try:
            _add_channel(show, stage, receiver.url)
            news.tell("the Test Hook")
            _run_load_test(show, stage, news, locust)
            _prove(show, stage, news)
        except (Refused, Unreachable) as error:
            raise GaveUp("\n".join([f"the demo's server failed: {error}. Its log:", *stage.log("server")])) from None
        if keep:
            _stay(show, stage, news)
        else:
            _suggest(show)


class _News:
    """Tells of the requests that have come to the receiver, each one once."""

    def __init__(self, show: "Show", receiver: "ScriptedReceiver") -> None:
        self._show, self._receiver = show, receiver
        self._told = 0

    @property
    def told(self) -> "list[Received]":
        """What was told so far."""
        return self._receiver.requests[: self._told]

    def tell(self, when: str) -> None:
        """Prints what is new."""
        for received in self._receiver.requests[self._told :]:
            self._told += 1
            self._show.notification(received, when)

    def of_the_run(self) -> dict[str, dict[str, Any]]:
        """The bodies of the run's notifications, by their event."""
        events = {received.header("X-LoadImpact-Event"): received for received in self.told}
        return {name: json.loads(events[name].body) for name in (_STARTED, _FINISHED) if name in events}


def _add_channel(show: "Show", stage: "Stage", url: str) -> None:
    show.step(f"server at {stage.url}, on a temporary SQLite database")
    new = {"kind": "webhook", "name": "Demo receiver", "settings": {"url": f"{url}notifications"}}
    channel = stage.api.call("POST", f"/organizations/{stage.organization_id}/channels", new, timeout=_CALL_S)
    show.step(f"WebHook channel to a receiver at {url}")
    delivery = stage.api.call("POST", f"/channels/{channel['id']}/test", {}, timeout=_CALL_S)
    if delivery["status"] != "delivered":
        raise GaveUp(f"the Test Hook was not delivered: {delivery.get('message') or delivery['status']}")
    show.step("Test Hook: delivered")


def _run_load_test(show: "Show", stage: "Stage", news: _News, locust: Sequence[str]) -> None:
    show.title("$ loadbell wrap -- locust --headless -u 5 -r 5 -t 10s")
    began = time.monotonic()
    run = stage.start_load_test(list(locust))
    while run.poll() is None:
        news.tell(f"{time.monotonic() - began:.1f} s after the start")
        time.sleep(_TICK_S)
    ended = time.monotonic()
    while _FINISHED not in news.of_the_run() and time.monotonic() - ended < _ARRIVAL_S:
        news.tell(f"{time.monotonic() - began:.1f} s after the start")
        time.sleep(_TICK_S)
    if run.returncode != 0:
        raise GaveUp("\n".join([f"Locust ended with exit code {run.returncode}. Its output:", *stage.log("locust")]))
    show.title("What wrap said on stderr when Locust had ended")
    for line in stage.log("locust"):
        if line.startswith("loadbell: "):
            show.line(line)


def _prove(show: "Show", stage: "Stage", news: _News) -> None:
    bodies = news.of_the_run()
    missing = [name for name in (_STARTED, _FINISHED) if name not in bodies]
    if missing:
        log = [f"{' and '.join(missing)} did not arrive. The server's log:", *stage.log("server")]
        raise GaveUp("\n".join([*log, "What wrap and Locust wrote:", *stage.log("locust")]))
    run_ids = {body["load_test_run_id"] for body in bodies.values()}
    if len(run_ids) != 1:
        raise GaveUp(f"the notifications tell of different runs: {run_ids}")
    show.title("Delivery log")
    show.delivery_log(_deliveries(stage, run_ids.pop()))
    show.step(f"{_STARTED} and {_FINISHED} arrived; Locust made {stage.requests} requests")


def _deliveries(stage: "Stage", run_id: int) -> list[Mapping[str, Any]]:
    """The deliveries of a run with their attempts, oldest first, once the server has logged them as done."""
    deadline = time.monotonic() + _LOGGED_S
    while True:
        listed = stage.api.call("GET", f"/runs/{run_id}/deliveries", timeout=_CALL_S)["items"]
        done = all(delivery["status"] == "delivered" for delivery in listed)
        if done or time.monotonic() > deadline:
            return [stage.api.call("GET", f"/deliveries/{one['id']}", timeout=_CALL_S) for one in reversed(listed)]
        time.sleep(_TICK_S)


def _suggest(show: "Show") -> None:
    show.title("Next")
    show.line("loadbell demo --keep          the same, and the server stays for you to try")
    show.line("loadbell setup --help         make your own: setup, then serve")
    show.line("loadbell wrap -- k6 run x.js  and report any load test to it")


def _stay(show: "Show", stage: "Stage", news: _News) -> None:
    show.title("The server stays up until Ctrl-C. Try it from another terminal; what arrives is shown here")
    show.line(f"export LOADBELL_URL={stage.url} LOADBELL_TOKEN={stage.token}")
    show.line("loadbell wrap -- sleep 3")
    show.line('curl -H "Authorization: Bearer $LOADBELL_TOKEN" "$LOADBELL_URL/api/v1/runs"')
    try:
        while stage.serving:
            news.tell("just now")
            time.sleep(_TICK_S)
    except _Left:
        show.title("The demo is over; nothing is left of it.")
        return
    raise GaveUp("\n".join(["the demo's server has ended. Its log:", *stage.log("server")]), Exit.UNREACHABLE)
