"""The instruments of the browser tests see what they are there to see."""

from collections.abc import Iterator

import pytest

from loadbell.testing import ScriptedReceiver, respond
from loadbell.testing.receiver import Behaviour, Received
from tests.browser.conftest import OpenTab
from tests.browser.looks import (
    access_issues,
    focus_issues,
    idle_buttons,
    issues_of_popovers,
    layout_issues,
    set_look,
)
from tests.browser.tab import Tab

_PAGES = {
    "/fine": "<h1>Fine</h1><p>Text.</p><a href='/'>Home</a>",
    "/wide": "<h1>Wide</h1><p style='width: 700px'>Text.</p>",
    "/cut": "<h1>Cut</h1><p style='overflow: hidden; height: 1em; width: 4em'>Much too long for this.</p>",
    "/short": "<h1>Cut, and it says so</h1>"
    "<p style='overflow: hidden; white-space: nowrap; text-overflow: ellipsis; width: 4em'>Much too long.</p>",
    "/box": "<h1>Box</h1><div tabindex=0 style='overflow: auto; width: 9em'><pre>A line too long for it</pre></div>",
    "/pale": "<h1>Pale</h1><p style='color: #bbb; background: #fff'>Text.</p>",
    "/unnamed": "<h1>Unnamed</h1><input>",
    "/small": "<h1>Small</h1><button style='all: unset; font-size: 8px'>a</button><button style='all: unset; "
    "font-size: 8px'>b</button>",
    "/unmarked": "<h1>Unmarked</h1><a href='/' style='outline: none'>Home</a>",
    "/away": "<h1>Away</h1><a href='/' style='position: fixed; left: -99px'>Home</a>",
    "/idle": "<h1>Idle</h1><button type=button>Copy</button><form><button>Send</button></form>",
    "/menu": "<h1>Menu</h1><div id=menu popover><p style='width: 90vw; color: #bbb; background: #fff'>Text.</p></div>",
    "/thrown": "<h1>Thrown</h1><script>throw new Error('lost the thread')</script>",
    "/refused": "<h1>Refused</h1><p style='color: red'>Text.</p>",
    "/missing": "<h1>Missing</h1><img src='/nothing.png' alt=''>",
    "/outside": "<h1>Outside</h1><img src='http://127.0.0.1:1/x.png' alt=''>",
}
_STRICT = {"Content-Security-Policy": "default-src 'none'; img-src 'self'"}


def _answer(request: Received) -> Behaviour:
    page = _PAGES.get(request.path)
    if page is None:
        return respond(404, {"Content-Type": "text/plain"}, b"not here")
    head = "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>Page</title>"
    headers = {"Content-Type": "text/html", **(_STRICT if request.path == "/refused" else {})}
    return respond(200, headers, f"{head}<link rel=icon href='data:,'><body><main>{page}</main>".encode())


@pytest.fixture
def tab(open_tab: OpenTab) -> Iterator[Tab]:
    """A tab at a server whose pages are wrong on purpose."""
    with ScriptedReceiver(_answer) as server:
        opened = open_tab(server.url, width=390)
        yield opened
        opened.close()


def test_a_good_page_has_no_issue(tab: Tab) -> None:
    """There is nothing to find on a page that is well made."""
    tab.go("/fine")

    items = [*layout_issues(tab.page), *access_issues(tab.page), *issues_of_popovers(tab.page)]
    assert [] == [*items, *focus_issues(tab.page), *idle_buttons(tab.page)]


@pytest.mark.parametrize(
    ("path", "said"), [("/wide", "the page is 7"), ("/cut", "is cut"), ("/box", "scrolls sideways")]
)
def test_text_that_is_out_of_sight_is_found(tab: Tab, path: str, said: str) -> None:
    """A page or box that scrolls sideways, and text that a box cuts off."""
    tab.go(path)

    assert any(said in issue for issue in layout_issues(tab.page)), layout_issues(tab.page)


def test_an_ellipsis_is_no_cut(tab: Tab) -> None:
    """It says itself that there is more."""
    tab.go("/short")

    assert [] == layout_issues(tab.page)


@pytest.mark.parametrize(
    ("path", "rule"), [("/pale", "color-contrast"), ("/unnamed", "label"), ("/small", "target-size")]
)
def test_what_keeps_people_out_is_found(tab: Tab, path: str, rule: str) -> None:
    """Pale text, a field without a name, and buttons too small for a finger."""
    tab.go(path)

    assert any(issue.startswith(f"{rule}:") for issue in access_issues(tab.page)), access_issues(tab.page)


def test_what_is_folded_away_is_looked_at(tab: Tab) -> None:
    """A menu is opened for the look, and closed again."""
    tab.go("/menu")

    (text,) = issues_of_popovers(tab.page)
    assert text.startswith("in #menu: color-contrast")
    assert not tab.page.is_visible("#menu")


@pytest.mark.parametrize(("path", "said"), [("/unmarked", "doesn't show"), ("/away", "out of sight")])
def test_a_focus_that_nobody_sees_is_found(tab: Tab, path: str, said: str) -> None:
    """A link without its ring, and one beyond the window."""
    tab.go(path)

    assert any(said in issue for issue in focus_issues(tab.page))


def test_an_idle_button_is_found_where_script_is_off(open_tab: OpenTab) -> None:
    """A button outside of a form that nothing listens to; one that sends its form is not idle."""
    with ScriptedReceiver(_answer) as server:
        tab = open_tab(server.url, script=False)
        tab.go("/idle")

        assert ["the button “Copy” does nothing without script"] == idle_buttons(tab.page)
        tab.close()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/thrown", "script failed: lost the thread"),
        ("/refused", "CSP: style-src-attr refused inline"),
        ("/missing", "status of 404"),
        ("/outside", "asked another host: http://127.0.0.1:1/x.png"),
    ],
)
def test_a_tab_notes_what_went_wrong(tab: Tab, path: str, said: str) -> None:
    """A script that fails, a style that the policy refuses, a picture that is not there or comes from outside."""
    tab.go(path)
    for _ in range(600):  # the browser tells in its own time
        if any(said in problem for problem in tab.problems):
            break
        tab.page.wait_for_timeout(50)
    items, tab.problems = tab.problems, []

    assert any(said in problem for problem in items), items


def test_a_tab_does_not_note_what_is_expected(tab: Tab) -> None:
    """The page that a test asks for and is not there."""
    tab.expect("favicon")
    tab.go("/nothing", status=404)

    assert [] == tab.problems


def test_the_looks_are_of_that_width_and_theme(tab: Tab) -> None:
    """The page is laid out for the window that was asked for, and told of a system in dark."""
    tab.go("/fine")
    set_look(tab.page, 1280, "dark")

    assert [1280, True] == tab.page.evaluate("[innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]")
