"""The pages of ``loadbell serve`` itself, and of a server in trouble."""

from pathlib import Path

from litestar.testing import RequestFactory

from loadbell.domain.errors import Unavailable
from loadbell.entry.problems import refuse
from loadbell.web.page import error_page
from tests.support.server import Server, set_up
from tests.web.browser import Browser


def test_the_first_owner_signs_in_over_plain_http(tmp_path: Path) -> None:
    """Setup prints a password that opens the pages; without HTTPS the cookie is not Secure, or it would be lost."""
    made = set_up(tmp_path)
    with Server(tmp_path) as server:
        browser = Browser(server.url)
        answer = browser.sign_in("owner@example.org", made["password"])
        words = browser.get("/").words

    assert answer.status == 303
    assert "secure" not in answer.set_cookies["loadbell_session"].lower()
    assert "Acme Owner" in words


def test_a_database_that_is_away_is_told_as_a_page() -> None:
    """503 with when to come back, in the words that a program gets."""
    page = error_page(RequestFactory().get("/"), refuse(Unavailable("The database does not answer. Try again soon.")))

    assert page.status_code == 503
    assert "Retry-After" in page.headers
    assert "The database does not answer. Try again soon." in page.content
