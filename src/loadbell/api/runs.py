"""Runs: announce, report, heartbeat, abort, read."""

from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from loadbell.api import answers, bodies
from loadbell.api.routes import route
from loadbell.domain import runs
from loadbell.domain.errors import Invalid
from loadbell.domain.ids import Micros, from_datetime
from loadbell.domain.orgs import Principal
from loadbell.entry.paging import PageQuery, cursor_after
from loadbell.entry.path_ids import check_id
from loadbell.entry.problems import MalformedBody, TooLarge, UnsupportedMediaType
from loadbell.entry.rate_limits import RateLimit
from loadbell.entry.requests import ApiRequest
from loadbell.notify import deliveries
from loadbell.runs import lifecycle
from loadbell.store.unit_of_work import UnitOfWork


@route("POST", "/runs", "Create a run", status=201, refusals=(404, 429), answers={201: answers.Run})
async def create_run(request: ApiRequest, body: bodies.NewRunBody) -> msgspec.Raw:
    """Adds a run, by default with the status Running, and notifies the subscribed channels.

    A run that is reported in a final status sends only `test.finished`. Without a project it goes to the default one.
    With a `Date` header, `started_at` is taken by the clock that wrote the header.
    """
    return await request.write_once(_create_run, request.context.reports, body, _sent_at(request))


@route("PATCH", "/runs/{run_id}", "Update a run", refusals=(404, 409, 429))
async def report_run(request: ApiRequest, run_id: int, body: bodies.ReportBody) -> answers.Run:
    """Changes the run's status by the table of moves, and stores metrics, thresholds, note and, when it ends, duration.

    The status that it already has is accepted and tells nobody. An ended run takes only metrics, thresholds and note.
    """
    return await request.write(_report_run, request.context.reports, run_id, body)


@route(
    "POST",
    "/runs/{run_id}/heartbeat",
    "Send a heartbeat",
    refusals=(404,),
    answers={200: answers.Heartbeat},
    reads=bodies.HeartbeatBody,
)
async def heartbeat(request: ApiRequest, run_id: int) -> msgspec.Raw | answers.Heartbeat:
    """Records that the source is alive, and returns whether to stop the load. Doesn't reopen an ended run.

    A refused body still counts as a sign of life, and its response still says whether to stop.
    """
    try:
        body = await request.body(bodies.HeartbeatBody)
        return await request.write_once(_heartbeat, run_id, body.metrics)
    except (MalformedBody, UnsupportedMediaType, TooLarge, Invalid):
        alive = await request.write(_heartbeat, run_id, None)
        if alive.abort:
            return alive
        raise


@route("POST", "/runs/{run_id}/abort", "Abort a run", status=202, refusals=(404, 409))
async def abort_run(unit: UnitOfWork[Principal], run_id: int) -> answers.Run:
    """Asks the source to stop. If that isn't possible or nothing runs yet, the run ends at once; its note says so."""
    return _to_json(unit, await lifecycle.abort_run(unit, run_id))


@route("GET", "/runs", "List runs", refusals=(404,))
async def list_runs(unit: UnitOfWork[Principal], query: bodies.RunsQuery) -> answers.RunPage:
    """The runs that the token can see, newest first.

    One request looks at a limited number of runs: a page may hold few, or none, and have a `next_cursor`.
    """
    listed, following = await lifecycle.list_runs(
        unit,
        project_id=None if query.project_id is None else check_id(query.project_id, "project"),
        status=query.status,
        result=query.result,
        source=query.source,
        before=query.before_id(),
        limit=query.limit,
    )
    return answers.RunPage([_to_json(unit, run) for run in listed], cursor_after(following))


@route("GET", "/runs/{run_id}", "Read a run", refusals=(404,))
async def get_run(unit: UnitOfWork[Principal], run_id: int) -> answers.Run:
    """One run."""
    return _to_json(unit, await lifecycle.get_run(unit, run_id))


@route("GET", "/runs/{run_id}/deliveries", "List a run's deliveries", refusals=(404,))
async def list_run_deliveries(unit: UnitOfWork[Principal], run_id: int, query: PageQuery) -> answers.DeliveryPage:
    """The run's deliveries with their results, newest first."""
    return answers.delivery_page(
        *await deliveries.list_for_run(unit, run_id, before=query.before_uuid(), limit=query.limit)
    )


async def _create_run(
    unit: UnitOfWork[Principal], limit: RateLimit, body: bodies.NewRunBody, sent_at: Micros | None
) -> answers.Run:
    limit.take(unit.principal.token_id, unit.now)  # here: a request that is repeated with its key counts once
    return _to_json(unit, await lifecycle.create_run(unit, body.new_run(sent_at)))


async def _report_run(
    unit: UnitOfWork[Principal], limit: RateLimit, run_id: int, body: bodies.ReportBody
) -> answers.Run:
    limit.take(unit.principal.token_id, unit.now)
    return _to_json(unit, await lifecycle.report_run(unit, run_id, body.report()))


async def _heartbeat(unit: UnitOfWork[Principal], run_id: int, metrics: dict[str, float] | None) -> answers.Heartbeat:
    return answers.Heartbeat(await lifecycle.heartbeat(unit, run_id, metrics))


def _sent_at(request: ApiRequest) -> Micros | None:
    """When the request was sent by the clock of who sent it; None: it does not say."""
    try:
        moment = parsedate_to_datetime(request.header("Date") or "")
    except ValueError:
        return None
    return None if moment.tzinfo is None else from_datetime(moment)


def _to_json(unit: UnitOfWork[Principal], run: runs.Run) -> answers.Run:
    return answers.run(run, unit.installation.base_url)


HANDLERS: list[Any] = [create_run, report_run, heartbeat, abort_run, list_runs, get_run, list_run_deliveries]
