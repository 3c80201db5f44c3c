"""Sessions: how long they last, who ends them, and what they make of a person in an organization."""

from dataclasses import replace
from typing import Any

import pytest

from loadbell.accounts.account import change_password, get_account, rename, reset_password
from loadbell.accounts.authentication import Lock, authorize
from loadbell.accounts.sessions import SESSION_LIFETIME, end_session, list_sessions
from loadbell.domain.errors import Invalid, NotFound, RateLimited, Unauthenticated
from loadbell.domain.orgs import Role, Scope
from loadbell.store.organizations import assign_project, insert_member
from loadbell.store.sessions import get_rights
from tests.support.counting import Counting
from tests.support.crowds import put_sessions
from tests.support.signing_in import HOME, IN, PASSWORD, QUICK, Entrance
from tests.support.stores import Play, Site, as_dict

MANY = 450
"""More than twice as many sessions as are counted, or forgotten at a time."""


def test_a_session_lasts_thirty_days_to_the_microsecond(play: Play) -> None:
    """From signing in, however it is used."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        user_id = await entrance.add()
        session = await entrance.enter()
        site.clock.advance(SESSION_LIFETIME - 1)
        who = await entrance.who(session)
        site.clock.advance(1)
        with pytest.raises(Unauthenticated, match="ended"):
            await entrance.who(session)

        assert (user_id, session.id, HOME) == (who.user_id, who.session_id, who.address)
        assert session.created_at + SESSION_LIFETIME == session.expires_at
        assert [] == await site.do(list_sessions, who, before=None, limit=9)

    play(scenario)


def test_only_a_hash_of_a_session_is_kept(play: Play) -> None:
    """Neither the tables nor the audit log hold what proves it."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        session = await entrance.enter()
        rows = [str(as_dict(row)) for row in await site.rows("SELECT * FROM sessions")]
        rows += [row["changes"] for row in await site.rows("SELECT changes FROM audit_entries")]

        assert session.session.startswith("lbs_")
        assert session.session not in " ".join(rows)

    play(scenario)


def test_signing_in_ends_the_session_that_came_along(play: Play) -> None:
    """The former one is over at once, the others go on; what is no session is passed over."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        elsewhere, former = await entrance.enter(), await entrance.enter()
        present = await entrance.enter(former=former.session)
        with pytest.raises(Unauthenticated):
            await entrance.who(former)
        await entrance.enter(former="lbs_unknown")

        assert (await entrance.who(elsewhere)).session_id == elsewhere.id
        assert (await entrance.who(present)).session_id == present.id

    play(scenario)


def test_a_failed_sign_in_ends_nothing(play: Play) -> None:
    """Whoever mistypes stays who it was."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        session = await entrance.enter()
        with pytest.raises(Unauthenticated):
            await entrance.enter(password="wrong horse", former=session.session)

        assert session.id == (await entrance.who(session)).session_id

    play(scenario)


def test_sessions_are_listed_and_ended_by_their_user_alone(play: Play) -> None:
    """Newest first, page by page; an ended one is over at once and gone; somebody else's is not there."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        await entrance.add("lee@example.org")
        first, second = await entrance.enter(agent="Fire\x00fox\x1b[2J \u202e" + "9" * 300), await entrance.enter()
        kim, lee = await entrance.who(first), await entrance.who(await entrance.enter("lee@example.org"))
        sessions = await site.do(list_sessions, kim, before=None, limit=9)
        (older,) = await site.do(list_sessions, kim, before=second.id, limit=9)
        with pytest.raises(NotFound):
            await site.do(end_session, lee, second.id)
        await site.do(end_session, kim, second.id)
        with pytest.raises(NotFound):
            await site.do(end_session, kim, second.id)
        with pytest.raises(Unauthenticated, match="ended"):
            await entrance.who(second)

        assert [second.id, first.id] == [session.id for session in sessions]
        assert (HOME, None) == (sessions[0].address, sessions[0].agent)
        assert "Firefox[2J " + "9" * 189 == older.agent
        assert [first.id] == [session.id for session in await site.do(list_sessions, kim, before=None, limit=9)]

    play(scenario)


def test_sessions_are_forgotten_when_their_user_signs_in_again(play: Play) -> None:
    """Those that began 30 days ago or earlier; nobody else's."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        await entrance.add("lee@example.org")
        await entrance.enter()
        lees = await entrance.enter("lee@example.org")
        site.clock.advance(SESSION_LIFETIME)
        fresh = await entrance.enter()

        assert [lees.id, fresh.id] == [row["id"] for row in await site.rows("SELECT id FROM sessions ORDER BY id")]

    play(scenario)


def test_a_changed_password_ends_all_other_sessions(play: Play) -> None:
    """Whoever knew the former one is out; the session that changed it goes on, and the new password lets in."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        other, mine = await entrance.enter(), await entrance.enter()
        who = await entrance.who(mine)

        async def change(current: str, new: str) -> None:
            await change_password(site.database, entrance.passwords, who, current, new)

        for current, new, field in (
            ("wrong horse", "another horse", "current_password"),
            (PASSWORD, "short", "new_password"),
        ):
            with pytest.raises(Invalid) as refused:
                await change(current, new)
            assert [field] == [error.field for error in refused.value.errors]
        await change(PASSWORD, "another horse")
        with pytest.raises(Unauthenticated):
            await entrance.who(other)
        with pytest.raises(Unauthenticated):
            await entrance.enter()

        assert who == await entrance.who(mine)
        assert IN == await entrance.attempt(password="another horse")

    play(scenario)


def test_very_many_sessions_end_at_once(play: Play) -> None:
    """In a transaction that changes a few rows; all but the one that asks, and that one, too, when they end again."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        mine = await entrance.enter()
        who = await entrance.who(mine)
        await put_sessions(site.database, mine.user_id, MANY, site.clock())
        later = await entrance.enter()
        counting = Counting(site.database)
        changed: Any = counting
        await change_password(changed, entrance.passwords, who, PASSWORD, "another horse")
        rights = await site.do(get_rights, site.organization_id, [mine.id, later.id, later.id - 1])
        with pytest.raises(Unauthenticated, match="ended"):
            await entrance.who(later)
        with pytest.raises(NotFound):
            await site.do(end_session, who, later.id)
        (row,) = await site.rows("SELECT changes FROM audit_entries WHERE action = 'account.password_changed'")

        assert who == await entrance.who(mine)
        assert {} == rights  # of nobody who is a member
        assert [mine.id] == [session.id for session in await site.do(list_sessions, who, before=None, limit=9)]
        assert '{"sessions_ended":"more than 200"}' == row["changes"]
        assert max(counting.changed) < 20
        assert 1 == await site.do(reset_password, "kim@example.org", QUICK.hash("one more horse"))
        with pytest.raises(Unauthenticated, match="ended"):
            await entrance.who(mine)
        assert IN == await entrance.attempt(password="one more horse")
        site.clock.advance(-2 * SESSION_LIFETIME)
        with pytest.raises(Unauthenticated, match="ended"):
            await entrance.who(mine)

    play(scenario)


def test_very_many_sessions_are_forgotten_a_few_at_a_time(play: Play) -> None:
    """By each sign-in some of those that began 30 days ago, the oldest first, until none is left."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        first = await entrance.enter()
        await put_sessions(site.database, first.user_id, MANY, site.clock())
        site.clock.advance(SESSION_LIFETIME)
        counting = Counting(site.database)
        counted: Any = counting
        entrance = Entrance(replace(site, database=counted))
        left = []
        for _ in range(3):
            await entrance.enter()
            left.append((await site.rows("SELECT count(*) AS count FROM sessions"))[0]["count"])

        assert [MANY + 1 - 200 + 1, MANY + 1 - 400 + 2, 3] == left
        assert max(counting.changed) < 300

    play(scenario)


def test_the_present_password_is_guessed_as_slowly_as_at_sign_in(play: Play) -> None:
    """A stolen session is no quicker way to the password."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        who = await entrance.who(await entrance.enter())
        for refusal in [Invalid] * 5 + [RateLimited]:
            with pytest.raises(refusal):
                await change_password(site.database, entrance.passwords, who, "wrong horse", "another horse")

    play(scenario)


def test_the_operator_resets_a_password(play: Play) -> None:
    """All sessions end, the new password lets in; nobody of that address is told so."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        await entrance.add()
        session = await entrance.enter()
        with pytest.raises(NotFound):
            await site.do(reset_password, "nobody@example.org", "-")

        assert 1 == await site.do(reset_password, "KIM@example.org", QUICK.hash("another horse"))
        with pytest.raises(Unauthenticated):
            await entrance.who(session)
        assert IN == await entrance.attempt(password="another horse")

    play(scenario)


def test_the_audit_log_of_an_account_tells_what_happened_to_it(play: Play) -> None:
    """Signing in, ended sessions, a new name and password, with from where; not a sign-in that was refused."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        user_id = await entrance.add()
        first = await entrance.enter()
        second = await entrance.enter(address="192.0.2.8", former=first.session)
        who = await entrance.who(second, address="192.0.2.9")
        with pytest.raises(Unauthenticated):
            await entrance.enter(password="wrong horse")
        await site.do(rename, who, "Kim Lee")
        await site.do(rename, who, "Kim Lee")
        await change_password(site.database, entrance.passwords, who, PASSWORD, "another horse")
        await site.do(end_session, who, second.id)
        await site.do(reset_password, "kim@example.org", "-")
        rows = await site.rows("SELECT * FROM audit_entries ORDER BY id")

        assert [
            ("account.signed_in", HOME, f'{{"session_id":{first.id}}}'),
            ("session.ended", "192.0.2.8", f'{{"session_id":{first.id}}}'),
            ("account.signed_in", "192.0.2.8", f'{{"session_id":{second.id}}}'),
            ("account.renamed", "192.0.2.9", '{"name":{"before":"Kim","after":"Kim Lee"}}'),
            ("account.password_changed", "192.0.2.9", '{"sessions_ended":0}'),
            ("session.ended", "192.0.2.9", f'{{"session_id":{second.id}}}'),
            ("account.password_reset", None, '{"sessions_ended":0}'),
        ] == [(row["action"], row["address"], row["changes"]) for row in rows]
        assert {(None, None)} == {(row["organization_id"], row["token_id"]) for row in rows}
        assert [user_id] * 6 + [None] == [row["user_id"] for row in rows]  # the last was not he, but the operator
        assert {f"user {user_id}"} == {row["subject"] for row in rows}

    play(scenario)


@pytest.mark.parametrize("lock", list(Lock))
@pytest.mark.parametrize("role", list(Role))
def test_a_person_acts_in_an_organization_with_its_role(play: Play, role: Role, lock: Lock) -> None:
    """As with a manage token of the whole organization, but without a token; a member sees the assigned projects."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        user_id = await entrance.add()
        who = await entrance.who(await entrance.enter())
        if role is Role.OWNER:
            await site.run_sql("UPDATE members SET role = 'admin'")
        await site.do(insert_member, site.organization_id, user_id, role)
        await site.do(assign_project, site.project_id, user_id)
        principal = await site.do(authorize, who, site.organization_id, lock=lock)

        projects = frozenset({site.project_id}) if role is Role.MEMBER else None
        assert (role, Scope.MANAGE, None, projects) == (
            principal.role,
            principal.scope,
            principal.token_id,
            principal.projects,
        )
        assert (user_id, site.organization_id, HOME) == (
            principal.user_id,
            principal.organization_id,
            principal.address,
        )
        (membership,) = (await site.do(get_account, who)).organizations
        assert (site.organization_id, "Example", role) == (
            membership.organization_id,
            membership.name,
            membership.role,
        )

    play(scenario)


def test_nobody_acts_where_it_does_not_belong(play: Play) -> None:
    """An organization of others, a former one, and one that is not there read the same."""

    async def scenario(site: Site) -> None:
        entrance = Entrance(site)
        user_id = await entrance.add()
        who = await entrance.who(await entrance.enter())
        for organization_id in (site.organization_id, site.organization_id + 1):
            for lock in Lock:
                with pytest.raises(NotFound, match=f"There is no organization {organization_id}."):
                    await site.do(authorize, who, organization_id, lock=lock)
        await site.do(insert_member, site.organization_id, user_id, Role.ADMIN)
        await site.do(authorize, who, site.organization_id)
        await site.run_sql("DELETE FROM members WHERE role = 'admin'")
        with pytest.raises(NotFound):
            await site.do(authorize, who, site.organization_id)

        assert () == (await site.do(get_account, who)).organizations

    play(scenario)
