"""``loadbell listen``: a local receiver that shows what arrives, or a fake Slack or HipChat."""

import contextlib
import html
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from loadbell.cli.errors import CommandError
from loadbell.cli.values import HOW, read_value

if TYPE_CHECKING:
    from loadbell.cli.forward import ForwardResult
    from loadbell.testing import FakeHipChat, FakeSlack, Received, ScriptedReceiver

PORT = 8026
"""The port next to that of ``loadbell serve``."""

Kind = Literal["webhook", "slack", "hipchat"]

_TITLES: dict[Kind, str] = {"webhook": "WebHook", "slack": "Slack", "hipchat": "HipChat"}
_VALUE_SHOWN = frozenset({"content-type", "webhook-timestamp"})
_SHOWN_ELSEWHERE = frozenset({"content-length", "host", "user-agent", "webhook-id"})


@dataclass(frozen=True)
class ReceivedEvent:
    """One request and its result, as text and for the JSON output."""

    request: "Received"
    text: str | None = None  #: the readable text, if the message is for people
    words: str = ""
    became: Mapping[str, Any] = field(default_factory=dict)


Arrivals = SimpleQueue[ReceivedEvent | None]
"""Events to show; None ends the command. A signal handler may call its ``put``."""


def register(app: typer.Typer) -> None:
    """Adds ``listen`` to the program."""
    app.command()(listen)


def listen(
    port: Annotated[int, typer.Option(help="The port to listen on; 0 picks a free one.", min=0, max=65535)] = PORT,
    forward_to: Annotated[
        str | None,
        typer.Option(metavar="URL", help=f"Forward each request to URL and return its response. For URL, {HOW}"),
    ] = None,
    kind: Annotated[
        Kind,
        typer.Option("--as", help="What to run: a plain receiver, or a fake Slack or HipChat that validates messages."),
    ] = "webhook",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per request.")] = False,
) -> None:
    """Show what a channel sends, on this machine, until Ctrl-C."""
    arrivals: Arrivals = SimpleQueue()
    receiver = _receiver(kind, port, forward_to, arrivals)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: arrivals.put(None))
    with contextlib.ExitStack() as ending:
        try:
            ending.enter_context(receiver)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise CommandError(f"can't listen on port {port}: {why}. Choose another port with --port.") from None
        try:
            _announce(receiver, kind, sys.stderr if as_json else sys.stdout)
            while (arrival := arrivals.get()) is not None:
                print(_to_json(arrival) if as_json else _to_text(arrival), flush=True)
        except BrokenPipeError:  # whoever read has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _receiver(kind: Kind, port: int, forward_to: str | None, arrivals: Arrivals) -> "ScriptedReceiver":
    from loadbell.testing import FakeHipChat, FakeSlack, ScriptedReceiver  # noqa: PLC0415 - only when it listens
    from loadbell.testing.hipchat import readable  # noqa: PLC0415 - as above

    if forward_to is not None:
        try:
            url = read_value(forward_to)
        except ValueError as error:
            raise typer.BadParameter(f"the file can't be read: {error}", param_hint="--forward-to") from None
        return ScriptedReceiver(_make_receiver(kind, url, arrivals), port=port)
    if kind == "slack":
        slack = FakeSlack(port=port)
        slack.watch(_make_fake(slack, _summarize_slack, arrivals))
        return slack
    if kind == "hipchat":
        hipchat = FakeHipChat(port=port)
        hipchat.watch(_make_fake(hipchat, readable, arrivals))
        return hipchat
    plain = ScriptedReceiver(port=port)
    plain.watch(lambda request: arrivals.put(ReceivedEvent(request)))
    return plain


def _make_receiver(kind: Kind, url: str, arrivals: Arrivals) -> "Callable[[Received], Any]":
    from loadbell.cli.forward import make_forwarder  # noqa: PLC0415 - only when it forwards

    if kind != "webhook":
        raise typer.BadParameter("A fake can't forward. Remove --as or --forward-to.")

    def done(request: "Received", forwarded: "ForwardResult") -> None:
        words = f"forwarded: no response ({forwarded.error}), returned 502"
        if forwarded.error is None:
            words = f"forwarded: returned {forwarded.status}"
        values = {"status": forwarded.status, "error": forwarded.error}
        arrivals.put(ReceivedEvent(request, words=words, became={"forwarded": values}))

    try:
        return make_forwarder(url, done)
    except ValueError as error:
        raise typer.BadParameter(f"This is {error}.", param_hint="--forward-to") from None


def _make_fake(
    fake: "FakeSlack | FakeHipChat", readable: Callable[[Mapping[str, Any]], str], arrivals: Arrivals
) -> "Callable[[Received], None]":
    """Records the result of each request to ``fake``, which handles one at a time."""
    counted = [0, 0]

    def seen(request: "Received") -> None:
        posted, refused = fake.posted, fake.refused
        taken, code = len(posted) > counted[0], refused[-1] if len(refused) > counted[1] else None
        counted[:] = len(posted), len(refused)
        words = "accepted" if taken else f"rejected: {code}" if code else "nothing posted"
        text = readable(posted[-1]) if taken else None
        arrivals.put(ReceivedEvent(request, text, words, {"taken": taken, "refused": code, "text": text}))

    return seen


def _announce(receiver: "ScriptedReceiver", kind: Kind, out: TextIO) -> None:
    """Prints how to send something here."""
    url = getattr(receiver, {"slack": "webhook_url", "hipchat": "notification_url"}.get(kind, "url"))
    lines = (
        f"loadbell is listening on {receiver.url.rstrip('/')}",
        f"Paste this URL into a {_TITLES[kind]} channel: {url}",
        "To let the server send here, start it with LOADBELL_ALLOWED_NETWORKS=127.0.0.0/8.",
        "Press Ctrl-C to stop.",
    )
    print("\n".join(lines), file=out, flush=True)


def _summarize_slack(message: Mapping[str, Any]) -> str:
    """The message's text as Slack shows it, with the address of each link behind its name."""
    return html.unescape(re.sub(r"<(https?://[^<|>]+)\|([^<>]*)>", r"\2: \1", message.get("text", "")))


def _to_json(arrival: ReceivedEvent) -> str:
    request = arrival.request
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        body = request.body.decode("utf-8", "replace")
    values = {
        "at": _format_time(request).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "event": request.header("X-LoadImpact-Event"),
        "id": request.header("X-LoadImpact-ID"),
        "method": request.method,
        "path": request.path,
        "headers": request.headers,
        "body": body,
        **arrival.became,
    }
    return json.dumps(values)


def _to_text(arrival: ReceivedEvent) -> str:
    """Two header lines, then the readable text or the body, then the result."""
    request = arrival.request
    event = request.header("X-LoadImpact-Event") or "a request from another sender"
    head = f"{_format_time(request):%H:%M:%S} UTC  {event}  {request.header('X-LoadImpact-ID') or ''}"
    content = arrival.text if arrival.text is not None else _pretty(request.body)
    items = [f"{request.method} {request.path.partition('?')[0]}  {_summarize(request)}", "", *content.splitlines()]
    if arrival.words:
        items += ["", f"-> {arrival.words}"]
    return "\n".join(["", _printable(head).rstrip(), *(f"  {_printable(line)}".rstrip() for line in items)])


def _summarize(request: "Received") -> str:
    """The relevant headers; values only of those that can't be secret."""
    shown = []
    for name, value in request.headers:
        lowered = name.lower()
        if lowered in _VALUE_SHOWN:
            shown.append(f"{name}: {value}")
        elif lowered not in _SHOWN_ELSEWHERE and not lowered.startswith("x-loadimpact-"):
            shown.append(name)
    return ", ".join(shown)


def _pretty(body: bytes) -> str:
    """``body``, indented if it is JSON."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _printable(line: str) -> str:
    """``line`` without control characters for the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def _format_time(request: "Received") -> datetime:
    return datetime.fromtimestamp(request.arrived_at / 1_000_000, UTC)
