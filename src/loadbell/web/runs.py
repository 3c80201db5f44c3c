"""The list of runs and the page of one run. Both update live."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.response import Stream

from loadbell.accounts.projects import list_project_names
from loadbell.domain.deliveries import Delivery, DeliveryStatus
from loadbell.domain.errors import FieldError, IllegalMove, Invalid, NotFound, Refused
from loadbell.domain.orgs import Action, Principal
from loadbell.domain.runs import Result, Run, RunCounts, RunMove, RunStatus, Source, Threshold, Trigger
from loadbell.entry.paging import PageQuery, cursor_after
from loadbell.entry.path_ids import parse_integer_id
from loadbell.notify import channels, deliveries, delivery_stats
from loadbell.runs import lifecycle, measurements
from loadbell.runs.measurements import RunComparison
from loadbell.store.unit_of_work import UnitOfWork
from loadbell.web.charts import TimeSeries, build_time_series
from loadbell.web.page import PageRequest
from loadbell.web.rendering import render_part

PAGE_SIZE = 50
"""Runs that one page lists."""

MAX_SEARCH_LENGTH = 200
"""Characters of a test's name that are looked for."""

MAX_DELIVERIES = 200
"""Deliveries that the page of a run lists: a run has two or three for each channel."""

TRIGGERS = {
    Trigger.MANUAL: "manual",
    Trigger.SCHEDULED: "scheduled",
    Trigger.CI: "CI",
    Trigger.UNKNOWN: "trigger unknown",
}
RESULTS = {Result.PASSED: "Passed", Result.FAILED: "Failed", Result.UNKNOWN: "Unknown"}

ABORT_UNHEARD = "This run doesn't report heartbeats. loadbell marks it aborted now, but the load test may keep running."

T = TypeVar("T")


@dataclass(frozen=True)
class RunFilter:
    """Which runs the list shows. It is part of a live view's key, so all of it is hashable."""

    text: str = ""
    project_id: int | None = None
    status: RunStatus | None = None
    result: Result | None = None
    source: Source | None = None
    open_only: bool = False

    def query(self, organization_id: int, **more: str) -> str:
        """The query string that asks for them."""
        values = {
            "organization_id": str(organization_id),
            "q": self.text,
            "project_id": "" if self.project_id is None else str(self.project_id),
            "status": "" if self.status is None else str(self.status.value),
            "result": self.result or "",
            "source": self.source or "",
            "open": "1" if self.open_only else "",
            **more,
        }
        return urlencode({name: value for name, value in values.items() if value})


@dataclass(frozen=True)
class RunListView:
    """A page of runs with its counts and filters."""

    runs: Sequence[Run]
    delivery_counts: Mapping[int, delivery_stats.DeliveryCounts]
    counts: RunCounts
    projects: Mapping[int, str]
    following: int | None


@dataclass(frozen=True)
class RunView:
    """One run with all that its page shows."""

    run: Run
    project: str
    moves: Sequence[RunMove]
    deliveries: Sequence[Delivery]
    channels: Mapping[int, str]
    paused: frozenset[int]
    timeline: TimeSeries | None
    current_thresholds: Sequence[Threshold]  #: thresholds so far, until the tool reports the final ones
    comparison: RunComparison | None

    @property
    def delivered(self) -> int:
        """How many of its deliveries have arrived."""
        return sum(delivery.status is DeliveryStatus.DELIVERED for delivery in self.deliveries)


@get("/runs")
async def show_list(page: NamedDependency[PageRequest]) -> Response[str]:
    """The runs that the person sees in one organization, newest first."""
    organization_id = await _organization(page)
    if organization_id is None:
        return page.redirect("/organizations")
    refusal: Refused | None = None
    try:
        filter_, before = _parse_filter(page), PageQuery(cursor=page.query_param("cursor") or None).before_id()
        run_list_view = await page.read_in(organization_id, _list_runs, filter_, before)
    except (Invalid, NotFound) as wrong:  # NotFound: of the project that is asked for
        refusal, filter_, before = wrong, RunFilter(), None
        run_list_view = await page.read_in(organization_id, _list_runs, filter_, before)
    live = f"/runs/live?{filter_.query(organization_id)}" if before is None and refusal is None else None
    values = _list_values(run_list_view, filter_, organization_id)
    return await page.show("runs", refusal=refusal, organization_id=organization_id, live=live, **values)


@get("/runs/live")
async def stream_list(page: NamedDependency[PageRequest]) -> Stream:
    """The first page of the list whenever it has changed."""
    organization_id = await _organization(page)
    if organization_id is None:
        raise NotFound("You aren't in an organization.")
    return await page.stream("runs", organization_id, _render_list, _parse_filter(page))


@get("/runs/{run_id:str}")
async def show(page: NamedDependency[PageRequest]) -> Response[str]:
    """One run."""
    organization_id, run_id = await _find(page)
    return await _show(page, organization_id, run_id, done=page.query_param("done"))


@get("/runs/{run_id:str}/live")
async def stream_run(page: NamedDependency[PageRequest]) -> Stream:
    """The run whenever it or its deliveries have changed."""
    organization_id, run_id = await _find(page)
    return await page.stream("run", organization_id, _render_run, run_id)


@post("/runs/{run_id:str}/abort")
async def abort(page: NamedDependency[PageRequest]) -> Response[str]:
    """Asks the run to stop."""
    organization_id, run_id = await _find(page)
    await page.form()
    try:
        run = await page.write_in(organization_id, lifecycle.abort_run, run_id)
    except IllegalMove as refusal:
        return await _show(page, organization_id, run_id, refusal=refusal)
    return page.redirect(f"/runs/{run_id}?done={'ended' if run.status.is_final else 'asked'}")


async def _show(
    page: PageRequest, organization_id: int, run_id: int, *, refusal: Refused | None = None, done: str = ""
) -> Response[str]:
    run_view = await page.read_in(organization_id, _run_view, run_id)
    abort_text = run_view.run.source.abort_effect if run_view.run.can_abort else ABORT_UNHEARD
    values = {"whole": run_view, "abort": abort_text, "done": done, **_labels()}
    return await page.show("run", refusal=refusal, back=f"/runs/{run_id}", **values)


async def _render_run(unit: UnitOfWork[Principal], run_id: int) -> str:
    return render_part(unit, "run", whole=await _run_view(unit, run_id), **_labels())


async def _run_view(unit: UnitOfWork[Principal], run_id: int) -> RunView:
    run = await lifecycle.get_run(unit, run_id)
    moves = await lifecycle.list_moves(unit, run_id)
    found, _ = await deliveries.list_for_run(unit, run_id, before=None, limit=MAX_DELIVERIES)
    values = await channels.list_channel_names(unit, (delivery.channel_id for delivery in found))
    measured = await measurements.get_measurements(unit.tx, run)
    untold = measured is not None and not run.thresholds and not run.ended_at
    return RunView(
        run=run,
        project=(await list_project_names(unit)).get(run.project_id, f"Project {run.project_id}"),
        moves=moves,
        deliveries=found,
        channels={channel.id: channel.name for channel in values.values()},
        paused=frozenset(channel.id for channel in values.values() if channel.paused),
        timeline=build_time_series(
            measured, await measurements.get_timeline(unit.tx, run), ended=run.ended_at is not None
        ),
        current_thresholds=measurements.judge_current_thresholds(measured) if measured is not None and untold else (),
        comparison=await measurements.compare_with_earlier(unit.tx, run),
    )


async def _render_list(unit: UnitOfWork[Principal], filter_: RunFilter) -> str:
    run_list_view = await _list_runs(unit, filter_, None)
    return render_part(unit, "runs", **_list_values(run_list_view, filter_, unit.principal.organization_id))


def _list_values(run_list_view: RunListView, filter_: RunFilter, organization_id: int) -> dict[str, Any]:
    """What the list is made of, in the page and alone."""
    cursor = cursor_after(run_list_view.following)
    return {
        "listed": run_list_view,
        "wanted": filter_,
        "base": f"organization_id={organization_id}",
        "older": None if cursor is None else f"/runs?{filter_.query(organization_id, cursor=cursor)}",
        "page_length": PAGE_SIZE,
        **_labels(),
    }


async def _list_runs(unit: UnitOfWork[Principal], filter_: RunFilter, before: int | None) -> RunListView:
    runs, following = await lifecycle.list_runs(
        unit,
        project_id=filter_.project_id,
        status=filter_.status,
        result=filter_.result,
        source=filter_.source,
        text=filter_.text or None,
        open_only=filter_.open_only,
        before=before,
        limit=PAGE_SIZE,
    )
    return RunListView(
        runs=runs,
        delivery_counts=await delivery_stats.count_by_run(unit, [run.id for run in runs]),
        counts=await lifecycle.count_runs(unit),
        projects=await list_project_names(unit),
        following=following,
    )


async def _organization(page: PageRequest) -> int | None:
    """Which organization the list is of: the one that is asked for, else the one that was looked at last."""
    await page.require_account()
    text = page.query_param("organization_id")
    if text:
        return parse_integer_id(text, "organization")
    chosen = await page.organization()
    return None if chosen is None else chosen.organization_id


async def _find(page: PageRequest) -> tuple[int, int]:
    run_id = page.integer_id("run_id", "run")
    return await page.organization_of("run", run_id), run_id


def _parse_filter(page: PageRequest) -> RunFilter:
    """What the query asks for.

    Raises:
        Invalid: a filter names nothing that there is.
        NotFound: nothing can have the project's id.
    """
    text, project = page.query_param("q"), page.query_param("project_id")
    if "\x00" in text:
        raise Invalid(FieldError("q", "the character U+0000 can't be searched for; remove it"))
    return RunFilter(
        text=text.strip()[:MAX_SEARCH_LENGTH],
        project_id=parse_integer_id(project, "project") if project else None,
        status=_parse_choice(page, "status", lambda value: RunStatus(int(value))),
        result=_parse_choice(page, "result", Result),
        source=_parse_choice(page, "source", Source),
        open_only=bool(page.query_param("open")),
    )


def _parse_choice(page: PageRequest, field: str, read: Callable[[str], T]) -> T | None:
    value = page.query_param(field)
    if not value:
        return None
    try:
        return read(value)
    except ValueError:
        raise Invalid(FieldError(field, "choose a value from the list")) from None


def _labels() -> dict[str, Any]:
    return {
        "statuses": sorted(RunStatus),
        "results": RESULTS,
        "sources": list(Source),
        "triggers": TRIGGERS,
        "ABORT_RUNS": Action.ABORT_RUNS,
    }


HANDLERS: Sequence[Any] = [show_list, stream_list, show, stream_run, abort]
