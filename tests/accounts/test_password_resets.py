"""Forgotten passwords: a mailed link that works once, for an hour, and says nothing about who has an account."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from loadbell.accounts import password_resets
from loadbell.accounts.account import reset_password
from loadbell.accounts.authentication import authenticate, authenticate_session
from loadbell.accounts.mail import Mailer
from loadbell.accounts.password_resets import LIFETIME, complete_reset, find_reset, request_reset
from loadbell.accounts.sign_in import sign_in
from loadbell.domain.errors import Conflict, Invalid, NotFound, RateLimited, Unauthenticated
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Scope
from loadbell.domain.runs import Trigger
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement
from tests.support.hashing import hashing
from tests.support.mail import postbox
from tests.support.stores import Play, Site
from tests.support.tokens import given_token

OWNER = "owner@example.org"
NOBODY = "nobody@example.org"
PASSWORD = "correct horse"
HERE = "192.0.2.1"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are not held back: time is not what these tests are about."""
    monkeypatch.setattr(password_resets, "MIN_ANSWER_S", 0)


async def _request_reset(
    site: Site, email: str = OWNER, address: str | None = HERE, *, sends_mail: bool = True
) -> None:
    await request_reset(
        site.database,
        email,
        address=address,
        installation=replace(site.installation, sends_mail=sends_mail),
    )


async def _links(site: Site) -> Sequence[str]:
    """What would be mailed, oldest first: the ends of the links."""

    async def bodies(tx: Transaction) -> list[str]:
        rows = await tx.all(Statement("SELECT body FROM mails ORDER BY id"))
        return [tx.unseal(row["body"]) for row in rows]

    return [found for body in await site.database.write(bodies) for found in re.findall(r"/reset-password/(\S+)", body)]


async def _accept(site: Site, token: str, password: str = PASSWORD) -> int:
    with hashing() as passwords:
        return await complete_reset(site.database, passwords, token, password, address=HERE)


async def _sign_in(site: Site, password: str) -> str:
    with hashing() as passwords:
        session = await sign_in(
            site.database, passwords, OWNER, password,
            address=HERE, agent=None, former=None,
        )  # fmt: skip
    return session.session


def test_a_forgotten_password_is_replaced_by_a_mailed_link(play: Play) -> None:
    """From asking to signing in; every session ends, API tokens stay."""

    async def scenario(site: Site) -> None:
        token = await site.do(
            given_token, organization_id=site.organization_id, user_id=site.owner.user_id, name="ci",
            scope=Scope.REPORT, trigger=Trigger.CI, expires_at=None,
        )  # fmt: skip
        await _request_reset(site)
        await _accept(site, (await _links(site))[0], "former horse")
        session = await _sign_in(site, "former horse")
        await site.run_sql("DELETE FROM mails")
        with postbox() as box:
            await _request_reset(site, OWNER.upper())
            await Mailer(site.database, box.settings, ca_file=None).send_due()
        (mailed,) = box.taken
        (link,) = re.findall(r"^https://loadbell\.example\.org/reset-password/(lbr_\S+)\s*$", mailed.text, re.MULTILINE)

        assert [OWNER] == mailed.recipients
        assert OWNER == await site.do(find_reset, link)
        assert site.owner.user_id == await _accept(site, link)
        with pytest.raises(Unauthenticated):
            await site.do(authenticate_session, session)
        with pytest.raises(Unauthenticated):
            await _sign_in(site, "former horse")
        await _sign_in(site, PASSWORD)
        await site.do(authenticate, token)

    play(scenario)


def test_nobody_learns_who_has_an_account(play: Play) -> None:
    """Asking for an unknown address is answered alike, as long as for a known one, and mails nothing."""

    async def scenario(site: Site) -> None:
        outcomes: dict[str, list[str]] = {}
        for email, address in ((OWNER, "192.0.2.1"), (NOBODY, "198.51.100.1")):
            for number in range(12):
                try:
                    await _request_reset(site, email, address if number < 5 else f"2001:db8:{number}::1")
                    text = "taken"
                except RateLimited as refused:
                    text = f"{refused} {refused.wait}"
                outcomes.setdefault(email, []).append(text)

        assert outcomes[OWNER] == outcomes[NOBODY]
        assert (["taken"] * 3, 2) == (outcomes[OWNER][:3], sum(text != "taken" for text in outcomes[OWNER][:5]))
        assert {OWNER} == {row["recipient"] for row in await site.rows("SELECT recipient FROM mails")}

    play(scenario)


def test_without_a_mail_server_there_is_no_link(play: Play) -> None:
    """That is said alike for known and unknown addresses, with what to do instead."""

    async def scenario(site: Site) -> None:
        said = []
        for email in (OWNER, NOBODY):
            with pytest.raises(Conflict, match="users reset-password") as refused:
                await _request_reset(site, email, sends_mail=False)
            said.append(str(refused.value))

        assert said[0] == said[1]
        assert [] == await site.rows("SELECT hash FROM password_resets")

    play(scenario)


def test_a_link_ends_after_an_hour(play: Play) -> None:
    """To the microsecond."""

    async def scenario(site: Site) -> None:
        await _request_reset(site)
        (link,) = await _links(site)
        site.clock.advance(LIFETIME - 1)
        await site.do(find_reset, link)
        site.clock.advance(1)
        with pytest.raises(NotFound):
            await site.do(find_reset, link)
        with pytest.raises(NotFound):
            await _accept(site, link)

    play(scenario)


def test_a_link_works_once_and_the_last_one_only(play: Play) -> None:
    """A new one replaces the former, and a used one is as unknown as any other text."""

    async def scenario(site: Site) -> None:
        await _request_reset(site)
        await _request_reset(site)
        former, link = await _links(site)
        with pytest.raises(NotFound):
            await _accept(site, former)
        with pytest.raises(Invalid) as refused:
            await _accept(site, link, "short")
        await _accept(site, link)
        for token in (link, "lbr_" + "A" * 43, ""):
            with pytest.raises(NotFound):
                await _accept(site, token)

        assert ["password"] == [error.field for error in refused.value.errors]
        assert [] == await site.rows("SELECT hash FROM password_resets")

    play(scenario)


def test_a_link_ends_when_the_operator_sets_a_password(play: Play) -> None:
    """Whoever could read the mail can't undo it."""

    async def scenario(site: Site) -> None:
        await _request_reset(site)
        await site.do(reset_password, OWNER, "-")
        with pytest.raises(NotFound):
            await _accept(site, (await _links(site))[0])

    play(scenario)


def test_of_many_that_follow_a_link_at_once_exactly_one_wins(play: Play) -> None:
    """The password is that one's."""

    async def scenario(site: Site) -> None:
        await _request_reset(site)
        (link,) = await _links(site)
        passwords = [f"password number {number}" for number in range(4)]
        outcomes = await asyncio.gather(*(_accept(site, link, each) for each in passwords), return_exceptions=True)
        won = [each for each, outcome in zip(passwords, outcomes, strict=True) if not isinstance(outcome, Exception)]

        assert 3 == sum(isinstance(outcome, NotFound) for outcome in outcomes)
        await _sign_in(site, *won)

    play(scenario)


def test_of_two_that_ask_at_once_one_link_is_left(play: Play) -> None:
    """The later one's."""

    async def scenario(site: Site) -> None:
        await asyncio.gather(*(_request_reset(site, address=f"192.0.2.{number}") for number in range(1, 5)))

        assert 1 == len(await site.rows("SELECT hash FROM password_resets"))

    play(scenario)


def test_nobody_keeps_a_user_from_asking_where_he_is_known(play: Play) -> None:
    """Others who ask for him from everywhere use up what strangers may ask, not what he may."""

    async def scenario(site: Site) -> None:
        await _request_reset(site)
        await _accept(site, (await _links(site))[0])
        await _sign_in(site, PASSWORD)
        strangers = [_request_reset(site, address=f"198.51.100.{number}") for number in range(20)]
        outcomes = [type(outcome) for outcome in await asyncio.gather(*strangers, return_exceptions=True)]
        with pytest.raises(RateLimited):
            await _request_reset(site, address="203.0.113.1")
        await _request_reset(site)
        site.clock.advance(600 * SECOND)
        await _request_reset(site, address="203.0.113.1")

        assert 11 == outcomes.count(RateLimited)  # the first one that asked was no stranger's, but not known yet either

    play(scenario)


def test_the_account_log_tells_of_links_and_what_came_of_them(play: Play) -> None:
    """From where; neither link nor password is in it, and no link is stored."""

    async def scenario(site: Site) -> None:
        await _request_reset(site)
        (link,) = await _links(site)
        kept = str([tuple(row) for row in await site.rows("SELECT * FROM password_resets")])  # type: ignore[arg-type]  # both drivers' rows can be gone through
        await _accept(site, link)
        rows = await site.rows("SELECT * FROM audit_entries ORDER BY id")
        told = str([tuple(row) for row in rows])  # type: ignore[arg-type]  # as above

        assert [("account.password_reset_asked", HERE, None), ("account.password_reset", HERE, None)] == [
            (row["action"], row["address"], row["organization_id"]) for row in rows
        ]
        assert not [secret for secret in (link, PASSWORD) if secret in told + kept]

    play(scenario)
