"""Replays: send again what a channel was told, or should have been, and see how far that has come."""

from http import HTTPStatus
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.api import answers, bodies
from loadbell.api.operations import Operation, described
from loadbell.domain.ids import from_datetime
from loadbell.domain.orgs import Principal
from loadbell.entry.requests import ApiRequest, answer
from loadbell.notify import replay
from loadbell.store.unit_of_work import UnitOfWork


@post(
    "/channels/{channel_id:str}/replay",
    **described(
        Operation(
            "Replay",
            {202: answers.StartedReplay, 200: answers.CountedReplay},
            body=bodies.ReplayBody,
            refusals=(404, 409),
        )
    ),
)
async def start_replay(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """Makes one manual attempt of each delivery of the channel in the span that stands in one of `statuses`.

    `since` is included, `until` is not; left out, it is now. Oldest first, beside live news. `dry_run` only counts.
    """
    said = await call.body(bodies.ReplayBody)

    async def start(unit: UnitOfWork[Principal], counted: int | None) -> tuple[int | None, int]:
        return await replay.start_replay(
            unit,
            call.integer_id("channel_id", "channel"),
            since=from_datetime(said.since),
            until=bodies.instant(said.until),
            statuses=said.statuses,
            dry_run=counted is None or said.dry_run is True,
            counted=counted,
        )

    async def look(unit: UnitOfWork[Principal]) -> int:
        return (await start(unit, None))[1]

    counted = await call.read(look)

    async def work(unit: UnitOfWork[Principal]) -> answers.StartedReplay | answers.CountedReplay:
        replay_id, count = await start(unit, counted)
        return answers.CountedReplay(count) if replay_id is None else answers.StartedReplay(replay_id, count)

    return answer(HTTPStatus.OK if said.dry_run else HTTPStatus.ACCEPTED, await call.write_once(work))


@get(
    "/channels/{channel_id:str}/replays/{replay_id:str}",
    **described(Operation("Read a replay", {200: answers.Replay}, refusals=(404,))),
)
async def get_replay(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """How far a replay has come."""

    async def work(unit: UnitOfWork[Principal]) -> answers.Replay:
        channel_id, replay_id = call.integer_id("channel_id", "channel"), call.integer_id("replay_id", "replay")
        return answers.replay(await replay.get_replay(unit, channel_id, replay_id))

    return answer(HTTPStatus.OK, await call.read(work))


HANDLERS: list[Any] = [start_replay, get_replay]
