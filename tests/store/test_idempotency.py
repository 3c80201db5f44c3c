"""Idempotency keys: the same request is carried out once and answered alike, for 24 hours, for each token."""

import asyncio

import pytest

from loadbell.domain.errors import Conflict
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Scope
from loadbell.domain.runs import Trigger
from loadbell.store.engine.db import Transaction
from loadbell.store.idempotency import claim_key, save_response
from loadbell.store.organizations import insert_project
from loadbell.store.tokens import insert_token
from tests.support.stores import Play, Site

DAY: Micros = 24 * 3600 * SECOND


async def _send(site: Site, body: str = "body", token: int | None = None) -> tuple[str, bool]:
    """A request under a key, as a context carries it out: its answer, and whether it was carried out now."""
    asker = token or site.owner.token_id
    assert asker is not None

    async def once(tx: Transaction) -> tuple[str, bool]:
        earlier = await claim_key(tx, asker, "key", body)
        if earlier is not None:
            return earlier, False
        made = await insert_project(tx, site.organization_id, "made once")
        await save_response(tx, asker, "key", f"project {made}")
        return f"project {made}", True

    return await site.database.write(once)


async def _projects(site: Site) -> int:
    return len(await site.rows("SELECT id FROM projects"))


def test_a_repeat_gets_the_first_answer(play: Play) -> None:
    """The same key and body change nothing a second time."""

    async def scenario(site: Site) -> None:
        first, again = await _send(site), await _send(site)

        assert (first[0], False) == again
        assert 2 == await _projects(site)

    play(scenario)


def test_the_same_key_for_another_request_is_refused(play: Play) -> None:
    """A client that reuses a key by mistake learns so; nothing is changed."""

    async def scenario(site: Site) -> None:
        await _send(site)
        with pytest.raises(Conflict, match="Idempotency-Key"):
            await _send(site, body="another")

        assert 2 == await _projects(site)

    play(scenario)


def test_a_key_belongs_to_its_token(play: Play) -> None:
    """Two tokens that chose the same key know nothing of each other."""

    async def scenario(site: Site) -> None:
        other = await site.do(
            insert_token,
            organization_id=site.organization_id,
            user_id=site.owner.user_id,
            name="other",
            scope=Scope.MANAGE,
            trigger=Trigger.UNKNOWN,
            token_hash="another hash",
            prefix="lb_",
            expires_at=None,
        )
        first, second = await _send(site), await _send(site, body="another", token=other)

        assert (True, True) == (first[1], second[1])
        assert first[0] != second[0]

    play(scenario)


def test_a_key_is_kept_for_24_hours(play: Play) -> None:
    """To the last microsecond; after that it may be used for anything."""

    async def scenario(site: Site) -> None:
        first = await _send(site)
        site.clock.advance(DAY)
        kept = await _send(site)
        site.clock.advance(1)
        anew = await _send(site, body="another")

        assert [(first[0], False), True] == [kept, anew[1]]
        assert 1 == len(await site.rows("SELECT key FROM idempotency_keys"))

    play(scenario)


@pytest.mark.parametrize("body", ["body", "another"])
def test_of_several_at_once_exactly_one_is_carried_out(play: Play, body: str) -> None:
    """The others wait for its end and get its answer, or a refusal if they asked for something else."""

    async def scenario(site: Site) -> None:
        asked = [_send(site, body="body" if number % 2 else body) for number in range(12)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        answers = [outcome for outcome in outcomes if isinstance(outcome, tuple)]

        assert 1 == len({answer for answer, _ in answers})
        assert 1 == sum(carried_out for _, carried_out in answers)
        assert (12 if body == "body" else 6) == len(answers)
        assert {Conflict} >= {type(outcome) for outcome in outcomes if isinstance(outcome, Exception)}
        assert 2 == await _projects(site)

    play(scenario)


def test_a_refused_request_frees_its_key(play: Play) -> None:
    """What was rolled back was not carried out, so that the corrected request may use the key."""

    async def scenario(site: Site) -> None:
        async def refused(tx: Transaction) -> None:
            assert site.owner.token_id is not None
            await claim_key(tx, site.owner.token_id, "key", "body")
            raise Conflict("no")

        with pytest.raises(Conflict):
            await site.database.write(refused)

        assert (await _send(site, body="corrected"))[1]

    play(scenario)
