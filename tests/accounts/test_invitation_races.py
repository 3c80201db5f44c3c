"""Acceptances at the same time as each other, and as what takes the invitation away: one wins, nothing is half-done."""

import asyncio
from typing import Any

import pytest

from loadbell.accounts.authentication import Lock, authenticate
from loadbell.accounts.invitations import AcceptedInvitation, Browser, accept_invitation, revoke_invitation
from loadbell.domain.errors import Conflict, NotFound
from loadbell.domain.orgs import Scope
from loadbell.domain.runs import Trigger
from loadbell.store.engine.db import Transaction
from tests.accounts.test_invitations import BOB, PASSWORD, accept, create_invitation, create_other_owner, hash_password
from tests.support.deleting import delete_organization
from tests.support.hashing import hashing
from tests.support.stores import Play, Site, unit_of, use
from tests.support.tokens import given_token


async def _members(site: Site, organization_id: int) -> int:
    rows = await site.rows("SELECT user_id FROM members WHERE organization_id = :id", id=organization_id)
    return len(rows)


async def _bobs(site: Site) -> tuple[int, int, int]:
    """How many users, memberships and tokens Bob has."""
    users = await site.rows("SELECT id FROM users WHERE email = :email", email=BOB)
    query = "SELECT 1 AS one FROM {} WHERE user_id = (SELECT id FROM users WHERE email = :email)"
    members, tokens = [await site.rows(query.format(table), email=BOB) for table in ("members", "tokens")]
    return len(users), len(members), len(tokens)


async def _owners_token(site: Site) -> str:
    return await site.do(
        given_token,
        organization_id=site.organization_id,
        user_id=site.owner.user_id,
        name="t",
        scope=Scope.MANAGE,
        trigger=Trigger.UNKNOWN,
        expires_at=None,
    )


def test_of_many_acceptances_at_once_exactly_one_wins(play: Play) -> None:
    """There is one user, one member and one token; the others are told that the link is used."""

    async def scenario(site: Site) -> None:
        invitation = await create_invitation(site)
        outcomes = await asyncio.gather(*(accept(site, invitation.token) for _ in range(6)), return_exceptions=True)

        assert 1 == sum(isinstance(outcome, AcceptedInvitation) for outcome in outcomes)
        assert 5 == sum(isinstance(outcome, NotFound) for outcome in outcomes)
        assert (1, 1, 1) == await _bobs(site)

    play(scenario)


def test_of_many_acceptances_of_one_account_exactly_one_wins(play: Play) -> None:
    """The same when the person has an account already."""

    async def scenario(site: Site) -> None:
        password_hash = await hash_password(PASSWORD)
        await site.run_sql(
            "INSERT INTO users (email, name, password_hash, created_at) VALUES (:email, 'Bob', :hash, 1)",
            email=BOB,
            hash=password_hash,
        )
        invitation = await create_invitation(site)
        outcomes = await asyncio.gather(*(accept(site, invitation.token) for _ in range(4)), return_exceptions=True)

        assert 1 == sum(isinstance(outcome, AcceptedInvitation) for outcome in outcomes)
        assert 3 == sum(isinstance(outcome, NotFound) for outcome in outcomes)
        assert (1, 1, 1) == await _bobs(site)

    play(scenario)


def test_one_person_accepts_for_two_organizations_at_once(play: Play) -> None:
    """There is one account; the second acceptance is refused or joins it, and works when it is sent again."""

    async def scenario(site: Site) -> None:
        ours, theirs = await create_invitation(site), await create_invitation(site, await create_other_owner(site))
        tokens = [ours.token, theirs.token]
        outcomes = await asyncio.gather(*(accept(site, token) for token in tokens), return_exceptions=True)
        for token, outcome in zip(tokens, outcomes, strict=True):
            assert isinstance(outcome, AcceptedInvitation | Conflict)
            if isinstance(outcome, Conflict):
                await accept(site, token)

        assert (1, 2, 2) == await _bobs(site)

    play(scenario)


def test_revoking_and_accepting_at_once_agree(play: Play) -> None:
    """Either the person is a member and there was nothing to revoke, or the link was useless."""

    async def scenario(site: Site) -> None:
        owner = await _owners_token(site)
        for number in range(6):
            invitation = await create_invitation(site, email=f"p{number}@example.net")

            async def revoke(tx: Transaction, invitation_id: int = invitation.invitation.id) -> None:
                principal = await authenticate(tx, owner, lock=Lock.EXCLUSIVE)
                await revoke_invitation(unit_of(tx, principal), invitation_id)

            before = await _members(site, site.organization_id)
            accepting = asyncio.ensure_future(accept(site, invitation.token))
            if number % 2:  # to begin at about the time when the other one writes
                await hash_password("as long as this takes")
            revoking = asyncio.ensure_future(site.database.write(revoke))
            joined, revoked = await asyncio.gather(accepting, revoking, return_exceptions=True)

            assert (isinstance(joined, AcceptedInvitation), isinstance(revoked, NotFound)) in {
                (True, True),
                (False, False),
            }
            assert isinstance(joined, AcceptedInvitation | NotFound)
            assert before + isinstance(joined, AcceptedInvitation) == await _members(site, site.organization_id)

    play(scenario)


def test_deleting_the_organization_and_accepting_at_once_agree(play: Play) -> None:
    """Nobody is a member of an organization that is gone, nor has a token of it."""

    async def scenario(site: Site) -> None:
        owner = await _owners_token(site)
        invitation = await create_invitation(site)

        async def remove(tx: Transaction) -> Any:
            principal = await authenticate(tx, owner, lock=Lock.EXCLUSIVE)
            return await delete_organization(unit_of(tx, principal), site.organization_id)

        outcomes = await asyncio.gather(
            *(accept(site, invitation.token) for _ in range(2)), site.database.write(remove), return_exceptions=True
        )

        assert not isinstance(outcomes[-1], BaseException)
        assert all(isinstance(outcome, AcceptedInvitation | NotFound) for outcome in outcomes[:-1])
        assert 0 == await _members(site, site.organization_id)
        assert (0, 0) == (await _bobs(site))[1:]

    play(scenario)


def test_joining_and_signing_in_are_one(play: Play) -> None:
    """No password can be set between them: a session that can't begin leaves no member, and the link as it was."""

    async def scenario(site: Site) -> None:
        invitation = await create_invitation(site)

        draws = iter([site.chance.randbytes])  # for the API token, and none for the session

        def runs_out(size: int) -> bytes:
            return next(draws)(size)

        async def accept() -> AcceptedInvitation:
            with hashing() as passwords:
                return await accept_invitation(
                    site.database,
                    passwords,
                    invitation.token,
                    None,
                    PASSWORD,
                    address="192.0.2.1",
                    browser=Browser("a browser", None),
                )

        use(site.database, site.clock, runs_out)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await accept()
        use(site.database, site.clock, site.chance.randbytes)
        assert (0, 0, 0) == await _bobs(site)
        joined = await accept()
        (session,) = await site.rows("SELECT id, user_id FROM sessions")

        assert joined.session is not None
        assert (joined.session.id, joined.user_id) == (session["id"], session["user_id"])

    play(scenario)
