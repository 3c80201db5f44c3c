"""How lists are printed: to people at a terminal, to pipes, and times as people say them."""

import time

import pytest
import typer

from loadbell.cli.tables import format_time
from loadbell.cli.times import parse_future_time, parse_past_time
from loadbell.domain.ids import SECOND, rfc3339
from tests.api.site import ApiSite
from tests.cli.conftest import Ask
from tests.support.commands import loadbell_at_terminal

LONG = "A room with a very long name " * 6


def test_a_terminal_cuts_what_a_pipe_keeps(site: ApiSite, ask: Ask) -> None:
    """A row longer than the terminal ends with an ellipsis at its edge; in a pipe it is whole."""
    site.channel("https://hooks.example.org", name=LONG.strip())
    environment = {"LOADBELL_URL": site.url, "LOADBELL_TOKEN": site.ours.token}
    at_terminal = loadbell_at_terminal("channels", "list", typed="", columns=60, environment=environment)

    assert (0, "") == (at_terminal.returncode, at_terminal.stderr)
    (line,) = at_terminal.stdout.splitlines()
    assert (60, "1  webhook  A room", "…") == (len(line), line[:18], line[-1])
    assert LONG.strip() in ask("channels", "list").stdout


def test_nothing_of_the_server_moves_the_cursor(site: ApiSite, ask: Ask) -> None:
    """Control characters in a name are spaces on the screen."""
    site.channel("https://hooks.example.org", name="Room\x1b[2J\nsecond line\x9b2J")

    (line,) = ask("channels", "list").stdout.splitlines()
    assert "Room [2J second line 2J" in line


@pytest.mark.parametrize(
    ("away", "said"),
    [(0, "just now"), (-3700, "1 h 2 min ago"), (90 * 86_400 + 60, "in 90 d"), (-86_400 * 3, "3 d ago")],
)
def test_times_are_said_as_people_say_them(away: int, said: str) -> None:
    """How long ago, or in how long, in the two largest units."""
    assert said == format_time(rfc3339(time.time_ns() // 1000 + away * SECOND))


@pytest.mark.parametrize("text", ["2026-12-31T00:00:00Z", "2026-12-31T00:00:00.5+02:00"])
def test_a_moment_is_handed_on_as_it_was_written(text: str) -> None:
    """An exact moment goes to the server in the user's own words."""
    assert (text, text) == (parse_future_time(text, "--expires"), parse_past_time(text, "--since"))


def test_a_span_counts_from_now() -> None:
    """A duration means so long from now, or so long ago; nothing given is no limit."""
    assert "in 90 d" == format_time(parse_future_time("90d", "--expires") or "")
    assert "1 d ago" in format_time(parse_past_time("24h", "--since") or "")
    assert (None, None) == (parse_future_time(None, "--expires"), parse_past_time(None, "--since"))


@pytest.mark.parametrize("text", ["", "soon", "90", "2026-12-31T00:00:00", "-1d", "99999d", "1" * 400 + "d"])
def test_what_is_no_moment_is_wrong_usage(text: str) -> None:
    """A moment needs a time zone, a duration a unit; both have to be writable."""
    with pytest.raises(typer.BadParameter, match="2026-12-31T00:00:00Z"):
        parse_future_time(text, "--expires")
