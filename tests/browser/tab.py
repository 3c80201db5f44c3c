"""
One tab of a real Chromium at our server, which notes whatever a careful developer would find in its tools.

Playwright's driver holds an event loop in its thread until it is closed, so that nothing else there may run one. Tests
therefore open Chromium for one module at most.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, sync_playwright

from tests.support.chromium import MISSING, find_chromium

WIDTHS = (1280, 390)
THEMES = ("light", "dark")
HEIGHT = 900
TIMEOUT_MS = 15_000

_TELL_REFUSED = """
document.addEventListener("securitypolicyviolation", (refused) =>
  console.error(`CSP: ${refused.violatedDirective} refused ${refused.blockedURI} at ${refused.sourceFile}`));
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium.

    Raises:
        FileNotFoundError: there is none here.
    """
    program = find_chromium()
    if program is None:
        raise FileNotFoundError(MISSING)
    # Chromium's own sandbox wants rights of the kernel that root in a container has not.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page in a context of its own: other cookies than any other tab's. ``problems`` is empty if all is well."""

    def __init__(self, browser: Browser, url: str, *, script: bool = True, width: int = 1280) -> None:
        self.url = url.rstrip("/")
        self.problems: list[str] = []
        self._expected: list[re.Pattern[str]] = []
        self.context: BrowserContext = browser.new_context(
            base_url=self.url,
            java_script_enabled=script,
            viewport={"width": width, "height": HEIGHT},
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )
        self.context.set_default_timeout(TIMEOUT_MS)
        self.context.add_init_script(_TELL_REFUSED)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self._note(f"script failed: {error}"))
        self.page.on("request", self._on_request)
        self.page.on("requestfailed", self._on_failure)

    def expect(self, pattern: str) -> None:
        """From now on a problem that matches ``pattern`` is none: the test causes it on purpose."""
        self._expected.append(re.compile(pattern))

    def go(self, path: str, *, status: int = 200) -> None:
        """Opens ``path``, which is answered with ``status`` after its redirects."""
        if status >= 400:
            self.expect(rf"status of {status} \(.*{re.escape(path.partition('?')[0])}")
        answer = self.page.goto(path)
        assert answer is not None, path
        assert status == answer.status, f"{path}: {answer.status}, {self.words()[:600]}"

    def words(self) -> str:
        """The text that a person reads."""
        return " ".join(self.page.inner_text("body").split())

    def sign_in(self, email: str, password: str) -> None:
        """Fills in the form at /login."""
        self.go("/login")
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/login" not in url)

    def close(self) -> None:
        """Closes it; what it has noted stays."""
        self.context.close()

    def _note(self, what: str) -> None:
        if not any(pattern.search(what) for pattern in self._expected):
            self.problems.append(what)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._note(f"console: {message.text} ({_place(message)})")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(f"{self.url}/"):
            self._note(f"asked another host: {request.url}")

    def _on_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left, and with it what it was still loading
            self._note(f"request failed: {request.method} {request.url}: {request.failure}")


def _place(message: ConsoleMessage) -> str:
    try:
        place: dict[str, Any] = dict(message.location)
    except Error:
        return "?"
    return str(place.get("url", "?"))
