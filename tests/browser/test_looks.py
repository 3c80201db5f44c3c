"""Every page, wide and narrow, light and dark: nothing is cut, nothing scrolls sideways, everybody can use it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.gallery import Gallery
from tests.browser.pictures import FIRST_START, NO_PICTURE, PICTURES, Picture, page_of, routes, there
from tests.browser.sample import empty_server, sample_server


@pytest.fixture(scope="module")
def gallery(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """The filled server, seen by its people."""
    with sample_server(tmp_path_factory.mktemp("sample")) as sample, Gallery(browser, sample) as seen:
        yield seen


_THERE = there(PICTURES)


@pytest.mark.parametrize("picture", _THERE, ids=lambda one: one.name)
def test_a_page_is_whole_and_everybody_can_use_it(gallery: Gallery, picture: Picture) -> None:
    """No text is cut, nothing scrolls sideways, axe-core sees nothing serious, the browser's console stays empty.

    Going through it by keyboard, one sees where one is.
    """
    assert [] == gallery.inspect(picture)


@pytest.mark.parametrize("picture", _THERE, ids=lambda one: one.name)
def test_no_button_of_a_page_is_idle_without_script(gallery: Gallery, picture: Picture) -> None:
    """Where JavaScript is off, what can be pressed does something."""
    assert [] == gallery.inspect_without_script(picture)


@pytest.mark.parametrize("picture", there(FIRST_START), ids=lambda one: one.name)
def test_the_first_pages_of_all_are_whole(browser: Browser, tmp_path: Path, picture: Picture) -> None:
    """The same of what a new server shows."""
    with empty_server(tmp_path) as nothing, Gallery(browser, nothing) as seen:
        assert [] == seen.inspect(picture)


def test_every_page_has_a_picture() -> None:
    """Nobody adds a page without looking at it: each address of the router is among the pictures."""
    patterns = routes()
    pictured = {page_of(picture, patterns) for picture in (*PICTURES, *FIRST_START)}

    assert set() == patterns - pictured, f"add them to {Picture.__module__}, or say there why not: {NO_PICTURE}"


def test_pictures_have_names_of_their_own() -> None:
    """No picture is written over another."""
    names = [picture.name for picture in (*PICTURES, *FIRST_START)]

    assert sorted(set(names)) == sorted(names)
