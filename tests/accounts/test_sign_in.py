"""Signing in: how often passwords may be tried, and that nobody is locked out or found out by it."""

import asyncio
import threading

import argon2
import pytest

from loadbell.accounts.sessions import end_session
from loadbell.domain.errors import RateLimited, Unauthenticated
from loadbell.domain.ids import SECOND
from loadbell.store.users import get_user, set_password
from tests.support.hashing import hashing
from tests.support.signing_in import HOME, IN, PASSWORD, QUICK, WRONG, Entrance
from tests.support.stores import DAY, Play, Site

MINUTE = 60 * SECOND


def test_five_guesses_at_once_then_one_a_minute(play: Play) -> None:
    """From one place for one person. The right password must wait its turn, too: else the wait would tell nothing."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        found = [await entrance.attempt() for _ in range(6)]
        found.append(await entrance.attempt(password=PASSWORD))
        site.clock.advance(MINUTE - 1)
        found.append(await entrance.attempt())
        site.clock.advance(1)
        found += [await entrance.attempt(), await entrance.attempt(password=PASSWORD)]
        site.clock.advance(MINUTE)
        found.append(await entrance.attempt("KIM@example.org", PASSWORD))

        assert [WRONG] * 5 + [MINUTE, MINUTE, 1, WRONG, MINUTE, IN] == found

    play(scenario)


def test_a_good_attempt_takes_no_turn(play: Play) -> None:
    """Whoever knows the password signs in as often as it likes, also after a few slips, which stay counted."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        slips = [await entrance.attempt() for _ in range(4)]
        good = [await entrance.attempt(password=PASSWORD) for _ in range(60)]

        assert [WRONG] * 4 + [IN] * 60 == slips + good
        assert [WRONG, MINUTE] == [await entrance.attempt() for _ in range(2)]

    play(scenario)


def test_one_place_tries_fifty_people_at_once(play: Play) -> None:
    """Then one each 6 s, whomever it tries; another place goes on. Turns that were refused cost nothing."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        found = [await entrance.attempt(f"user{number}@example.org") for number in range(52)]

        assert [WRONG] * 50 + [6 * SECOND] * 2 == found
        assert WRONG == await entrance.attempt(address="192.0.2.8")
        site.clock.advance(6 * SECOND)
        assert [WRONG, 6 * SECOND] == [await entrance.attempt(f"{name}@example.org") for name in "ab"]

    play(scenario)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        (None, None, True),
    ],
)
def test_what_counts_as_one_place(play_on_sqlite: Play, first: str | None, second: str | None, same: bool) -> None:
    """An IPv4 address, however it is written, or the /64 of an IPv6 address."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        for _ in range(5):
            await entrance.attempt(address=first)

        assert (MINUTE if same else WRONG) == await entrance.attempt(address=second)

    play_on_sqlite(scenario)


def test_an_attacker_cannot_lock_the_victim_out(play: Play) -> None:
    """After 100 guesses from everywhere new places may try once a minute, and the victim's own place as before.

    Also when the victim has signed out, for 30 days since it last signed in from there.
    """

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        session = await entrance.enter(address="2001:db8:0:1::1")
        await site.do(end_session, await entrance.who(session), session.id)
        guesses = [await entrance.attempt(address=f"198.51.100.{number}") for number in range(20) for _ in range(5)]

        assert [WRONG] * 100 == guesses
        assert MINUTE == await entrance.attempt(password=PASSWORD, address="203.0.113.1")
        assert IN == await entrance.attempt(password=PASSWORD, address="2001:db8:0:1::2")
        site.clock.advance(MINUTE)
        assert [WRONG, MINUTE] == [await entrance.attempt(address="203.0.113.2") for _ in range(2)]

    play(scenario)


def test_a_place_is_known_for_thirty_days(play_on_sqlite: Play) -> None:
    """To the microsecond."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        await entrance.enter()
        site.clock.advance(30 * DAY - 1)
        for number in range(20):
            for _ in range(5):
                await entrance.attempt(address=f"198.51.100.{number}")

        assert WRONG == await entrance.attempt()
        site.clock.advance(1)
        assert isinstance(await entrance.attempt(), int)

    play_on_sqlite(scenario)


def test_unknown_addresses_are_treated_alike(play: Play) -> None:
    """The same attempts on somebody and on nobody have the same outcomes, texts and traces."""

    async def attempt_and_list(entrance: Entrance, email: str, address: str) -> list[str]:
        texts = []
        for _ in range(7):
            with pytest.raises((Unauthenticated, RateLimited)) as refused:
                await entrance.enter(email, "wrong horse", address=address)
            texts.append(f"{type(refused.value).__name__} {refused.value}")
        return texts

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        items = await attempt_and_list(entrance, "kim@example.org", "192.0.2.1")
        traces = await site.rows("SELECT full_at FROM attempt_paces ORDER BY full_at")
        unknown = await attempt_and_list(entrance, "nobody@example.org", "192.0.2.2")
        both = await site.rows("SELECT full_at FROM attempt_paces ORDER BY full_at")

        assert items == unknown
        assert sorted([row["full_at"] for row in traces] * 2) == [row["full_at"] for row in both]
        assert not await site.rows("SELECT id FROM sessions")
        assert not await site.rows("SELECT id FROM audit_entries")

    play(scenario)


def test_parallel_guesses_do_not_slip_through(play: Play) -> None:
    """Of 30 guesses at the same moment five are compared, on either store."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        found = await asyncio.gather(*(entrance.attempt() for _ in range(30)))

        assert (5, 25) == (found.count(WRONG), found.count(MINUTE))

    play(scenario)


def test_buckets_that_are_full_again_are_forgotten(play: Play) -> None:
    """A few with each attempt, so that the table holds what happened lately and no attempt takes long."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        for number in range(30):
            await entrance.attempt(f"user{number}@example.org")
        kept = [len(await site.rows("SELECT key FROM attempt_paces"))]
        site.clock.advance(DAY)
        for _ in range(4):
            await entrance.attempt()
            kept.append(len(await site.rows("SELECT key FROM attempt_paces")))

        assert [61, 43, 23, 3, 3] == kept

    play(scenario)


def test_no_turn_is_lost_when_too_many_wait(play: Play) -> None:
    """Whoever is sent away because others are being compared may try as often as before."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        go_on = threading.Event()
        for _ in range(2):
            entrance.passwords._threads.submit(go_on.wait)
        line = [asyncio.create_task(entrance.passwords.matches(None, PASSWORD)) for _ in range(42)]
        await asyncio.sleep(0)
        busy = [await entrance.attempt() for _ in range(10)]
        go_on.set()
        await asyncio.gather(*line)

        assert [2 * SECOND] * 10 == busy
        assert [WRONG] * 5 == [await entrance.attempt() for _ in range(5)]

    play(scenario)


def test_a_password_that_is_changed_while_it_is_compared_lets_nobody_in(play: Play) -> None:
    """Whoever was about to sign in with the former one is refused, and has no session."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        user_id = await entrance.add()
        go_on = threading.Event()
        for _ in range(2):
            entrance.passwords._threads.submit(go_on.wait)
        entering = asyncio.create_task(entrance.attempt(password=PASSWORD))
        while not await site.rows("SELECT key FROM attempt_paces"):  # noqa: ASYNC110 - the database has no event for it
            await asyncio.sleep(0)
        await site.do(set_password, user_id, QUICK.hash("another horse"))
        go_on.set()

        assert WRONG == await entering
        assert not await site.rows("SELECT id FROM sessions")

    play(scenario)


def test_a_hash_of_former_parameters_is_renewed(play: Play) -> None:
    """At the next sign-in; the password stays what it was."""

    async def scenario(site: Site) -> None:
        user_id = await Entrance(site).add()
        today = argon2.PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)
        with hashing(today) as passwords:
            entrance = Entrance(site, passwords)
            found = [await entrance.attempt(password=PASSWORD) for _ in range(2)]
        user = await site.do(get_user, user_id)

        assert [IN, IN] == found
        assert user is not None
        assert not passwords.is_outdated(user.password_hash)

    play(scenario)


def test_the_right_password_of_somebody_else_lets_nobody_in(play: Play) -> None:
    """Each password is its user's; an empty or endless one is just wrong."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()

        assert WRONG == await entrance.attempt("owner@example.org", PASSWORD)
        assert [WRONG] * 3 == [await entrance.attempt(password=text) for text in ("", "x" * 5000, PASSWORD + "\x00")]
        assert IN == await entrance.attempt(password=PASSWORD, address=HOME)

    play(scenario)
