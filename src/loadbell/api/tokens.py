"""API tokens: further ones of the same user."""

from http import HTTPStatus
from typing import Any

from litestar import Response, post
from litestar.di import NamedDependency

from loadbell.accounts import tokens
from loadbell.api import answers, bodies
from loadbell.api.operations import Operation, described
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Principal
from loadbell.entry.door import Call, answer
from loadbell.store.db import Transaction


@post(
    "/tokens",
    **described(Operation("Make an API token", {201: answers.CreatedToken}, body=bodies.NewTokenBody)),
)
async def create_token(call: NamedDependency[Call]) -> Response[bytes]:
    """Makes a token of the same user in the same organization. It is in this answer and in no other."""
    said = await call.body(bodies.NewTokenBody)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.CreatedToken:
        token = await tokens.create_token(
            tx,
            principal,
            name=said.name,
            scope=said.scope,
            trigger=said.trigger,
            expires_at=bodies.instant(said.expires_at),
            now=now,
            entropy=call.door.entropy,
        )
        return answers.CreatedToken(token)

    return answer(HTTPStatus.CREATED, await call.write_once(work))


HANDLERS: list[Any] = [create_token]
