"""API tokens: who stands behind one at this moment, and what new ones may do."""

import pytest

from loadbell.accounts.authentication import authenticate
from loadbell.accounts.tokens import create_token
from loadbell.domain.errors import Forbidden, Invalid, Unauthenticated
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Principal, Role, Scope
from loadbell.domain.runs import Trigger
from tests.support.stores import Play, Site


async def _token(
    site: Site, who: Principal | None = None, scope: Scope = Scope.MANAGE, expires_at: Micros | None = None
) -> str:
    _, value = await site.do(
        create_token, who or site.owner, name="ci", scope=scope, trigger=Trigger.CI, expires_at=expires_at
    )
    return value


@pytest.mark.parametrize("scope", Scope)
def test_a_token_is_its_user_in_its_organization(play: Play, scope: Scope) -> None:
    """With its scope and trigger, and the role its user has."""

    async def scenario(site: Site) -> None:
        token = await _token(site, scope=scope)
        principal = await site.do(authenticate, token)

        assert token.startswith("lb_")
        assert 46 == len(token)
        assert (site.owner.user_id, site.organization_id, Role.OWNER, scope, Trigger.CI, None) == (
            principal.user_id,
            principal.organization_id,
            principal.role,
            principal.scope,
            principal.trigger,
            principal.projects,
        )

    play(scenario)


@pytest.mark.parametrize("bearer", [None, "", "lb_", "lb_unknown", "x" * 100_000, "ü\udcff\x00", "lb_" + "A" * 43])
def test_whoever_has_no_known_token_is_nobody(play: Play, bearer: str | None) -> None:
    """Whatever stands there, the answer is "unauthenticated" and shows nothing of it."""

    async def scenario(site: Site) -> None:
        with pytest.raises(Unauthenticated) as refused:
            await site.do(authenticate, bearer)

        assert not bearer or len(bearer) < 4 or bearer not in str(refused.value)

    play(scenario)


def test_a_token_ends_when_it_expires(play: Play) -> None:
    """To the microsecond."""

    async def scenario(site: Site) -> None:
        token = await _token(site, expires_at=site.clock.now + SECOND)
        site.clock.advance(SECOND - 1)
        await site.do(authenticate, token)
        site.clock.advance(1)
        with pytest.raises(Unauthenticated, match="expired"):
            await site.do(authenticate, token)

    play(scenario)


def test_a_token_that_has_already_expired_is_not_made(play: Play) -> None:
    """The field is named."""

    async def scenario(site: Site) -> None:
        with pytest.raises(Invalid) as refused:
            await _token(site, expires_at=site.clock.now)

        assert ["expires_at"] == [error.field for error in refused.value.errors]

    play(scenario)


def test_a_token_that_expires_makes_none_that_lives_longer(play: Play) -> None:
    """It hands on its own end; an earlier one is taken, a later one refused by name. A session has no such end."""

    async def scenario(site: Site) -> None:
        end = site.clock.now + SECOND
        who = await site.do(authenticate, await _token(site, expires_at=end))
        values = [await _token(site, who, expires_at=given) for given in (None, end, end - 1)]
        principals = [await site.do(authenticate, value) for value in values]
        with pytest.raises(Invalid) as refused:
            await _token(site, who, expires_at=end + 1)

        assert [end, end, end - 1] == [one.expires_at for one in principals]
        assert ["expires_at"] == [error.field for error in refused.value.errors]
        assert (await site.do(authenticate, await _token(site))).expires_at is None

    play(scenario)


def test_a_changed_role_counts_at_once(play: Play) -> None:
    """A demoted owner's token is a member's from the next request on, and sees assigned projects only."""

    async def scenario(site: Site) -> None:
        token = await _token(site)
        await site.run_sql("UPDATE members SET role = 'member'")
        before = await site.do(authenticate, token)
        await site.run_sql(
            "INSERT INTO assignments (project_id, user_id) VALUES (:project, :user)",
            project=site.project_id,
            user=site.owner.user_id,
        )
        after = await site.do(authenticate, token)

        assert (Role.MEMBER, frozenset[int](), frozenset({site.project_id})) == (
            before.role,
            before.projects,
            after.projects,
        )

    play(scenario)


def test_assignments_in_another_organization_open_nothing(play: Play) -> None:
    """A member sees assigned projects of this organization."""

    async def scenario(site: Site) -> None:
        token = await _token(site)
        await site.run_sql("UPDATE members SET role = 'member'")
        await site.run_sql("INSERT INTO organizations (name, created_at) VALUES ('Neighbour', 0)")
        (other,) = await site.rows("SELECT max(id) AS id FROM organizations")
        foreign = await site.project(other["id"])
        await site.run_sql(
            "INSERT INTO assignments (project_id, user_id) VALUES (:project, :user)",
            project=foreign,
            user=site.owner.user_id,
        )

        assert frozenset() == (await site.do(authenticate, token)).projects

    play(scenario)


def test_whoever_left_the_organization_is_nobody(play: Play) -> None:
    """Their tokens stop working at once."""

    async def scenario(site: Site) -> None:
        token = await _token(site)
        await site.run_sql("DELETE FROM members")
        with pytest.raises(Unauthenticated):
            await site.do(authenticate, token)

    play(scenario)


@pytest.mark.parametrize("scope", [Scope.REPORT, Scope.READ])
def test_a_narrow_token_makes_no_other(play: Play, scope: Scope) -> None:
    """Nobody widens what a token may do by making another."""

    async def scenario(site: Site) -> None:
        principal = await site.do(authenticate, await _token(site, scope=scope))
        with pytest.raises(Forbidden):
            await _token(site, principal, scope=scope)

    play(scenario)


def test_members_make_no_tokens(play: Play) -> None:
    """As in the legacy product: owner and admins do."""

    async def scenario(site: Site) -> None:
        with pytest.raises(Forbidden):
            await _token(site, await site.person(Role.MEMBER, (site.project_id,)))
        await _token(site, await site.person(Role.ADMIN))

    play(scenario)


def test_tokens_are_noted_without_being_shown(play: Play) -> None:
    """The audit log says who made which, of what scope."""

    async def scenario(site: Site) -> None:
        token = await _token(site, scope=Scope.READ)
        (entry,) = await site.rows("SELECT * FROM audit_entries")
        (row,) = await site.rows("SELECT id FROM tokens WHERE name = 'ci'")

        assert ("token.created", f"token {row['id']}", site.owner.user_id) == (
            entry["action"], entry["subject"], entry["user_id"],
        )  # fmt: skip
        assert "read" in entry["changes"]
        assert token not in repr(dict(entry))  # type: ignore[call-overload]  # both drivers' rows are mappings

    play(scenario)
