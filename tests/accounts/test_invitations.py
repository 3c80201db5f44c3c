"""Invitations: who may invite whom, and that a link makes one person a member, once, in time."""

from dataclasses import replace
from typing import Any

import pytest

from loadbell.accounts.authentication import authenticate
from loadbell.accounts.invitations import (
    LIFETIME,
    AcceptedInvitation,
    NewInvitation,
    accept_invitation,
    find_invitation,
    invite,
    list_invitations,
    revoke_invitation,
)
from loadbell.accounts.mail import Mailer
from loadbell.accounts.organizations import create_organization
from loadbell.domain.errors import Conflict, Forbidden, Invalid, NotFound, RateLimited, Unauthenticated
from loadbell.domain.orgs import Principal, Role, Scope
from loadbell.store.users import insert_user
from tests.support.hashing import hashing
from tests.support.mail import postbox
from tests.support.stores import NOON, Play, Site

BOB = "bob@example.net"
PASSWORD = "correct horse"
BASE_URL = "https://loadbell.example.org"


async def create_invitation(
    site: Site, who: Principal | None = None, *, sends_mail: bool = False, **given: Any
) -> NewInvitation:
    """A new invitation, to Bob as a member unless told otherwise."""
    asker = who or site.owner
    values: dict[str, Any] = {"email": BOB, "role": Role.MEMBER, "project_ids": (), **given}
    installation = replace(site.installation, sends_mail=sends_mail)
    return await site.do(invite, asker, asker.organization_id, installation=installation, **values)


async def accept(site: Site, token: str, password: str = PASSWORD, name: str | None = None) -> AcceptedInvitation:
    """What becomes of somebody who follows a link."""
    with hashing() as passwords:
        return await accept_invitation(
            site.database,
            passwords,
            token,
            name,
            password,
            address="192.0.2.1",
        )


async def hash_password(password: str) -> str:
    """What is stored of a password."""
    with hashing() as passwords:
        return await passwords.hash(password)


async def create_other_owner(site: Site) -> Principal:
    """The owner of another organization."""
    user = await site.do(insert_user, email="eve@example.net", name="Eve", password_hash="-")
    asker = replace(site.owner, user_id=user)
    organization = await site.do(create_organization, asker, "Another")
    return replace(asker, organization_id=organization.organization_id)


async def _open(site: Site) -> list[int]:
    invitations = await site.do(list_invitations, site.owner, site.organization_id, before=None, limit=100)
    return [invitation.id for invitation in invitations]


async def _count(site: Site, table: str) -> int:
    return len(await site.rows(f"SELECT 1 AS one FROM {table}"))


def test_a_new_person_joins_with_an_account_of_their_own(play: Play) -> None:
    """With the invited address and role, the assigned projects, a chosen password and a manage token."""

    async def scenario(site: Site) -> None:
        invitation = await create_invitation(
            site, email="Bob@Example.net", project_ids=(site.project_id, site.project_id)
        )
        invitation_details = await site.do(find_invitation, invitation.token)
        joined = await accept(site, invitation.token)
        principal = await site.do(authenticate, joined.token)
        (user,) = await site.rows("SELECT name, email, password_hash FROM users WHERE id = :id", id=joined.user_id)

        assert ("Example", BOB, Role.MEMBER, "owner", False) == (
            invitation_details.organization,
            invitation_details.email,
            invitation_details.role,
            invitation_details.invited_by,
            invitation_details.has_account,
        )
        assert f"{BASE_URL}/invitations/{invitation.token}" == invitation.url
        assert (joined.user_id, site.organization_id, Role.MEMBER, Scope.MANAGE, frozenset({site.project_id})) == (
            principal.user_id, principal.organization_id, principal.role, principal.scope, principal.projects,
        )  # fmt: skip
        assert ("bob", BOB) == (user["name"], user["email"])
        with hashing() as passwords:
            assert await passwords.matches(user["password_hash"], PASSWORD)

    play(scenario)


def test_somebody_with_an_account_joins_by_the_present_password(play: Play) -> None:
    """And stays the same user, under the same name."""

    async def scenario(site: Site) -> None:
        bob = await site.do(insert_user, email=BOB, name="Bob", password_hash=await hash_password(PASSWORD))
        invitation = await create_invitation(site, role=Role.ADMIN)
        invitation_details = await site.do(find_invitation, invitation.token)
        joined = await accept(site, invitation.token, name="Robert")
        principal = await site.do(authenticate, joined.token)

        assert invitation_details.has_account
        assert (bob, Role.ADMIN, None) == (joined.user_id, principal.role, principal.projects)
        assert "Bob" == (await site.rows("SELECT name FROM users WHERE id = :id", id=bob))[0]["name"]

    play(scenario)


def test_a_link_does_not_replace_the_password_of_an_account(play: Play) -> None:
    """Whoever has the link but not the password changes nothing, and can't try for long."""

    async def scenario(site: Site) -> None:
        bob = await site.do(insert_user, email=BOB, name="Bob", password_hash=await hash_password(PASSWORD))
        invitation = await create_invitation(site)
        for _ in range(5):
            with pytest.raises(Unauthenticated):
                await accept(site, invitation.token, "wrong horse")
        with pytest.raises(RateLimited):
            await accept(site, invitation.token)

        assert [] == await site.rows("SELECT role FROM members WHERE user_id = :id", id=bob)
        assert [invitation.invitation.id] == await _open(site)

    play(scenario)


@pytest.mark.parametrize(("name", "password", "field"), [(" ", PASSWORD, "name"), (None, "short", "password")])
def test_what_can_not_be_an_account_leaves_the_link_as_it_is(
    play: Play, name: str | None, password: str, field: str
) -> None:
    """The field is named, and the link still works."""

    async def scenario(site: Site) -> None:
        invitation = await create_invitation(site)
        with pytest.raises(Invalid) as refused:
            await accept(site, invitation.token, password, name)
        await accept(site, invitation.token, name="Bob B.")

        assert [field] == [error.field for error in refused.value.errors]

    play(scenario)


def test_a_link_works_once(play: Play) -> None:
    """Then it is as unknown as any other text."""

    async def scenario(site: Site) -> None:
        invitation = await create_invitation(site)
        await accept(site, invitation.token)
        for token in (invitation.token, "lbi_" + "A" * 43, "", "x\ud800"[:1]):
            with pytest.raises(NotFound):
                await accept(site, token)
            with pytest.raises(NotFound):
                await site.do(find_invitation, token)

        assert [] == await _open(site)

    play(scenario)


def test_a_link_ends_after_seven_days(play: Play) -> None:
    """To the microsecond: then it can be neither followed nor revoked, and is not listed."""

    async def scenario(site: Site) -> None:
        invitation = await create_invitation(site)
        site.clock.advance(LIFETIME - 1)
        await site.do(find_invitation, invitation.token)
        listed = await _open(site)
        site.clock.advance(1)
        with pytest.raises(NotFound):
            await accept(site, invitation.token)
        with pytest.raises(NotFound):
            await site.do(revoke_invitation, site.owner, invitation.invitation.id)

        assert [invitation.invitation.id] == listed
        assert [] == await _open(site)
        assert NOON + LIFETIME == invitation.invitation.expires_at

    play(scenario)


def test_a_revoked_link_is_useless_at_once(play: Play) -> None:
    """And is gone from the list."""

    async def scenario(site: Site) -> None:
        invitation, other = await create_invitation(site), await create_invitation(site, email="carol@example.net")
        await site.do(revoke_invitation, site.owner, invitation.invitation.id)
        with pytest.raises(NotFound):
            await accept(site, invitation.token)

        assert [other.invitation.id] == await _open(site)

    play(scenario)


def test_inviting_again_replaces_the_former_link(play: Play) -> None:
    """Of the same address in the same organization; another organization's stays."""

    async def scenario(site: Site) -> None:
        theirs = await create_invitation(site, await create_other_owner(site))
        former, invitation = (
            await create_invitation(site),
            await create_invitation(site, role=Role.ADMIN, email=BOB.upper()),
        )
        with pytest.raises(NotFound):
            await accept(site, former.token)
        joined = await accept(site, invitation.token)

        assert Role.ADMIN is (await site.do(authenticate, joined.token)).role
        assert theirs.invitation.organization_id == (await accept(site, theirs.token)).organization_id

    play(scenario)


def test_a_member_is_not_invited(play: Play) -> None:
    """However the address is capitalized."""

    async def scenario(site: Site) -> None:
        with pytest.raises(Conflict, match="already a member"):
            await create_invitation(site, email="Owner@Example.org")

        assert [] == await _open(site)

    play(scenario)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"role": Role.OWNER}, "role"),
        ({"email": "bob@example.net\r\nBcc: eve@example.net"}, "email"),
        ({"email": "bob@example.net,eve@example.net"}, "email"),
        ({"project_ids": (2**70,)}, "project_ids"),
        ({"role": Role.ADMIN, "project_ids": (1,)}, "project_ids"),
    ],
)
def test_an_invitation_that_makes_no_sense_is_refused(play: Play, given: dict[str, Any], field: str) -> None:
    """The field is named, and nothing is kept."""

    async def scenario(site: Site) -> None:
        with pytest.raises(Invalid) as refused:
            await create_invitation(site, **given)

        assert [field] == [error.field for error in refused.value.errors]
        assert 0 == await _count(site, "invitations")

    play(scenario)


def test_only_open_projects_of_the_organization_are_assigned(play: Play) -> None:
    """Another organization's and archived ones are refused; what is archived later is passed over."""

    async def scenario(site: Site) -> None:
        theirs = await site.project((await create_other_owner(site)).organization_id)
        archived, later = await site.project(), await site.project()
        await site.run_sql("UPDATE projects SET archived_at = 1 WHERE id = :id", id=archived)
        for project in (theirs, archived):
            with pytest.raises(Invalid, match="project_ids"):
                await create_invitation(site, project_ids=(site.project_id, project))
        invitation = await create_invitation(site, project_ids=(site.project_id, later))
        await site.run_sql("UPDATE projects SET archived_at = 1 WHERE id = :id", id=later)
        joined = await accept(site, invitation.token)

        assert frozenset({site.project_id}) == (await site.do(authenticate, joined.token)).projects

    play(scenario)


def test_inviting_is_the_business_of_owner_and_admins(play: Play) -> None:
    """A member may neither invite, nor list, nor revoke; a read token may only list; an admin may all of it."""

    async def scenario(site: Site) -> None:
        invitation = await create_invitation(site)
        member, admin = await site.person(Role.MEMBER), await site.person(Role.ADMIN)
        for principal in (member, replace(admin, scope=Scope.READ), replace(admin, scope=Scope.REPORT)):
            with pytest.raises(Forbidden):
                await create_invitation(site, principal)
            with pytest.raises(Forbidden):
                await site.do(revoke_invitation, principal, invitation.invitation.id)
        for principal in (member, replace(admin, scope=Scope.REPORT)):
            with pytest.raises(Forbidden):
                await site.do(list_invitations, principal, site.organization_id, before=None, limit=1)
        invitations = await site.do(
            list_invitations, replace(admin, scope=Scope.READ), site.organization_id, before=None, limit=1
        )
        again = await create_invitation(site, admin, role=Role.ADMIN)
        await site.do(revoke_invitation, admin, again.invitation.id)

        assert [invitation.invitation] == invitations
        assert [] == await _open(site)

    play(scenario)


def test_another_organizations_invitations_are_not_there(play: Play) -> None:
    """Not to be listed, not to be revoked, and nobody is invited there."""

    async def scenario(site: Site) -> None:
        invitation, theirs = await create_invitation(site), await create_other_owner(site)
        with pytest.raises(NotFound):
            await site.do(revoke_invitation, theirs, invitation.invitation.id)
        with pytest.raises(NotFound):
            await site.do(list_invitations, theirs, site.organization_id, before=None, limit=1)
        with pytest.raises(NotFound):
            await site.do(
                invite, theirs, site.organization_id,
                email=BOB, role=Role.ADMIN, project_ids=())  # fmt: skip

        assert [invitation.invitation.id] == await _open(site)
        assert [] == await site.do(list_invitations, theirs, theirs.organization_id, before=None, limit=1)

    play(scenario)


def test_the_audit_log_tells_who_invited_revoked_and_joined(play: Play) -> None:
    """From where and as what; no link, token or password is in it."""

    async def scenario(site: Site) -> None:
        made, gone = (
            await create_invitation(site, project_ids=(site.project_id,)),
            await create_invitation(site, email="c@example.net"),
        )
        await site.do(revoke_invitation, site.owner, gone.invitation.id)
        joined = await accept(site, made.token)
        rows = await site.rows("SELECT * FROM audit_entries ORDER BY id")
        told = [(row["action"], row["subject"], row["user_id"]) for row in rows]
        (token,) = await site.rows("SELECT id, prefix FROM tokens WHERE user_id = :user_id", user_id=joined.user_id)
        everything = str([tuple(row) for row in rows])  # type: ignore[arg-type]  # both drivers' rows can be gone through

        owner, bob = site.owner.user_id, joined.user_id
        assert [
            ("invitation.created", f"invitation {made.invitation.id}", owner),
            ("invitation.created", f"invitation {gone.invitation.id}", owner),
            ("invitation.revoked", f"invitation {gone.invitation.id}", owner),
            ("account.created", f"user {bob}", bob),
            ("invitation.accepted", f"invitation {made.invitation.id}", bob),
            ("token.created", f"token {token['id']}", bob),
        ] == told
        assert ["192.0.2.1"] * 3 == [row["address"] for row in rows[-3:]]
        assert f'"project_ids":{{"before":[],"after":[{site.project_id}]}}' in rows[-2]["changes"]
        assert f'"prefix":"{token["prefix"]}","scope":"manage"' in rows[-1]["changes"]
        assert not [secret for secret in (made.token, joined.token, PASSWORD) if secret in everything]

    play(scenario)


def test_the_link_is_stored_as_a_hash(play: Play) -> None:
    """Whoever reads the database can't join."""

    async def scenario(site: Site) -> None:
        invitation = await create_invitation(site, sends_mail=True)
        rows = [*await site.rows("SELECT * FROM invitations"), *await site.rows("SELECT * FROM mails")]

        assert invitation.token not in str([tuple(row) for row in rows])  # type: ignore[arg-type]  # as above
        assert invitation.token not in repr(invitation.invitation)

    play(scenario)


def test_an_invitation_is_mailed_when_there_is_a_mail_server(play: Play) -> None:
    """To the invited address, saying who invites to what, and until when; names can't forge a line of it."""

    async def scenario(site: Site) -> None:
        await site.run_sql("UPDATE organizations SET name = :name", name="Exämple\r\nBcc: eve@example.net")
        with postbox() as box:
            unsent, invitation = (
                await create_invitation(site, email="carol@example.net"),
                await create_invitation(site, sends_mail=True),
            )
            await Mailer(site.database, box.settings, ca_file=None).send_due()
        (taken,) = box.taken

        assert (False, True) == (unsent.mailed, invitation.mailed)
        assert [BOB] == taken.recipients
        assert "Invitation to Exämple Bcc: eve@example.net on loadbell" == str(taken.message["Subject"])
        assert f"\n{invitation.url}\n" in taken.text.replace("\r\n", "\n")
        assert "owner invited you to the organization Exämple Bcc: eve@example.net on loadbell, as member" in taken.text
        assert "2027-01-22 08:00 UTC" in taken.text

    play(scenario)
