"""
Lists of runs, newest first. One query scans a limited number of them, however many there are.

One filter uses an index; the others are applied to a limited window of it. So a page may be short or empty, and the
next query continues where this one ended.
"""

from collections import Counter
from collections.abc import Collection
from functools import cache
from string import ascii_lowercase, ascii_uppercase
from typing import Literal

from loadbell.domain.ids import MAX_ID
from loadbell.domain.runs import Result, Run, RunCounts, RunStatus, Source
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement
from loadbell.store.runs import IN_A_PROJECT

MAX_SCANNED = 20_000
MAX_COUNTED = 1_000  # the numbers are on a page that is opened often

_MIN_WINDOW_SIZE = 500  # per project, for users who see very many projects
_SMALL_LETTERS = str.maketrans(ascii_uppercase, ascii_lowercase)  # as lower() below does in both databases

_AccessPath = Literal["organization", "open", "result", "project", "projects"]
_FOUND_BY_INDEX: dict[_AccessPath, str] = {
    "organization": "organization_id = :organization_id",
    "open": "organization_id = :organization_id AND ended_at IS NULL",
    "result": "organization_id = :organization_id AND result = :result",
    # The plus makes the database use the index on projects.
    "project": "project_id = :project_id AND +organization_id = :organization_id",
    "projects": "project_id = p.value AND +organization_id = :organization_id",
}
"""Conditions that find runs, each by its own index that ends with the id."""

_PROJECTS = "LIST(:projects, bigint) AS p"

_FILTERS: dict[str, tuple[str, str]] = {
    "project_id": ("+project_id = :project_id",) * 2,
    "projects": ("+project_id IN LIST(:projects, bigint)",) * 2,
    "status": ("status = :status",) * 2,
    "source": ("source = :source",) * 2,
    "result": ("result = :result",) * 2,
    "text": ("instr(lower(name), :text) > 0", 'strpos(lower(name COLLATE "C"), :text) > 0'),
}

_FOUND = f"FROM runs WHERE {{}} AND id < :before AND id >= :after AND {IN_A_PROJECT} ORDER BY id DESC LIMIT :limit"
_NEWEST = "SELECT {columns} {found}"
_IN_EACH_PROJECT = "SELECT {columns} FROM {projects} CROSS JOIN {newest} ORDER BY runs.id DESC LIMIT :limit"
# SQLite has no LATERAL, but re-evaluates a correlated IN.
_NEWEST_IN_EACH = ("runs ON runs.id IN (SELECT id {})", "LATERAL (SELECT * {}) AS runs")
_PASSED = "SELECT id FROM runs WHERE {} AND id < :before ORDER BY id DESC LIMIT 1 OFFSET :passed"
_FIRST_END = "SELECT max(({})) AS id FROM {}"


async def list_runs(  # noqa: PLR0913 - one argument for each filter
    tx: Transaction,
    organization_id: int,
    *,
    projects: frozenset[int] | None,
    project_id: int | None = None,
    status: RunStatus | None = None,
    result: Result | None = None,
    source: Source | None = None,
    text: str | None = None,
    open_only: bool = False,
    before: int | None = None,
    limit: int,
) -> tuple[list[Run], int | None]:
    """Returns up to ``limit`` of the organization's matching runs, newest first, with ids below ``before``.

    ``projects`` are those the caller may see; None: all. ``text`` is a part of the name, ignoring the case of A to Z.
    Also returns the ``before`` of the next query; None at the end. One query scans about ``MAX_SCANNED`` runs, so it
    may return fewer than ``limit``, even none, before the end.
    """
    if projects is not None and project_id is not None:
        projects = projects & {project_id}
    if projects == frozenset() or (open_only and result is not None):  # an open run has no result
        return [], None
    given = {
        "project_id": project_id,
        "projects": None if projects is None or project_id is not None else sorted(projects),
        "status": None if status is None else status.value,
        "result": None if result is None else result.value,
        "source": None if source is None else source.value,
        "text": text.translate(_SMALL_LETTERS) if text else None,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    way = _access_path(asked.keys(), open_only=open_only)
    filters = frozenset(asked) - {way, f"{way}_id"}
    start = MAX_ID if before is None else before
    after = 0
    if filters:
        look = {name: asked[name] for name in (way, f"{way}_id") if name in asked}
        window = MAX_SCANNED
        if way == "projects" and projects is not None:
            window = max(MAX_SCANNED // len(projects), _MIN_WINDOW_SIZE)
        last = await tx.first(
            _window_end(way), **look, organization_id=organization_id, before=start, passed=window - 1
        )
        after = 0 if last is None or last["id"] is None else int(last["id"])
    rows = await tx.all(
        _newest("runs.*", way, filters),
        **asked,
        organization_id=organization_id,
        before=start,
        after=after,
        limit=limit + 1,
    )
    runs = [read_row(Run, row) for row in rows]
    if len(runs) > limit:
        return runs[:limit], runs[limit - 1].id
    return runs, after or None


async def count_runs(tx: Transaction, organization_id: int, *, projects: frozenset[int] | None) -> RunCounts:
    """Counts the organization's newest ``MAX_COUNTED`` runs by result; ``projects`` as in :func:`list_runs`."""
    values = {} if projects is None else {"projects": sorted(projects)}
    rows = await tx.all(
        _newest("result", _access_path(values.keys(), open_only=False), frozenset()),
        **values,
        organization_id=organization_id,
        before=MAX_ID,
        after=0,
        limit=MAX_COUNTED + 1,
    )
    counted = Counter(row["result"] for row in rows[:MAX_COUNTED])  # runs without a result haven't ended
    return RunCounts(
        all=counted.total(),
        running=counted[None],
        failed=counted[Result.FAILED],
        passed=counted[Result.PASSED],
        unknown=counted[Result.UNKNOWN],
        more=len(rows) > MAX_COUNTED,
    )


def _access_path(items: Collection[str], *, open_only: bool) -> _AccessPath:
    """Returns the most selective index for the filters named in ``items``."""
    if open_only:
        return "open"
    ways: tuple[_AccessPath, ...] = ("projects", "result")
    return next((way for way in ways if way in items), "project" if "project_id" in items else "organization")


@cache
def _newest(columns: str, way: _AccessPath, filters: frozenset[str]) -> Statement:
    return Statement(*(_select(columns, way, filters, on) for on in (0, 1)))


def _select(columns: str, way: _AccessPath, filters: frozenset[str], on: int) -> str:
    conditions = " AND ".join([_FOUND_BY_INDEX[way], *(_FILTERS[name][on] for name in sorted(filters))])
    text = _FOUND.format(conditions)
    if way != "projects":
        return _NEWEST.format(columns=columns, found=text)
    return _IN_EACH_PROJECT.format(columns=columns, projects=_PROJECTS, newest=_NEWEST_IN_EACH[on].format(text))


@cache
def _window_end(way: _AccessPath) -> Statement:
    """Returns the statement for the last id that one query scans, if there are more; it reads only an index.

    Of several projects, the window that ends first counts: below it, not all projects are scanned.
    """
    last = _PASSED.format(_FOUND_BY_INDEX[way])
    if way != "projects":
        return Statement(last)
    return Statement(_FIRST_END.format(last, _PROJECTS))
