"""The first organization, further ones, and who comes first."""

import asyncio
from typing import Any

import pytest

from loadbell.accounts.authentication import authenticate
from loadbell.accounts.organizations import (
    DEFAULT_PROJECT,
    NewOrganization,
    add_organization,
    check_setup,
    create_organization,
    set_up,
)
from loadbell.domain.errors import Conflict, Forbidden, Invalid
from loadbell.domain.orgs import Role, Scope, SignedIn
from tests.support.deleting import delete_organization
from tests.support.stores import Play, Site, open_store

GOOD: dict[str, Any] = {"organization": "Example", "email": "Ann@Example.org", "password_hash": "-"}


def test_of_two_setups_at_once_exactly_one_wins(store_url: str) -> None:
    """The other is told that it is done; there is one owner, one organization, one project and one token."""

    async def scenario() -> None:
        async with open_store(store_url) as database:

            def once(number: int) -> Any:
                return database.write(set_up, **{**GOOD, "email": f"p{number}@example.org"})

            outcomes = await asyncio.gather(*(once(number) for number in range(1, 7)), return_exceptions=True)
            site = Site(database, None, 0)  # type: ignore[arg-type]  # nobody asks yet
            counts = [
                len(await site.rows(f"SELECT * FROM {table}"))
                for table in ("users", "organizations", "projects", "members", "tokens")
            ]

            assert 1 == sum(isinstance(outcome, NewOrganization) for outcome in outcomes)
            assert 5 == sum(isinstance(outcome, Conflict) for outcome in outcomes)
            assert [1] * 5 == counts

    asyncio.run(scenario())


def test_a_setup_that_failed_may_be_tried_again(store_url: str) -> None:
    """What was rolled back leaves nothing that says "already"."""

    async def scenario() -> None:
        async with open_store(store_url) as database:

            async def fail(tx: Any) -> None:
                await set_up(tx, **GOOD)
                raise KeyError("the machine was switched off")

            with pytest.raises(KeyError):
                await database.write(fail)
            organization = await database.write(set_up, **GOOD)
            owner = await database.write(authenticate, organization.token)

            assert (organization.user_id, organization.organization_id, Role.OWNER, Scope.MANAGE, None) == (
                owner.user_id, owner.organization_id, owner.role, owner.scope, owner.projects,
            )  # fmt: skip

    asyncio.run(scenario())


def test_the_first_owner_is_kept_as_given(play: Play) -> None:
    """E-mail in lower case, a default project, and only the hash of the token."""

    async def scenario(site: Site) -> None:
        (user,) = await site.rows("SELECT * FROM users")
        (project,) = await site.rows("SELECT * FROM projects")
        (token,) = await site.rows("SELECT * FROM tokens")

        assert ("owner@example.org", DEFAULT_PROJECT, site.project_id) == (
            user["email"],
            project["name"],
            project["id"],
        )
        assert 64 == len(token["hash"])
        assert token["prefix"].startswith("lb_")
        assert 8 == len(token["prefix"])

    play(scenario)


def test_another_organization_is_its_makers_own(play: Play) -> None:
    """With its own project and token, owned by whoever asked; the first one is as it was."""

    async def scenario(site: Site) -> None:
        admin = await site.person(Role.ADMIN)
        organization = await site.do(create_organization, admin, "Another")
        owner = await site.do(authenticate, organization.token)
        rows = await site.rows("SELECT * FROM audit_entries ORDER BY id")

        assert (admin.user_id, organization.organization_id, Role.OWNER) == (
            owner.user_id,
            owner.organization_id,
            owner.role,
        )
        assert site.organization_id != organization.organization_id
        new, subject = organization.organization_id, f"organization {organization.organization_id}"
        assert [
            (new, "organization.created", subject, None),
            (new, "token.created", f"token {owner.token_id}", None),
            (site.organization_id, "organization.created", subject, admin.token_id),
        ] == [(row["organization_id"], row["action"], row["subject"], row["token_id"]) for row in rows]
        assert {admin.user_id} == {row["user_id"] for row in rows}
        assert not [row for row in rows if organization.token in row["changes"]]

    play(scenario)


def test_nobody_is_stuck_without_an_organization(play: Play) -> None:
    """Whoever has signed in adds one and owns it, also when the only one of the installation was deleted."""

    async def scenario(site: Site) -> None:
        await site.do(delete_organization, site.owner, site.organization_id)
        who = SignedIn(site.owner.user_id, 1, "192.0.2.1")
        organization = await site.do(add_organization, who, "Again")
        owner = await site.do(authenticate, organization.token)
        (entry, _) = await site.rows(
            "SELECT * FROM audit_entries WHERE organization_id = :id ORDER BY id", id=organization.organization_id
        )

        assert (site.owner.user_id, organization.organization_id, Role.OWNER) == (
            owner.user_id, owner.organization_id, owner.role,
        )  # fmt: skip
        assert ("organization.created", "192.0.2.1") == (entry["action"], entry["address"])

    play(scenario)


def test_the_log_begins_with_the_setup(store_url: str) -> None:
    """Who the first owner is, which organization there is, and its token, without what proves it."""

    async def scenario() -> None:
        async with open_store(store_url) as database:
            organization = await database.write(set_up, **GOOD)
            site = Site(database, None, 0)  # type: ignore[arg-type]  # nobody asks yet
            rows = await site.rows("SELECT * FROM audit_entries ORDER BY id")

            assert [
                (None, "account.created", f"user {organization.user_id}"),
                (organization.organization_id, "organization.created", f"organization {organization.organization_id}"),
            ] == [(row["organization_id"], row["action"], row["subject"]) for row in rows[:2]]
            assert ["token.created"] == [row["action"] for row in rows[2:]]
            assert not [row for row in rows if organization.token in row["changes"]]

    asyncio.run(scenario())


def test_a_token_that_may_not_manage_makes_no_organization(play: Play) -> None:
    """Neither one that reports nor one that reads."""

    async def scenario(site: Site) -> None:
        for scope in (Scope.REPORT, Scope.READ):
            with pytest.raises(Forbidden):
                await site.do(create_organization, await site.person(Role.ADMIN, scope=scope), "Another")

        assert 1 == len(await site.rows("SELECT id FROM organizations"))

    play(scenario)


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({}, []),
        ({"organization": " "}, ["organization"]),
        ({"organization": "x" * 201}, ["organization"]),
        ({"organization": "a\x00b"}, ["organization"]),
        ({"email": "ann"}, ["email"]),
        ({"email": "a@b@c"}, ["email"]),
        ({"email": "ann @example.org"}, ["email"]),
        ({"email": f"{'a' * 250}@x.org"}, ["email"]),
        ({"password": "sentinel"}, ["password"]),
        ({"password": "sentinel" * 200}, ["password"]),
        ({"organization": "", "email": "", "password": "sentinel"}, ["organization", "email", "password"]),
    ],
)
def test_what_a_setup_is_made_of_is_checked(given: dict[str, str], fields: list[str]) -> None:
    """Every wrong field is named at once, and the password never shown."""
    values = {"organization": "Example", "email": "ann@example.org", "password": "correct horse", **given}
    if not fields:
        check_setup(**values)
        return
    with pytest.raises(Invalid) as refused:
        check_setup(**values)

    assert fields == [error.field for error in refused.value.errors]
    assert "sentinel" not in str(refused.value)
