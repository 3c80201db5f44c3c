"""Members: roles, projects, leaving, and the one owner."""

import json
from typing import Any

import pytest

from loadbell.accounts.authentication import authenticate
from loadbell.accounts.members import list_members, remove_member, update_member
from loadbell.accounts.projects import update_project
from loadbell.domain.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from loadbell.domain.orgs import Role
from tests.accounts.requesting import authorize
from tests.support.stores import Play, Site


def test_a_member_gets_another_role_and_projects(play: Play) -> None:
    """Before and after stand in the audit log; what changes nothing is not noted."""

    async def scenario(site: Site) -> None:
        project, ann = await site.project(), await site.person(Role.ADMIN)
        body: dict[str, Any] = {"role": Role.MEMBER, "project_ids": (project, project)}
        changed = await site.do(update_member, site.owner, site.organization_id, ann.user_id, **body)
        again = await site.do(update_member, site.owner, site.organization_id, ann.user_id, **body)
        (entry,) = await site.rows("SELECT * FROM audit_entries")

        assert changed == again
        assert (Role.MEMBER, (project,)) == (changed.role, changed.project_ids)
        assert ("member.changed", f"member {ann.user_id}") == (entry["action"], entry["subject"])
        assert {
            "project_ids": {"before": [], "after": [project]},
            "role": {"before": "admin", "after": "member"},
        } == json.loads(entry["changes"])

    play(scenario)


def test_only_the_owner_hands_over_and_becomes_an_admin(play: Play) -> None:
    """No other way changes the owner's role; an admin may do neither."""

    async def scenario(site: Site) -> None:
        admin, heir = await site.person(Role.ADMIN), await site.person(Role.MEMBER)
        for asker, user, role, refusal in (
            (admin, heir.user_id, Role.OWNER, Forbidden),
            (admin, site.owner.user_id, Role.MEMBER, Conflict),
            (site.owner, site.owner.user_id, Role.ADMIN, Conflict),
        ):
            with pytest.raises(refusal):
                await site.do(update_member, asker, site.organization_id, user, role=role)
        await site.do(update_member, site.owner, site.organization_id, heir.user_id, role=Role.OWNER)
        members = await site.do(list_members, site.owner, site.organization_id, before=None, limit=9)

        assert {heir.user_id: Role.OWNER, admin.user_id: Role.ADMIN, site.owner.user_id: Role.ADMIN} == {
            member.user_id: member.role for member in members
        }

    play(scenario)


def test_a_member_leaves_with_all_tokens(play: Play) -> None:
    """Nothing of that person's access here is left; the owner stays, and a token of one project takes nobody out."""

    async def scenario(site: Site) -> None:
        ann = await site.person(Role.MEMBER, (site.project_id,))
        token = await authorize(site, ann)
        await site.do(remove_member, ann, site.organization_id, ann.user_id)
        owner = await site.do(authenticate, await authorize(site, site.owner, project_id=site.project_id))

        with pytest.raises(Unauthenticated):
            await site.do(authenticate, token)
        assert [] == await site.rows("SELECT * FROM assignments")
        for asker, refusal in ((site.owner, Conflict), (owner, Forbidden)):
            with pytest.raises(refusal):
                await site.do(remove_member, asker, site.organization_id, site.owner.user_id)

    play(scenario)


def test_an_admin_removes_members_but_not_the_owner(play: Play) -> None:
    """A member removes nobody; whoever isn't one isn't found."""

    async def scenario(site: Site) -> None:
        admin, ann = await site.person(Role.ADMIN), await site.person(Role.MEMBER)
        with pytest.raises(Forbidden):
            await site.do(remove_member, admin, site.organization_id, site.owner.user_id)
        with pytest.raises(Forbidden):
            await site.do(remove_member, ann, site.organization_id, admin.user_id)
        await site.do(remove_member, admin, site.organization_id, ann.user_id)
        for organization, user in ((site.organization_id, ann.user_id), (site.organization_id + 1, admin.user_id)):
            with pytest.raises(NotFound):
                await site.do(remove_member, admin, organization, user)

    play(scenario)


def test_projects_of_another_organization_are_not_assigned(play: Play) -> None:
    """The field is named."""

    async def scenario(site: Site) -> None:
        ann = await site.person(Role.MEMBER)
        with pytest.raises(Invalid) as refused:
            await site.do(
                update_member, site.owner, site.organization_id, ann.user_id, project_ids=(site.project_id, 2**70)
            )

        assert ["project_ids"] == [error.field for error in refused.value.errors]
        assert [] == await site.rows("SELECT * FROM assignments")

    play(scenario)


def test_a_members_run_goes_to_the_default_project_or_the_oldest_open_one(play: Play) -> None:
    """Of those that are assigned; when all are archived, that is what it is told."""

    async def scenario(site: Site) -> None:
        first, second = await site.project(), await site.project()
        both = await site.person(Role.MEMBER, (first, second))
        member = await site.person(Role.MEMBER, (second, site.project_id))

        assert first == (await site.run(both)).project_id
        assert site.project_id == (await site.run(member)).project_id
        await site.do(update_project, site.owner, first, archived=True)
        assert second == (await site.run(both)).project_id
        await site.do(update_project, site.owner, second, archived=True)
        with pytest.raises(Conflict, match="archived"):
            await site.run(both)

    play(scenario)
