"""
Use cases on runs: create, report, heartbeat, abort, and the watchdog's end. The only writer of a run's status.

Each runs inside the transaction that authenticated the caller, so a move, its event and its deliveries are one commit.
"""
# long: every use case that moves a run is here, the only writer of its status

from dataclasses import dataclass, field, replace

from loadbell.domain import run_times
from loadbell.domain.changes import diff_fields
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Action, Principal, Project
from loadbell.domain.runs import (
    INITIAL,
    EndedBy,
    Link,
    Result,
    Run,
    RunCounts,
    RunMove,
    RunStatus,
    Source,
    Threshold,
    Trigger,
    abort_status,
    check_move,
    derive_result,
    may_correct,
    timeout_status,
)
from loadbell.notify.publish import publish_finished, publish_started
from loadbell.store import run_history, run_lists
from loadbell.store import runs as store
from loadbell.store.audit import append_entry
from loadbell.store.engine.db import Transaction
from loadbell.store.projects import get_project, list_open_projects
from loadbell.store.unit_of_work import UnitOfWork

MAX_MOVES = 100
"""Statuses of a run that are listed; there are always fewer, since the table of moves has no cycle."""

MAX_METRICS = 200
"""Names of metrics that a run keeps, over all of its reports."""

NOT_STOPPED = "The load test can't be stopped from here, so the run was marked aborted. The load may still be running."


@dataclass(frozen=True)
class NewRun:
    """A run as its source reports it first. ``watchdog`` None: the default of the source."""

    name: str
    project_id: int | None = None
    status: RunStatus = RunStatus.RUNNING
    trigger: Trigger | None = None
    source: Source = Source.REST
    links: tuple[Link, ...] = ()
    watchdog: Micros | None = None
    result: Result | None = None  #: of a run that is reported after its end
    metrics: dict[str, float] = field(default_factory=dict)
    thresholds: tuple[Threshold, ...] = ()
    note: str | None = None
    tool: str | None = None  #: with its version
    started_at: Micros | None = None  #: by the source's clock; None: now
    sent_at: Micros | None = None  #: when the source sent this, by its clock
    duration: Micros | None = None  #: of a run that is reported after its end


@dataclass(frozen=True)
class Report:
    """A source's report about its run; None: not reported."""

    status: RunStatus | None = None
    result: Result | None = None
    metrics: dict[str, float] | None = None
    thresholds: tuple[Threshold, ...] | None = None
    note: str | None = None
    duration: Micros | None = None  #: of the run, by the source's clock; comes with its end


@dataclass(frozen=True)
class _Actor:
    """Who moves a run; ``user_id`` None: no user."""

    by: EndedBy
    user_id: int | None


async def create_run(unit: UnitOfWork[Principal], new: NewRun) -> Run:
    """Adds a run with its initial status, and publishes the event (started or finished).

    Without a project it goes to the organization's default one if the caller can see that, else to the oldest project
    that accepts runs and that the caller can see.

    Raises:
        NotFound: the caller can't see the project.
        Conflict: the project is archived.
        Invalid: a run can't be created with the status, or the result or the times contradict it.
    """
    unit.principal.require(Action.REPORT_RUNS)
    project_id = await _project(unit, new.project_id)
    if new.status not in INITIAL:
        raise Invalid(FieldError("status", f"a run can't start as {new.status.text} ({new.status.value})"))
    _check_result(new.status, new.result)
    watchdog = new.watchdog
    if watchdog is None and new.source.reports_regularly:
        watchdog = unit.installation.default_watchdog
    started, ended = new.status is RunStatus.RUNNING, new.status.is_final
    told = new.started_at, new.sent_at, new.duration
    started_at, ended_at = run_times.resolve_times_of_new_run(new.status, *told, unit.now)
    run = Run(
        id=0,
        organization_id=unit.principal.organization_id,
        project_id=project_id,
        test_id=await store.find_or_insert_test(unit.tx, unit.principal.organization_id, project_id, new.name),
        user_id=unit.principal.user_id,
        name=new.name,
        status=new.status,
        result=derive_result(new.status, new.result),
        trigger=new.trigger or unit.principal.trigger,
        source=new.source,
        created_at=unit.now,
        started_at=started_at,
        ended_at=ended_at,
        ended_by=EndedBy.REPORT if ended else None,
        corrected=False,
        last_report_at=unit.now,
        watchdog=watchdog,
        metrics=new.metrics,
        thresholds=new.thresholds,
        links=new.links,
        note=new.note,
        tool=new.tool,
    )
    run = replace(run, id=await store.insert_run(unit.tx, run))
    await run_history.insert_move(unit.tx, run, by=EndedBy.REPORT, user_id=unit.principal.user_id, now=unit.now)
    if started:
        await publish_started(unit.tx, run)
    if ended:
        await publish_finished(unit.tx, run)
    return run


async def report_run(unit: UnitOfWork[Principal], run_id: int, report: Report) -> Run:
    """Applies a report: moves the run by the table and stores metrics, thresholds and note.

    A repeated status is accepted and notifies nobody. An ended run accepts only metrics, thresholds and a note, except
    that the source's own end corrects the watchdog's, once, within 24 h.

    Raises:
        NotFound: the caller can't see the run.
        IllegalMove: the table has no such move.
        Invalid: the result contradicts the status or comes without a final one, or there are too many metrics.
        Conflict: the run ended with another result.
    """
    unit.principal.require(Action.REPORT_RUNS)
    run = await lock_run(unit, run_id)
    run_status = run.status if report.status is None else report.status
    _check_result(run_status, report.result)
    run_times.check_duration(run_status, report.duration)
    said = replace(
        run,
        last_report_at=unit.now,
        metrics=_merge_metrics(run, report.metrics),
        thresholds=run.thresholds if report.thresholds is None else report.thresholds,
        note=run.note if report.note is None else report.note,
    )
    other_result = report.result is not None and report.result is not run.result
    late = (
        (run_status is not run.status or (other_result and report.status is not None))
        and run_status.is_final
        and may_correct(run.ended_by, run.ended_at, unit.now, corrected=run.corrected)
    )
    if run_status is run.status and not late:
        if other_result:
            raise Conflict(f"The run ended with the result {run.result}, which can't be changed.")
        await store.update_run(unit.tx, said, expected=run.status)
        return said
    if late:
        said = replace(said, corrected=True)
    else:
        check_move(run.status, run_status)
    who = _Actor(EndedBy.REPORT, unit.principal.user_id)
    return await _move(unit.tx, run, said, run_status, result=report.result, who=who, duration=report.duration)


async def heartbeat(unit: UnitOfWork[Principal], run_id: int, metrics: dict[str, float] | None) -> bool:
    """Records that the source is alive. Returns whether it must stop the load. Reopens nothing.

    It must stop, too, if an abort ended its run before it was Running, or the watchdog did during an abort.

    Raises:
        NotFound: the caller can't see the run.
    """
    unit.principal.require(Action.REPORT_RUNS)
    run = await lock_run(unit, run_id)
    if metrics:
        said = replace(run, last_report_at=unit.now, metrics=_merge_metrics(run, metrics))
        await store.update_run(unit.tx, said, expected=run.status)
    else:
        await store.touch_run(unit.tx, run.id)
    fell_silent_aborting = run.ended_by is EndedBy.WATCHDOG and run.status is not timeout_status(RunStatus.RUNNING)
    return run.status.is_aborting or run.ended_by is EndedBy.ABORT or fell_silent_aborting


async def abort_run(unit: UnitOfWork[Principal], run_id: int) -> Run:
    """Asks the run to stop. If the source can't be stopped from here or hasn't started, the run ends at once.

    Raises:
        NotFound: the caller can't see the run.
        IllegalMove: it has ended.
    """
    unit.principal.require(Action.ABORT_RUNS)
    run = await lock_run(unit, run_id)
    if run.status.is_final:
        check_move(run.status, RunStatus.ABORTED_BY_USER)
    run_status = abort_status(run.status, can_abort=run.can_abort)
    if run_status is run.status:
        return run
    untold = run.status is RunStatus.RUNNING and run_status.is_final
    asked = replace(run, note=f"{run.note}\n{NOT_STOPPED}" if run.note else NOT_STOPPED) if untold else run
    changes = diff_fields({"status": run.status}, {"status": run_status})
    await append_entry(unit.tx, unit.principal, "run.aborted", f"run {run.id}", changes)
    who = _Actor(EndedBy.ABORT, unit.principal.user_id)
    return await _move(unit.tx, run, asked, run_status, result=None, who=who)


async def end_silent_run(
    tx: Transaction, organization_id: int, run_id: int, *, heard_at: Micros | None = None
) -> Run | None:
    """Ends a run without reports; None if it ended or, given ``heard_at``, has reported since then."""
    run = await store.lock_run(tx, organization_id, run_id)
    if run is None or run.status.is_final or run.watchdog is None or heard_at not in {None, run.last_report_at}:
        return None
    run_status = timeout_status(run.status)
    who = _Actor(EndedBy.WATCHDOG, None)
    return await _move(tx, run, run, run_status, result=None, who=who)


async def lock_run(unit: UnitOfWork[Principal], run_id: int) -> Run:
    """Locks the run until this transaction ends, and returns it.

    Raises:
        NotFound: the caller can't see it.
    """
    return _require_visible(
        unit.principal, run_id, await store.lock_run(unit.tx, unit.principal.organization_id, run_id)
    )


async def get_visible_run(unit: UnitOfWork[Principal], run_id: int) -> Run:
    """Returns the run to its source, which needs no permission to read runs.

    Raises:
        NotFound: the caller can't see it.
    """
    return _require_visible(
        unit.principal, run_id, await store.get_run(unit.tx, unit.principal.organization_id, run_id)
    )


async def get_run(unit: UnitOfWork[Principal], run_id: int) -> Run:
    """The run.

    Raises:
        NotFound: the caller can't see it.
    """
    unit.principal.require(Action.READ_RUNS)
    return await get_visible_run(unit, run_id)


async def list_moves(unit: UnitOfWork[Principal], run_id: int) -> list[RunMove]:
    """Returns the statuses of the run, oldest first, with the run's own times of start and end.

    Moves of old runs may be missing.

    Raises:
        NotFound: the caller can't see the run.
    """
    run = await get_run(unit, run_id)
    moves = await run_history.list_moves(unit.tx, run.id, limit=MAX_MOVES)
    return moves if run.corrected else [run_times.resolve_times_of_move(move, run) for move in moves]


async def count_runs(unit: UnitOfWork[Principal]) -> RunCounts:
    """Counts the newest runs that the user can see, by outcome."""
    unit.principal.require(Action.READ_RUNS)
    return await run_lists.count_runs(unit.tx, unit.principal.organization_id, projects=unit.principal.projects)


async def list_runs(  # noqa: PLR0913 - one argument for each filter
    unit: UnitOfWork[Principal],
    *,
    project_id: int | None = None,
    status: RunStatus | None = None,
    result: Result | None = None,
    source: Source | None = None,
    text: str | None = None,
    open_only: bool = False,
    before: int | None = None,
    limit: int,
) -> tuple[list[Run], int | None]:
    """Returns up to ``limit`` runs older than ``before`` that the user can see and that match, newest first.

    Also returns the next ``before``; None at the end. A page may have fewer than ``limit``, even none, before the end:
    see :func:`loadbell.store.run_lists.list_runs`, also for the meaning of ``text``.

    Raises:
        NotFound: the caller can't see the project.
    """
    unit.principal.require(Action.READ_RUNS)
    if project_id is not None:
        await _get_visible_project(unit, project_id)
    return await run_lists.list_runs(
        unit.tx,
        unit.principal.organization_id,
        projects=unit.principal.projects,
        project_id=project_id,
        status=status,
        result=result,
        source=source,
        text=text,
        open_only=open_only,
        before=before,
        limit=limit,
    )


async def _move(  # noqa: PLR0913 - the run, the report, and the ambient values
    tx: Transaction,
    run: Run,
    report: Run,
    run_status: RunStatus,
    *,
    result: Result | None,
    who: _Actor,
    duration: Micros | None = None,
) -> Run:
    starts, ends = run_status is RunStatus.RUNNING, run_status.is_final
    at = max(tx.now, run.started_at or run.created_at)  # not before, even if a clock was set back
    started_at, ended_at = run_times.resolve_end(run.started_at, duration, at)
    moved = replace(
        report,
        status=run_status,
        result=derive_result(run_status, result),
        started_at=at if starts else started_at,
        ended_at=ended_at if ends else None,
        ended_by=who.by if ends else None,
    )
    await store.update_run(tx, moved, expected=run.status)
    await run_history.insert_move(tx, moved, by=who.by, user_id=who.user_id, now=at)
    if starts:
        await publish_started(tx, moved)
    if ends:
        await publish_finished(tx, moved)
    return moved


def _check_result(status: RunStatus, result: Result | None) -> None:
    if result is not None and not status.is_final:
        raise Invalid(FieldError("result", "only ended runs have a result; send it with the final status"))
    if result is Result.PASSED and derive_result(status, None) is Result.FAILED:
        raise Invalid(FieldError("result", f"a run that ended as {status.text} ({status.value}) can't have passed"))


def _merge_metrics(run: Run, metrics: dict[str, float] | None) -> dict[str, float]:
    merged = {**run.metrics, **(metrics or {})}
    if len(merged) > MAX_METRICS:
        raise Invalid(FieldError("metrics", f"a run keeps at most {MAX_METRICS} metrics; report totals, not series"))
    return merged


def _require_visible(principal: Principal, run_id: int, run: Run | None) -> Run:
    if run is None or not principal.can_see_project(run.project_id):
        raise NotFound(f"There is no run {run_id}.")
    return run


async def _project(unit: UnitOfWork[Principal], project_id: int | None) -> int:
    if project_id is None:
        open_ones = await list_open_projects(unit.tx, unit.principal.organization_id)
        visible = [project for project in open_ones if unit.principal.can_see_project(project)]
        if visible:
            return visible[0]
        if unit.principal.projects:
            raise Conflict(
                "All of your projects are archived and accept no new runs. Ask an admin of the organization to restore "
                "one or to assign you to another."
            )
        raise NotFound("You aren't assigned to a project. Ask an admin of the organization to assign you to one.")
    project = await _get_visible_project(unit, project_id)
    if project.archived_at is not None:
        raise Conflict(
            f"Project {project_id} is archived and accepts no new runs. Ask an admin of the organization to restore "
            "it, or report to another project."
        )
    return project_id


async def _get_visible_project(unit: UnitOfWork[Principal], project_id: int) -> Project:
    project = await get_project(unit.tx, unit.principal.organization_id, project_id)
    if project is None or not unit.principal.can_see_project(project_id):
        raise NotFound(f"There is no project {project_id}.")
    return project
