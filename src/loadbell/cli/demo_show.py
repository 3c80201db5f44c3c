"""What ``loadbell demo`` prints: plain text off a terminal, colors readable on dark and light on one."""

import html
import json
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadbell.testing.hipchat import readable
from loadbell.testing.receiver import Received

_WIDTH = 76
_SLACK_LINK = re.compile(r"<([^<|>]+)\|([^<>]*)>")  # as Slack's markup writes a link


class Show:
    """Prints the demo on stdout."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)
        self._console = Console(highlight=False, markup=False, emoji=False)

    def title(self, text: str) -> None:
        """A heading."""
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def step(self, text: str) -> None:
        """A completed step."""
        self._console.print(Text.assemble(("ok  ", "bold green"), text), soft_wrap=True)

    def line(self, text: str = "") -> None:
        """An unwrapped line, so that it can be copied."""
        self._console.print(Text(text), soft_wrap=True)

    def notification(self, received: Received, when: str) -> None:
        """A request as the receiver got it."""
        self.title(f"<- WebHook, {received.header('X-LoadImpact-Event') or 'a request'}, {when}")
        self.line(f"  {received.method} {received.path} HTTP/1.1")
        for name, value in received.headers:
            self._console.print(Text.assemble("  ", (name, "bold"), f": {value}"), soft_wrap=True)
        self.line()
        for text in _readable(received.body).splitlines():
            self.line(f"  {text}")

    def slack(self, message: Mapping[str, Any], when: str) -> None:
        """A message as people read it in Slack."""
        text = _SLACK_LINK.sub(r"\2: \1", str(message["text"]))
        self._message("Slack", html.unescape(text), when)

    def hipchat(self, notification: Mapping[str, Any], when: str) -> None:
        """A notification as people read it in HipChat."""
        self._message(f"HipChat, in {notification['color']}", readable(notification), when)

    def _message(self, place: str, text: str, when: str) -> None:
        self.title(f"<- {place}, {when}")
        for line in text.splitlines():
            for part in textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False) or [""]:
                self.line(f"  {part}")

    def delivery_log(self, deliveries: Sequence[Mapping[str, Any]]) -> None:
        """The attempts of these deliveries, as logged by the server."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in ("event", "channel", "delivery", "attempt", "at (UTC)", "took", "response"):
            table.add_column(heading, justify="right" if heading in {"attempt", "took"} else "left", no_wrap=True)
        for delivery in deliveries:
            for attempt in delivery["attempts"]:
                table.add_row(
                    delivery["event"],
                    delivery["kind"],
                    delivery["status"],
                    str(attempt["number"]),
                    str(attempt["started_at"])[11:23],
                    f"{attempt['duration_ms']:.0f} ms",
                    f"{attempt['status_code'] or ''} {attempt['reason']}".strip(),
                )
        self._console.print(table)


def _readable(body: bytes) -> str:
    """``body``, indented if it is JSON."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode("utf-8", "replace")
