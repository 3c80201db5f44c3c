"""
The statuses of a run, their texts, and the legal moves.

Codes and texts are those of the LoadImpact 3.0 documentation, page "Notifications", table "Status codes" (without its
remark "(currently not used)" on 4). The table of moves is our own.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from loadbell.domain.errors import IllegalMove
from loadbell.domain.ids import Micros


class RunStatus(IntEnum):
    """The status of a run. The integers are the legacy contract."""

    CREATED = -1  #: announced, nothing has happened yet
    QUEUED = 0  #: waits for a load generator
    INITIALIZING = 1  #: the tool prepares: set-up, scripts, connections
    RUNNING = 2  #: load is on; publishes test.started
    FINISHED = 3  #: completed; says nothing about pass or fail
    TIMED_OUT = 4  #: reports stopped, or the tool's own time limit was reached
    ABORTING_BY_USER = 5  #: a person asked to stop it; it has not stopped yet
    ABORTED_BY_USER = 6  #: stopped because a person asked
    ABORTING_BY_SYSTEM = 7  #: its environment asked to stop it; it has not stopped yet
    ABORTED_BY_SYSTEM = 8  #: stopped by a crash, a signal or a limit
    ABORTED_BY_SCRIPT_ERROR = 9  #: stopped because the script or its options are broken
    ABORTING_BY_THRESHOLD = 10  #: a threshold asked to stop it; it has not stopped yet
    ABORTED_BY_THRESHOLD = 11  #: stopped early because a threshold was crossed
    FAILED_THRESHOLD = 12  #: completed with a threshold crossed

    @property
    def text(self) -> str:
        """The text of the legacy table."""
        return _TEXTS[self]

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self in FINAL

    @property
    def is_complete(self) -> bool:
        """Whether the load ran to its planned end."""
        return self in {RunStatus.FINISHED, RunStatus.FAILED_THRESHOLD}

    @property
    def is_aborting(self) -> bool:
        """Whether somebody asked the run to stop and it has not stopped yet."""
        return self in _ABORTED_FROM


class Result(StrEnum):
    """What the run proved. Unknown unless proven otherwise."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Source(StrEnum):
    """How a run is reported to us."""

    K6 = "k6"
    WRAP = "wrap"
    LOCUST = "locust"
    REST = "rest"

    @property
    def label(self) -> str:
        """The source's name for people."""
        return {Source.K6: "k6", Source.WRAP: "wrap", Source.LOCUST: "Locust", Source.REST: "REST"}[self]

    @property
    def abort_effect(self) -> str:
        """What Abort does to a run of this source that reports heartbeats."""
        return {
            Source.K6: "k6 stops within seconds, at its next report.",
            Source.WRAP: "wrap interrupts the load tool within seconds, like Ctrl-C.",
            Source.LOCUST: "Locust stops its users within seconds.",
            Source.REST: "The reporting program is asked to stop at its next heartbeat.",
        }[self]

    @property
    def reports_regularly(self) -> bool:
        """Whether missing reports mean that the source is gone."""
        return self is not Source.REST


class Trigger(StrEnum):
    """What started the run, as its source reported it."""

    MANUAL = "manual"
    SCHEDULED = "scheduled"
    CI = "ci"
    UNKNOWN = "unknown"


class EndedBy(StrEnum):
    """Who ended the run. Only the watchdog's end may be corrected afterwards."""

    REPORT = "report"
    WATCHDOG = "watchdog"
    ABORT = "abort"


FINAL = frozenset(
    {
        RunStatus.FINISHED,
        RunStatus.TIMED_OUT,
        RunStatus.ABORTED_BY_USER,
        RunStatus.ABORTED_BY_SYSTEM,
        RunStatus.ABORTED_BY_SCRIPT_ERROR,
        RunStatus.ABORTED_BY_THRESHOLD,
        RunStatus.FAILED_THRESHOLD,
    }
)

FAILURES = frozenset(
    {
        RunStatus.TIMED_OUT,
        RunStatus.ABORTED_BY_SYSTEM,
        RunStatus.ABORTED_BY_SCRIPT_ERROR,
        RunStatus.ABORTED_BY_THRESHOLD,
        RunStatus.FAILED_THRESHOLD,
    }
)
"""The final statuses that are failures with any result."""

INITIAL = frozenset({RunStatus.CREATED, RunStatus.QUEUED, RunStatus.INITIALIZING, RunStatus.RUNNING}) | FINAL
"""The statuses of a new run; a final one reports a run after its end."""

_TEXTS = {
    RunStatus.CREATED: "Created",
    RunStatus.QUEUED: "Queued",
    RunStatus.INITIALIZING: "Initializing",
    RunStatus.RUNNING: "Running",
    RunStatus.FINISHED: "Finished",
    RunStatus.TIMED_OUT: "Timed out",
    RunStatus.ABORTING_BY_USER: "Aborting by user",
    RunStatus.ABORTED_BY_USER: "Aborted by user",
    RunStatus.ABORTING_BY_SYSTEM: "Aborting by system",
    RunStatus.ABORTED_BY_SYSTEM: "Aborted by system",
    RunStatus.ABORTED_BY_SCRIPT_ERROR: "Aborted by script error",
    RunStatus.ABORTING_BY_THRESHOLD: "Aborting by threshold",
    RunStatus.ABORTED_BY_THRESHOLD: "Aborted by threshold",
    RunStatus.FAILED_THRESHOLD: "Failed threshold",
}

_ABORTED_FROM = {
    RunStatus.ABORTING_BY_USER: RunStatus.ABORTED_BY_USER,
    RunStatus.ABORTING_BY_SYSTEM: RunStatus.ABORTED_BY_SYSTEM,
    RunStatus.ABORTING_BY_THRESHOLD: RunStatus.ABORTED_BY_THRESHOLD,
}

MOVES: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.CREATED: frozenset({RunStatus.QUEUED, RunStatus.INITIALIZING, RunStatus.RUNNING}) | FINAL,
    RunStatus.QUEUED: frozenset({RunStatus.INITIALIZING, RunStatus.RUNNING}) | FINAL,
    RunStatus.INITIALIZING: frozenset({RunStatus.RUNNING}) | FINAL,
    RunStatus.RUNNING: frozenset(_ABORTED_FROM) | FINAL,
    **dict.fromkeys(_ABORTED_FROM, FINAL),
    **dict.fromkeys(FINAL, frozenset[RunStatus]()),
}
"""Every legal move. The one exception is the late report: see :func:`may_correct`."""

LATE_REPORT_WINDOW: Micros = 24 * 3600 * 1_000_000
"""How long after a watchdog's end the tool's own report still corrects it."""


def check_move(current: RunStatus, wanted: RunStatus) -> None:
    """Checks that the table allows the move.

    Raises:
        IllegalMove: it doesn't; the message names both statuses and the legal ones.
    """
    if wanted in MOVES[current]:
        return
    ahead = ", ".join(f"{status.value} {status.text}" for status in sorted(MOVES[current]))
    raise IllegalMove(
        f"The run is {current.text} ({current.value}) and can't become {wanted.text} ({wanted.value}). "
        + (f"From here it may become: {ahead}." if ahead else "It has ended; report a new run instead.")
    )


def timeout_status(current: RunStatus) -> RunStatus:
    """The final status of a run without reports: aborted if it was being aborted, else timed out."""
    return _ABORTED_FROM.get(current, RunStatus.TIMED_OUT)


def abort_status(current: RunStatus, *, can_abort: bool) -> RunStatus:
    """The status after a person aborts a run that has not ended.

    It ends at once if it isn't Running yet or its source can't abort it. A run already being aborted stays as it is.
    """
    if current.is_aborting:
        return current
    if current is RunStatus.RUNNING and can_abort:
        return RunStatus.ABORTING_BY_USER
    return RunStatus.ABORTED_BY_USER


def may_correct(ended_by: EndedBy | None, ended_at: Micros | None, now: Micros, *, corrected: bool) -> bool:
    """Whether a late report may still change the end: once, within 24 h, and only the watchdog's."""
    return (
        ended_by is EndedBy.WATCHDOG and ended_at is not None and now - ended_at <= LATE_REPORT_WINDOW and not corrected
    )


def derive_result(status: RunStatus, reported: Result | None) -> Result | None:
    """The result of a run: none until it has ended, then the reported one, else what the status proves."""
    if not status.is_final:
        return None
    if reported is not None:
        return reported
    failed = status in {RunStatus.ABORTED_BY_THRESHOLD, RunStatus.FAILED_THRESHOLD}
    return Result.FAILED if failed else Result.UNKNOWN


@dataclass(frozen=True)
class Threshold:
    """A pass/fail criterion of the tool, whether it held, and the value if known."""

    expression: str
    ok: bool
    value: float | None = None
    unit: str | None = None  #: of the value
    is_empty: bool = False  #: nothing was measured for it, so holding proves nothing


@dataclass(frozen=True)
class Link:
    """A link to more about the run."""

    title: str
    url: str


@dataclass(frozen=True)
class Run:
    """One execution of a test. Durations and times are in microseconds."""

    id: int
    organization_id: int
    project_id: int
    test_id: int
    user_id: int
    name: str
    status: RunStatus
    result: Result | None
    trigger: Trigger
    source: Source
    created_at: Micros
    started_at: Micros | None
    ended_at: Micros | None
    ended_by: EndedBy | None
    corrected: bool  #: a late report has already corrected the watchdog's end
    last_report_at: Micros
    watchdog: Micros | None  #: the time without reports that ends the run; None: no limit
    metrics: dict[str, float]
    thresholds: tuple[Threshold, ...]
    links: tuple[Link, ...]
    note: str | None
    tool: str | None = None  #: name and version of what ran it

    @property
    def visible_metrics(self) -> dict[str, float]:
        """The metrics to show: without the duration if start and end already show it."""
        timed = self.started_at is not None and self.ended_at is not None
        return {name: value for name, value in self.metrics.items() if name != "duration_s" or not timed}

    @property
    def has_test(self) -> bool:
        """Whether it belongs to a test; a run named only after its tool doesn't."""
        return self.name != self.tool

    @property
    def can_abort(self) -> bool:
        """Whether an abort reaches the tool: only in a response to regular reports."""
        return self.watchdog is not None


@dataclass(frozen=True)
class RunMove:
    """A status that a run entered, with its time and who reported it."""

    status: RunStatus
    at: Micros
    by: EndedBy
    user: str | None  #: name of the reporting or aborting user; None: no user, or the account is gone


@dataclass(frozen=True)
class RunCounts:
    """The newest runs, counted by outcome."""

    all: int
    running: int  #: those that have not ended
    failed: int
    passed: int
    unknown: int
    more: bool  #: there are older runs, not counted
