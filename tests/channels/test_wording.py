"""Text from outside on its way to people: harmless, on one line, and cut where it shows."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.channels.wording import length, readable, truncate, verdicts
from loadbell.domain.runs import Threshold


def escape(text: str) -> str:
    """As most providers want it."""
    return html.escape(text, quote=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Checkout", "Checkout"),
        (" a \r\n b\t\u2028c\u3000", "a b c"),
        ("a\x00b\x1b[31m", "a\ufffdb\ufffd[31m"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("\u05d0\u200f!\u2066x\u2069\u061c", "\u05d0!x"),
        ("a\ud800b\uffff", "a\ufffdb\ufffd"),
        ("\U0001f469\u200d\U0001f467 \u2764\ufe0f \U0001d538", "\U0001f469\u200d\U0001f467 \u2764\ufe0f \U0001d538"),
        (" \n\u200f", ""),
    ],
)
def test_what_would_mislead_is_made_harmless(text: str, shown: str) -> None:
    """White space is one space, direction marks go, other control characters show; emoji and letters stay."""
    assert shown == readable(text)


@given(st.text(st.characters()))
def test_a_readable_text_can_be_sent(text: str) -> None:
    """Whatever it was, it is valid UTF-8 on one line, and making it readable again changes nothing."""
    shown = readable(text)

    assert shown == shown.encode().decode()
    assert len(shown.splitlines()) <= 1
    assert shown == readable(shown)


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        ("abcd", 5, "abcd"),
        ("abcd", 4, "abcd"),
        ("abcd", 3, "ab…"),
        ("abcd", 1, "…"),
        ("", 1, ""),
        ("a&b", 7, "a&amp;b"),
        ("a&b", 6, "a…"),
        ("a&bc", 7, "a&amp;…"),
        ("ab \U0001f469\u200d\U0001f467", 7, "ab \U0001f469…"),
        ("\U0001d538\U0001d538", 4, "\U0001d538\U0001d538"),
        ("\U0001d538\U0001d538", 3, "\U0001d538…"),
    ],
)
def test_a_text_is_cut_where_it_shows(text: str, room: int, shown: str) -> None:
    """At the limit nothing is cut; above it "…" says so; no escape, surrogate pair or joined emoji is left half."""
    assert shown == truncate(text, room, escape)


@given(st.text(st.sampled_from("a&<\u200d \U0001d538")), st.integers(1, 30))
def test_a_cut_text_fits_and_begins_as_the_whole(text: str, room: int) -> None:
    """It is never longer than its room, whole if that fits, and otherwise the beginning of the text and "…"."""
    shown = truncate(text, room, escape)

    assert length(shown) <= room
    if length(escape(text)) <= room:
        assert shown == escape(text)
    else:
        assert shown.endswith("…")
        assert text.startswith(html.unescape(shown.removesuffix("…")))


def test_a_threshold_that_measured_nothing_has_no_tick() -> None:
    """It has neither held nor been crossed; one that the tool calls crossed stays so."""
    empty = Threshold("http_req_duration: p(95)<1", ok=True, is_empty=True)

    assert ["\u2013 http_req_duration: p(95)<1 — nothing was measured"] == verdicts([empty], 5, 100)
    assert ["✗ x"] == verdicts([Threshold("x", ok=False, is_empty=True)], 5, 100)
