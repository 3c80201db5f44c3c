"""Runs: announce, report, heartbeat, abort, read."""

from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from litestar import Response, get, patch, post
from litestar.di import NamedDependency

from loadbell.api import answers, bodies
from loadbell.api.operations import Operation, described
from loadbell.domain.errors import Invalid
from loadbell.domain.ids import Micros, from_datetime
from loadbell.domain.orgs import Principal
from loadbell.entry.door import Asked, Call, answer
from loadbell.entry.identifiers import check_id
from loadbell.entry.paging import PageQuery, cursor_after
from loadbell.entry.problems import MalformedBody, TooLarge, UnsupportedMediaType
from loadbell.notify import actions
from loadbell.runs import lifecycle
from loadbell.store.db import Transaction

_NOUN = "run"


@post(
    "/runs",
    **described(
        Operation("Announce a run", {201: answers.Run}, body=bodies.NewRunBody, refusals=(404, 429)),
    ),
)
async def create_run(call: NamedDependency[Call]) -> Response[bytes]:
    """Adds a run in the status it is announced with, by default Running, and tells the channels that want to know.

    A run in a final status is told of afterwards: as finished only. Without a project it goes to the default one.
    With a `Date` header, `started_at` is taken by the clock that wrote the header.
    """
    said = await call.body(bodies.NewRunBody)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.Run:
        call.door.reports.take(principal.token_id, now)
        run = await lifecycle.create_run(
            tx,
            principal,
            said.new_run(_sent_at(call)),
            default_watchdog=call.door.default_watchdog,
            now=now,
            entropy=call.door.entropy,
        )
        return answers.run(run, call.door.base_url)

    return answer(HTTPStatus.CREATED, await call.write_once(work))


def _sent_at(call: Call) -> Micros | None:
    """When the request was sent by the clock of who sent it; None: it does not say."""
    try:
        moment = parsedate_to_datetime(call.header("Date") or "")
    except ValueError:
        return None
    return None if moment.tzinfo is None else from_datetime(moment)


@patch(
    "/runs/{run_id:str}",
    **described(Operation("Report on a run", {200: answers.Run}, body=bodies.ReportBody, refusals=(404, 409, 429))),
)
async def report_run(call: NamedDependency[Call]) -> Response[bytes]:
    """Moves the run by the table of moves, and keeps its metrics, thresholds and note, with an end its duration.

    The status that it already has is accepted and tells nobody. An ended run takes only metrics, thresholds and note.
    """
    said = await call.body(bodies.ReportBody)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.Run:
        call.door.reports.take(principal.token_id, now)
        run_id = call.integer_id("run_id", _NOUN)
        run = await lifecycle.report_run(tx, principal, run_id, said.report(), now=now, entropy=call.door.entropy)
        return answers.run(run, call.door.base_url)

    return answer(HTTPStatus.OK, await call.write(work))


@post(
    "/runs/{run_id:str}/heartbeat",
    **described(
        Operation("Say that a run is alive", {200: answers.Heartbeat}, body=bodies.HeartbeatBody, refusals=(404,))
    ),
)
async def heartbeat(call: NamedDependency[Call]) -> Response[bytes]:
    """Notes that the source is alive, and tells it whether to stop the load. Reopens nothing.

    A body that is refused is a sign of life all the same, and its source is told to stop all the same.
    """

    def noting(metrics: dict[str, float] | None) -> Asked[Principal, answers.Heartbeat]:
        async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.Heartbeat:
            run_id = call.integer_id("run_id", _NOUN)
            return answers.Heartbeat(await lifecycle.heartbeat(tx, principal, run_id, metrics, now=now))

        return work

    try:
        said = await call.body(bodies.HeartbeatBody)
        return answer(HTTPStatus.OK, await call.write_once(noting(said.metrics)))
    except (MalformedBody, UnsupportedMediaType, TooLarge, Invalid):
        alive = await call.write(noting(None))
        if alive.abort:
            return answer(HTTPStatus.OK, alive)
        raise


@post(
    "/runs/{run_id:str}/abort",
    **described(Operation("Ask a run to stop", {202: answers.Run}, body=bodies.Nothing, refusals=(404, 409))),
)
async def abort_run(call: NamedDependency[Call]) -> Response[bytes]:
    """Tells the source to stop. Where it can't be told, or nothing runs yet, the run ends here; its note says so."""
    await call.body(bodies.Nothing)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.Run:
        run_id = call.integer_id("run_id", _NOUN)
        run = await lifecycle.abort_run(tx, principal, run_id, now=now, entropy=call.door.entropy)
        return answers.run(run, call.door.base_url)

    return answer(HTTPStatus.ACCEPTED, await call.write_once(work))


@get("/runs", **described(Operation("List runs", {200: answers.RunPage}, query=bodies.RunsQuery, refusals=(404,))))
async def list_runs(call: NamedDependency[Call]) -> Response[bytes]:
    """The runs that the token may see, newest first.

    One request looks at a limited number of runs: a page may hold few, or none, and have a `next_cursor`.
    """

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> answers.RunPage:
        wanted = call.query(bodies.RunsQuery)
        found, following = await lifecycle.list_runs(
            tx,
            principal,
            project_id=None if wanted.project_id is None else check_id(wanted.project_id, "project"),
            status=wanted.status,
            result=wanted.result,
            source=wanted.source,
            before=wanted.before_id(),
            limit=wanted.limit,
        )
        return answers.RunPage([answers.run(run, call.door.base_url) for run in found], cursor_after(following))

    return answer(HTTPStatus.OK, await call.read(work))


@get("/runs/{run_id:str}", **described(Operation("Read a run", {200: answers.Run}, refusals=(404,))))
async def get_run(call: NamedDependency[Call]) -> Response[bytes]:
    """One run as it stands."""

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> answers.Run:
        run = await lifecycle.get_run(tx, principal, call.integer_id("run_id", _NOUN))
        return answers.run(run, call.door.base_url)

    return answer(HTTPStatus.OK, await call.read(work))


@get(
    "/runs/{run_id:str}/deliveries",
    **described(Operation("List a run's deliveries", {200: answers.DeliveryPage}, query=PageQuery, refusals=(404,))),
)
async def list_run_deliveries(call: NamedDependency[Call]) -> Response[bytes]:
    """Who was told of the run, and what came of it, newest first."""

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> answers.DeliveryPage:
        run_id, wanted = call.integer_id("run_id", _NOUN), call.query(PageQuery)
        before = wanted.before_uuid()
        found, following = await actions.list_for_run(tx, principal, run_id, before=before, limit=wanted.limit)
        return answers.DeliveryPage([answers.delivery(one) for one in found], cursor_after(following))

    return answer(HTTPStatus.OK, await call.read(work))


HANDLERS: list[Any] = [create_run, report_run, heartbeat, abort_run, list_runs, get_run, list_run_deliveries]
