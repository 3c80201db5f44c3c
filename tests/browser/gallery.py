"""Goes through the pictures, in both widths and both themes, and tells what is wrong with each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from playwright.sync_api import Browser, Error

from tests.browser.looks import (
    access_issues,
    focus_issues,
    idle_buttons,
    issues_of_popovers,
    layout_issues,
    open_details,
    set_look,
)
from tests.browser.pictures import Picture
from tests.browser.sample import PASSWORD, Sample
from tests.browser.tab import THEMES, WIDTHS, Tab


class Gallery:
    """One server and a tab for each person who looks at it. ``folder``: where pictures are written, if at all."""

    def __init__(self, browser: Browser, sample: Sample, folder: Path | None = None) -> None:
        self.sample = sample
        self._browser = browser
        self._folder = folder
        self._tabs: dict[tuple[str | None, bool], Tab] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for tab in self._tabs.values():
            tab.close()

    def inspect(self, picture: Picture) -> list[str]:
        """What is wrong with it, each as a sentence that says in which look."""
        tab = self._tab(picture.who)
        tab.problems.clear()
        try:
            tab.go(picture.path(self.sample), status=picture.status)
            if picture.press:
                tab.page.get_by_role("button", name=picture.press).first.click()
        except (AssertionError, Error) as error:
            return [f"{picture.name}: {error}"]
        items = [f"{picture.name}: {problem}" for problem in tab.problems]
        # What follows puts styles of its own into the page, which the page's policy rightly refuses.
        items += [issue for width in WIDTHS for issue in self._inspect(tab, picture, width)]
        return items + [f"{picture.name}: {issue}" for issue in self._by_keyboard(tab)]

    def inspect_without_script(self, picture: Picture) -> list[str]:
        """What is wrong with it where JavaScript is off."""
        tab = self._tab(picture.who, script=False)
        tab.problems.clear()
        tab.go(picture.path(self.sample), status=picture.status)
        return [*tab.problems, *idle_buttons(tab.page)]

    def _inspect(self, tab: Tab, picture: Picture, width: int) -> Iterator[str]:
        for theme in THEMES:
            set_look(tab.page, width, theme)
            if self._folder is not None:
                path = self._folder / f"{picture.name}-{width}-{theme}.png"
                tab.page.screenshot(path=path, full_page=True)
        open_details(tab.page)
        # A theme changes colours only, so that the dark one is asked about those.
        body = {theme: self._issues(tab, width, theme) for theme in THEMES}
        for theme, issues in body.items():
            yield from (f"{picture.name}, {width} px, {theme}: {issue}" for issue in issues)

    def _issues(self, tab: Tab, width: int, theme: str) -> list[str]:
        set_look(tab.page, width, theme)
        if theme != THEMES[0]:
            return access_issues(tab.page, only=("color-contrast",))
        return [*layout_issues(tab.page), *access_issues(tab.page), *issues_of_popovers(tab.page)]

    def _by_keyboard(self, tab: Tab) -> list[str]:
        set_look(tab.page, WIDTHS[0], THEMES[0])
        return focus_issues(tab.page)

    def _tab(self, who: str | None, *, script: bool = True) -> Tab:
        if (who, script) not in self._tabs:
            opened = self._tabs[who, script] = Tab(self._browser, self.sample.url, script=script)
            if who is not None:
                opened.sign_in(who, PASSWORD)
        return self._tabs[who, script]
