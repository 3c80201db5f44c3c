"""Replays: resend a channel's past notifications, and see the progress."""

from http import HTTPStatus
from typing import Any

from litestar import Response

from loadbell.api import answers, bodies
from loadbell.api.routes import route
from loadbell.domain.ids import from_datetime
from loadbell.domain.orgs import Principal
from loadbell.entry.requests import ApiRequest, json_response
from loadbell.notify import replay
from loadbell.store.unit_of_work import UnitOfWork


@route(
    "POST",
    "/channels/{channel_id}/replay",
    "Replay",
    refusals=(404, 409),
    answers={202: answers.StartedReplay, 200: answers.CountedReplay},
)
async def start_replay(request: ApiRequest, channel_id: int, body: bodies.ReplayBody) -> Response[bytes]:
    """Makes one manual attempt of each delivery of the channel in this time span with one of `statuses`.

    `since` is included, `until` is not; left out, it is now. Oldest first, beside live news. `dry_run` only counts.
    """
    count = await request.read(_count, channel_id, body)
    started = await request.write_once(_start, channel_id, body, count)
    return json_response(HTTPStatus.OK if body.dry_run else HTTPStatus.ACCEPTED, started)


@route("GET", "/channels/{channel_id}/replays/{replay_id}", "Read a replay", refusals=(404,))
async def get_replay(unit: UnitOfWork[Principal], channel_id: int, replay_id: int) -> answers.Replay:
    """A replay and its progress."""
    return answers.replay(await replay.get_replay(unit, channel_id, replay_id))


async def _count(unit: UnitOfWork[Principal], channel_id: int, body: bodies.ReplayBody) -> int:
    _, count = await _replay(unit, channel_id, body, dry_run=True, count=None)
    return count


async def _start(
    unit: UnitOfWork[Principal], channel_id: int, body: bodies.ReplayBody, count: int
) -> answers.StartedReplay | answers.CountedReplay:
    replay_id, count = await _replay(unit, channel_id, body, dry_run=bool(body.dry_run), count=count)
    return answers.CountedReplay(count) if replay_id is None else answers.StartedReplay(replay_id, count)


async def _replay(
    unit: UnitOfWork[Principal], channel_id: int, body: bodies.ReplayBody, *, dry_run: bool, count: int | None
) -> tuple[int | None, int]:
    return await replay.start_replay(
        unit,
        channel_id,
        since=from_datetime(body.since),
        until=bodies.instant(body.until),
        statuses=body.statuses,
        dry_run=dry_run,
        counted=count,
    )


HANDLERS: list[Any] = [start_replay, get_replay]
