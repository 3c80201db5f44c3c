"""Live pages: what has changed is pushed to whoever may see it, and to nobody else."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from loadbell.accounts.organizations import get_organization
from loadbell.domain.orgs import Action, Principal, Role
from loadbell.store.engine.db import Transaction
from loadbell.store.organizations import assign_project, insert_member
from loadbell.store.unit_of_work import UnitOfWork
from loadbell.store.users import insert_user
from loadbell.web.live import StreamLimits
from loadbell.web.page import PageRequest
from tests.api.conftest import NewStore
from tests.api.site import ApiSite, served
from tests.support.server import Client, wait_until
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, PASSWORD_HASH
from tests.web.events import Event, open_stream

rendered: list[Principal] = []
"""For whom the page below was rendered."""


@get("/organizations/{organization_id:int}/name/live")
async def name_page(page: NamedDependency[PageRequest], organization_id: FromPath[int]) -> Stream:
    """The organization's name, as many times as the query says, and the reader's role."""
    return await page.stream("name", organization_id, render_name, int(page.query_param("times") or 1))


@get("/organizations/{organization_id:int}/log/live")
async def log_page(page: NamedDependency[PageRequest], organization_id: FromPath[int]) -> Stream:
    """Something that members may not see."""
    return await page.stream("log", organization_id, render_log)


async def render_name(unit: UnitOfWork[Principal], times: int) -> str:
    """The text of the first page."""
    rendered.append(unit.principal)
    organization = await get_organization(unit, unit.principal.organization_id)
    return f"{unit.principal.role}\n{organization.name * times}"


async def render_log(unit: UnitOfWork[Principal]) -> str:
    """The text of the second page."""
    unit.principal.require(Action.READ_LOG)
    return "the log"


PAGES = [name_page, log_page]


@pytest.fixture(scope="module")
def live_site(new_store: NewStore) -> Iterator[ApiSite]:
    """The served pages with the two above; what changes is shown at once."""
    with served(new_store(), with_worker=False, pages=PAGES, limits=StreamLimits(min_interval_s=0.01)) as site:
        yield site


class SignedInBrowser(Browser):
    """A browser whose person is known."""

    def __init__(self, url: str, user_id: int) -> None:
        super().__init__(url)
        self.user_id = user_id


def join(site: ApiSite, role: Role = Role.MEMBER, *projects: int) -> SignedInBrowser:
    """The browser of a new member of ours who has signed in."""
    email = f"{os.urandom(6).hex()}@example.org"

    async def work(tx: Transaction) -> int:
        user_id = await insert_user(tx, email=email, name="Mara Lind", password_hash=PASSWORD_HASH)
        await insert_member(tx, site.ours.organization_id, user_id, role)
        for project in projects:
            await assign_project(tx, project, user_id)
        return user_id

    browser = SignedInBrowser(site.url, site.do(work))
    assert browser.sign_in(email, PASSWORD).status == 303
    return browser


def name_of(site: ApiSite, times: int = 1) -> str:
    """The address of the first page above."""
    return f"/organizations/{site.ours.organization_id}/name/live?times={times}"


def rename(site: ApiSite) -> str:
    """Gives our organization a new name."""
    name = f"Org {os.urandom(4).hex()}"
    site.client.ok("PATCH", f"/organizations/{site.ours.organization_id}", {"name": name})
    return name


def test_what_has_changed_is_pushed(live_site: ApiSite) -> None:
    """A stream begins with what there is now and goes on with each change, as an event by the name that was given."""
    name = rename(live_site)
    with open_stream(join(live_site), name_of(live_site)) as stream:
        assert (200, "text/event-stream; charset=utf-8") == (stream.status, stream.headers["content-type"])
        assert ("no-store", "no") == (stream.headers["cache-control"], stream.headers["x-accel-buffering"])
        assert "default-src 'none'" in stream.headers["content-security-policy"]
        assert Event("name", f"member\n{name}") == stream.next()
        name = rename(live_site)
        assert Event("name", f"member\n{name}") == stream.next()


def test_only_what_looks_different_is_pushed(live_site: ApiSite) -> None:
    """A change that this page does not show sends nothing; who comes later gets it as it stands all the same."""
    browser, url = join(live_site), name_of(live_site)
    with open_stream(browser, url) as stream:
        event = stream.next()
        live_site.client.ok("POST", f"/organizations/{live_site.ours.organization_id}/projects", {"name": "P"})
        with open_stream(browser, url) as second:
            assert event == second.next()
        name = rename(live_site)

        assert Event("name", f"member\n{name}") == stream.next()


def test_the_same_is_rendered_once(live_site: ApiSite) -> None:
    """People with the same rights share one rendering, made for nobody in particular; others have their own."""
    project = live_site.ours.project_id
    people = [join(live_site, Role.MEMBER, project) for _ in range(3)]
    with ExitStack() as stack:
        streams = [stack.enter_context(open_stream(person, name_of(live_site))) for person in people]
        admin = stack.enter_context(open_stream(join(live_site, Role.ADMIN), name_of(live_site)))
        stranger = stack.enter_context(open_stream(join(live_site), name_of(live_site)))
        for stream in (*streams, admin, stranger):
            stream.next()
        rendered.clear()
        name = rename(live_site)

        assert [Event("name", f"member\n{name}")] * 4 == [stream.next() for stream in (*streams, stranger)]
        assert Event("name", f"admin\n{name}") == admin.next()
    assert {(0, Role.MEMBER, frozenset({project})), (0, Role.MEMBER, frozenset()), (0, Role.ADMIN, None)} == {
        (principal.user_id, principal.role, principal.projects) for principal in rendered
    }
    assert len(rendered) == 3


def test_who_may_not_see_it_gets_no_stream(live_site: ApiSite) -> None:
    """As with the page itself: a visitor is sent to sign in, a stranger's 404, what the use case refuses is 403."""
    member, own = join(live_site), live_site.ours.organization_id

    assert Browser(live_site.url).get(name_of(live_site)).location.startswith("/login")
    assert member.get(f"/organizations/{live_site.theirs.organization_id}/name/live").status == 404
    refused = member.get(f"/organizations/{own}/log/live")
    assert (403, True) == (refused.status, "Ask the owner or an admin" in refused.words)


@contextmanager
def _losing_sight(site: ApiSite, browser: Browser) -> Iterator[None]:
    """Within it the person loses the right to see: the stream must end at the next change, before anything is shown."""
    with open_stream(browser, name_of(site)) as stream, open_stream(join(site, Role.ADMIN), name_of(site)) as other:
        assert stream.next() is not None
        assert other.next() is not None
        yield
        rename(site)
        assert stream.next() is None
        assert other.next() is not None, "the others go on"


def test_a_removed_member_sees_nothing_more(live_site: ApiSite) -> None:
    """The stream ends at the next change, and there is no other."""
    browser = join(live_site)
    with _losing_sight(live_site, browser):
        live_site.client.ok("DELETE", f"/organizations/{live_site.ours.organization_id}/members/{browser.user_id}")
    assert browser.get(name_of(live_site)).status == 404


def test_a_session_that_was_ended_sees_nothing_more(live_site: ApiSite) -> None:
    """Signing out elsewhere counts for streams, too; connecting again leads to the sign-in."""
    browser = join(live_site)
    with _losing_sight(live_site, browser):
        cookies = dict(browser.cookies)
        assert browser.post("/logout", {}, of="/account").status == 303
        browser.cookies = cookies
    assert browser.get(name_of(live_site)).location.startswith("/login")


def test_other_rights_end_a_stream(live_site: ApiSite) -> None:
    """Another role or other projects show another page: the stream ends, and the next one has the new rights."""
    own, project = live_site.ours.organization_id, live_site.ours.project_id
    changes: list[tuple[dict[str, object], str]] = [
        ({"role": "admin"}, "admin"),
        ({"project_ids": [project]}, "member"),
    ]
    for change, role in changes:
        browser = join(live_site)
        with _losing_sight(live_site, browser):
            live_site.client.ok("PATCH", f"/organizations/{own}/members/{browser.user_id}", change)
        with open_stream(browser, name_of(live_site)) as stream:
            event = stream.next()
            assert event is not None
            assert event.data.startswith(role)


def test_a_deleted_organization_ends_its_streams(live_site: ApiSite) -> None:
    """Nobody is a member of it any more."""
    made = live_site.client.ok("POST", "/organizations", {"name": "Short-lived"})
    browser = join(live_site)
    live_site.do(lambda tx: insert_member(tx, made["id"], browser.user_id, Role.ADMIN))
    with open_stream(browser, f"/organizations/{made['id']}/name/live") as stream:
        assert Event("name", "admin\nShort-lived") == stream.next()
        Client(live_site.url, made["token"]).ok("DELETE", f"/organizations/{made['id']}")

        assert stream.next() is None


def test_a_slow_reader_gets_the_latest(live_site: ApiSite) -> None:
    """What it did not take in time is forgotten, not kept: it gets fewer events than there were, the last one among."""
    changes, times = 20, 50_000
    browser, url, name = join(live_site), name_of(live_site, times), ""
    with open_stream(browser, url, buffer=4_096) as slow, open_stream(browser, url) as quick:
        quick.next()
        for _ in range(changes):
            name = rename(live_site)
            assert Event("name", f"member\n{name * times}") == quick.next()
        taken = 1
        while slow.next() != Event("name", f"member\n{name * times}"):
            taken += 1

        assert taken < changes


def test_streams_have_limits(new_store: NewStore) -> None:
    """A session and a process have so many; one too many is told when to try again, and a closed one makes room."""
    limits = StreamLimits(max_streams=3, max_streams_per_session=2, keepalive_interval_s=0.05)
    with served(new_store(), with_worker=False, pages=PAGES, limits=limits) as site, ExitStack() as stack:
        busy, other, third = join(site), join(site), join(site)
        first = stack.enter_context(ExitStack())
        first.enter_context(open_stream(busy, name_of(site)))
        stack.enter_context(open_stream(busy, name_of(site)))
        refused = busy.get(name_of(site))
        assert (503, "2") == (refused.status, refused.headers["retry-after"])
        assert "too many pages open" in refused.words
        stack.enter_context(open_stream(other, name_of(site)))
        assert "Too many pages are open" in third.get(name_of(site)).words

        first.close()

        def may_come() -> bool:
            with open_stream(third, name_of(site)) as stream:
                return stream.status == 200

        wait_until(may_come)


def test_an_idle_stream_is_kept_and_not_for_ever(new_store: NewStore) -> None:
    """Where nothing happens a comment passes now and then, and after a while the stream ends."""
    limits = StreamLimits(keepalive_interval_s=0.02, max_age_s=0.5)
    with (
        served(new_store(), with_worker=False, pages=PAGES, limits=limits) as site,
        open_stream(join(site), name_of(site)) as stream,
    ):
        assert len(stream.rest()) == 1
        assert stream.comments > 1


def test_a_stopping_server_waits_for_no_stream(new_store: NewStore, caplog: pytest.LogCaptureFixture) -> None:
    """Open pages end at once and orderly; nothing is left for the end of the grace."""
    with ExitStack() as stack:
        with served(new_store(), with_worker=False, pages=PAGES) as site:
            browser = join(site)
            streams = [stack.enter_context(open_stream(browser, name_of(site))) for _ in range(3)]
            for stream in streams:
                stream.next()

        assert [None] * 3 == [stream.next() for stream in streams]
    assert "timeout graceful shutdown exceeded" not in caplog.text
