"""Quotas: at the limit nothing more is added, and of two at once one is the last; on both stores."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from loadbell.accounts.authentication import Lock
from loadbell.accounts.invitations import invite
from loadbell.accounts.organizations import add_organization, create_organization
from loadbell.accounts.projects import add_project
from loadbell.accounts.tokens import create_token
from loadbell.domain.channels import Subscription
from loadbell.domain.errors import Conflict
from loadbell.domain.orgs import Role, Scope, SignedIn
from loadbell.domain.quotas import DEFAULT_QUOTAS, Quotas
from loadbell.notify.channels import create_channel
from tests.accounts.requesting import authorize, send
from tests.support.stores import Play, Site

MAX_COUNT = 3


def _channel(site: Site, token: str, quotas: Quotas, number: int) -> Coroutine[Any, Any, Any]:
    body: dict[str, Any] = {"kind": "webhook", "name": f"c{number}", "settings": {"url": "http://127.0.0.1:9/hook"}}
    body |= {
        "subscription": Subscription(),
        "enabled": True,
        "installation": replace(site.installation, quotas=quotas),
    }
    return send(site, token, create_channel, site.organization_id, lock=Lock.SHARED, **body)


def _project(site: Site, token: str, quotas: Quotas, number: int) -> Coroutine[Any, Any, Any]:
    return send(
        site,
        token,
        add_project,
        site.organization_id,
        f"p{number}",
        lock=Lock.SHARED,
        installation=replace(site.installation, quotas=quotas),
    )


def _token(site: Site, token: str, quotas: Quotas, number: int) -> Coroutine[Any, Any, Any]:
    body: dict[str, Any] = {"scope": Scope.READ, "trigger": None, "expires_at": None}
    body["installation"] = replace(site.installation, quotas=quotas)
    return send(site, token, create_token, name=f"t{number}", lock=Lock.SHARED, **body)


def _invitation(site: Site, token: str, quotas: Quotas, number: int) -> Coroutine[Any, Any, Any]:
    body: dict[str, Any] = {"role": Role.ADMIN, "project_ids": ()}
    body["installation"] = replace(site.installation, quotas=quotas)
    email = f"p{number}@example.org"
    return send(site, token, invite, site.organization_id, email=email, lock=Lock.EXCLUSIVE, **body)


Add = Callable[[Site, str, Quotas, int], Coroutine[Any, Any, Any]]


@pytest.mark.parametrize(
    ("name", "counted", "add"),
    [
        ("channels", "channels", _channel),
        ("projects", "projects", _project),
        ("tokens", "tokens", _token),
        ("invitations", "invitations", _invitation),
        ("members", "invitations", _invitation),
    ],
)
def test_of_many_at_once_no_more_are_added_than_may_be(play: Play, name: str, counted: str, add: Add) -> None:
    """The others are told which quota it is, its number, and who may raise it; another organization's don't count."""

    async def scenario(site: Site) -> None:
        token = await authorize(site, site.owner)
        query = f"SELECT count(*) AS count FROM {counted} WHERE organization_id = :id"
        (row,) = await site.rows(query, id=site.organization_id)
        most = MAX_COUNT + (1 if name == "members" else row["count"])  # the owner is a member
        quotas = replace(DEFAULT_QUOTAS, **{name: most})
        outcomes = await asyncio.gather(
            *(add(site, token, quotas, number) for number in range(2 * MAX_COUNT)), return_exceptions=True
        )
        refusals = [str(outcome) for outcome in outcomes if isinstance(outcome, Conflict)]

        assert (MAX_COUNT, MAX_COUNT) == (len(refusals), 2 * MAX_COUNT - len(refusals))
        assert all(not isinstance(outcome, BaseException) or isinstance(outcome, Conflict) for outcome in outcomes)
        for part in (f"quota of {name} ({most})", "operator", f"LOADBELL_MAX_{name.upper()}"):
            assert all(part in text for text in refusals)

    play(scenario)


def test_of_many_organizations_at_once_a_person_owns_no_more_than_may_be(play: Play) -> None:
    """Whatever way they are added; the others are told who may raise it, and somebody else's don't count."""

    async def scenario(site: Site) -> None:
        token = await authorize(site, site.owner)
        who = SignedIn(site.owner.user_id, 1, None)
        few = replace(site.installation, quotas=replace(DEFAULT_QUOTAS, organizations=1 + MAX_COUNT))
        outcomes = await asyncio.gather(
            *(
                send(site, token, create_organization, f"o{number}", installation=few, lock=Lock.SHARED)
                if number % 2
                else site.do(add_organization, who, f"o{number}", installation=few)
                for number in range(2 * MAX_COUNT)
            ),
            return_exceptions=True,
        )
        refusals = [str(outcome) for outcome in outcomes if isinstance(outcome, Conflict)]
        other = await site.person(Role.ADMIN)

        assert (MAX_COUNT, 2 * MAX_COUNT) == (len(refusals), len(outcomes))
        assert all(not isinstance(outcome, BaseException) or isinstance(outcome, Conflict) for outcome in outcomes)
        for part in (f"({1 + MAX_COUNT})", "operator", "LOADBELL_MAX_ORGANIZATIONS"):
            assert all(part in text for text in refusals)
        await site.do(create_organization, other, "theirs", installation=few)

    play(scenario)
