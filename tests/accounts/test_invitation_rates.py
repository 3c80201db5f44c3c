"""How often people may be invited: a server that mails invitations is no relay for whoever has an account on it."""

import re
from dataclasses import replace

import pytest

from loadbell.accounts.authentication import authenticate
from loadbell.accounts.invitations import invite
from loadbell.accounts.organizations import create_organization
from loadbell.domain.errors import RateLimited
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Principal, Role
from tests.support.stores import Play, Site


async def _invite(site: Site, who: Principal, email: str, *, sends_mail: bool = False) -> None:
    installation = replace(site.installation, sends_mail=sends_mail)
    await site.do(
        invite, who, who.organization_id, installation=installation, email=email, role=Role.ADMIN, project_ids=()
    )


def test_an_organization_invites_thirty_at_once_and_then_one_a_minute(play: Play) -> None:
    """What is refused mails nothing; another organization is not concerned."""

    async def scenario(site: Site) -> None:
        for number in range(30):
            await _invite(site, site.owner, f"p{number}@example.net", sends_mail=True)
        with pytest.raises(RateLimited) as refused:
            await _invite(site, site.owner, "late@example.net", sends_mail=True)
        mailed = len(await site.rows("SELECT id FROM mails"))
        other = await site.do(authenticate, (await site.do(create_organization, site.owner, "Other")).token)
        await _invite(site, other, "late@example.net")
        site.clock.advance(60 * SECOND)
        await _invite(site, site.owner, "late@example.net")

        assert (30, 60 * SECOND) == (mailed, refused.value.wait)

    play(scenario)


def test_nobody_is_invited_over_and_over(play: Play) -> None:
    """Five times at once by all organizations together, however the address is written, then once an hour."""

    async def scenario(site: Site) -> None:
        other = await site.do(authenticate, (await site.do(create_organization, site.owner, "Other")).token)
        for principal in (site.owner, other, site.owner, other, site.owner):
            await _invite(site, principal, "bob@example.net")
        with pytest.raises(RateLimited) as refused:
            await _invite(site, other, "Bob@Example.net")
        site.clock.advance(3600 * SECOND)
        await _invite(site, other, "bob@example.net")

        assert 3600 * SECOND == refused.value.wait

    play(scenario)


@pytest.mark.parametrize("name", ["x" * 200, "pay now " * 25])
def test_a_long_name_is_no_subject(play: Play, name: str) -> None:
    """The subject is ours, with 60 characters of the name at most."""

    async def scenario(site: Site) -> None:
        await site.run_sql("UPDATE organizations SET name = :name", name=name)
        await _invite(site, site.owner, "bob@example.net", sends_mail=True)
        (mail,) = await site.rows("SELECT subject FROM mails")

        assert re.fullmatch(r"Invitation to .{59}… on loadbell", mail["subject"])

    play(scenario)
