"""One's own account by the pages."""

import re

from tests.api.site import ApiSite
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, Person


def test_the_first_page_names_ones_organizations(signed_in: Browser) -> None:
    """Those one belongs to with one's role there, and no other."""
    words = signed_in.get("/organizations").words

    assert "Ours Member" in words
    assert "Theirs" not in words


def test_whoever_belongs_nowhere_is_told_what_to_do(signed_in: Browser, person: Person, still_site: ApiSite) -> None:
    """An empty page says whom to ask."""
    still_site.sql("DELETE FROM members WHERE user_id = :id", id=person.user_id)

    assert "You aren't in an organization" in signed_in.get("/organizations").words


def test_a_name_is_changed(signed_in: Browser) -> None:
    """The page says so once it is; a bad name is told at its field and in the summary, and kept to be corrected."""
    answer = signed_in.post("/account", {"name": "Mara Berg"})
    assert answer.location == "/account?done=name"
    page = signed_in.get(answer.location)
    assert "Name saved." in page.words
    assert 'value="Mara Berg"' in page.text

    bad = signed_in.post("/account", {"name": "x" * 201})

    assert bad.status == 422
    assert 'aria-invalid="true" aria-describedby="name-wrong name-help"' in bad.markup
    assert 'id="name-wrong"' in bad.text
    assert '<a href="#name">Name: ' in bad.text
    assert "<title>Error: Account · loadbell</title>" in bad.text


def test_a_password_is_changed(signed_in: Browser, person: Person, still_site: ApiSite) -> None:
    """The present one is asked for; other sessions end and this one stays."""
    other = Browser(still_site.url)
    other.sign_in(person.email, PASSWORD)
    fields = {"current_password": PASSWORD, "new_password": "a new long password"}

    wrong = signed_in.post("/account/password", {**fields, "current_password": "no"}, of="/account")
    short = signed_in.post("/account/password", {**fields, "new_password": "short"}, of="/account")
    assert (wrong.status in {401, 422}, short.status) == (True, 422)
    assert "a new long password" not in wrong.text
    assert 'id="new_password-wrong"' in short.text

    page = signed_in.post("/account/password", fields, of="/account")

    assert page.location == "/account?done=password"
    assert "Password changed." in signed_in.get(page.location).words
    assert other.get("/account").status == 303
    assert other.sign_in(person.email, "a new long password").status == 303


def test_sessions_are_seen_and_ended(signed_in: Browser, person: Person, still_site: ApiSite) -> None:
    """Each shows where and when; another one's End leaves this browser signed in, its own signs it out."""
    other = Browser(still_site.url)
    other.sign_in(person.email, PASSWORD)
    page = signed_in.get("/account")
    ends = re.findall(r'action="(/account/sessions/\d+/end)"', page.text)
    assert len(ends) == 2
    assert page.words.count("Test browser") == 2
    assert page.words.count("This browser") == 1

    answer = signed_in.post(ends[0], {}, of="/account")
    assert answer.location == "/account?done=session"
    assert other.get("/account").status == 303

    assert signed_in.post(ends[0], {}, of="/account").status == 404
    assert signed_in.post("/account/sessions/x/end", {}, of="/account").status == 404
    assert signed_in.post(ends[1], {}, of="/account").location == "/login"
    assert signed_in.get("/").status == 303
