"""
Statuses, moves, results and abort rules of a run, against an oracle that was written by hand.

The oracle is the legacy table of status codes and the list of moves that the project decided on.
"""

import pytest

from loadbell.domain.errors import IllegalMove
from loadbell.domain.ids import SECOND
from loadbell.domain.runs import (
    INITIAL,
    EndedBy,
    Result,
    RunStatus,
    Source,
    abort_status,
    check_move,
    derive_result,
    may_correct,
    timeout_status,
)

TEXTS = {
    -1: "Created",
    0: "Queued",
    1: "Initializing",
    2: "Running",
    3: "Finished",
    4: "Timed out",
    5: "Aborting by user",
    6: "Aborted by user",
    7: "Aborting by system",
    8: "Aborted by system",
    9: "Aborted by script error",
    10: "Aborting by threshold",
    11: "Aborted by threshold",
    12: "Failed threshold",
}

ENDS = {3, 4, 6, 8, 9, 11, 12}

LEGAL = {
    -1: {0, 1, 2, 3, 4, 6, 8, 9, 11, 12},
    0: {1, 2, 3, 4, 6, 8, 9, 11, 12},
    1: {2, 3, 4, 6, 8, 9, 11, 12},
    2: {5, 7, 10, 3, 4, 6, 8, 9, 11, 12},
    5: {3, 4, 6, 8, 9, 11, 12},
    7: {3, 4, 6, 8, 9, 11, 12},
    10: {3, 4, 6, 8, 9, 11, 12},
    3: set(),
    4: set(),
    6: set(),
    8: set(),
    9: set(),
    11: set(),
    12: set(),
}

CODES = sorted(TEXTS)


def test_there_are_the_fourteen_statuses_of_the_legacy_table() -> None:
    """Codes and texts are those of the documentation, without its remark on 4."""
    assert TEXTS == {status.value: status.text for status in RunStatus}


def test_seven_statuses_end_a_run() -> None:
    """Finished, Timed out, the three Aborted, Aborted by script error and Failed threshold are ends; no other is."""
    assert ENDS == {status.value for status in RunStatus if status.is_final}
    assert {5, 7, 10} == {status.value for status in RunStatus if status.is_aborting}


@pytest.mark.parametrize("current", CODES)
@pytest.mark.parametrize("wanted", CODES)
def test_the_table_of_moves(current: int, wanted: int) -> None:
    """Each of the 196 pairs is allowed or refused as decided; a refusal names both statuses and where it may go."""
    if wanted in LEGAL[current]:
        check_move(RunStatus(current), RunStatus(wanted))
        return
    with pytest.raises(IllegalMove) as refused:
        check_move(RunStatus(current), RunStatus(wanted))

    text = str(refused.value)
    assert f"{TEXTS[current]} ({current})" in text
    assert f"{TEXTS[wanted]} ({wanted})" in text
    ahead = ", ".join(f"{code} {TEXTS[code]}" for code in sorted(LEGAL[current]))
    assert text.endswith(f" From here it may become: {ahead}." if ahead else " It has ended; report a new run instead.")


def test_a_run_begins_before_an_abort_or_tells_of_its_end() -> None:
    """A run may be created Created, Queued, Initializing, Running or ended; not as being aborted."""
    assert {-1, 0, 1, 2} | ENDS == {status.value for status in INITIAL}


@pytest.mark.parametrize("code", CODES)
def test_the_result_that_a_status_gives(code: int) -> None:
    """None until the end; then 11 and 12 mean failed and all others unknown: no green tick without proof."""
    expected = None if code not in ENDS else Result.FAILED if code in {11, 12} else Result.UNKNOWN

    assert expected is derive_result(RunStatus(code), None)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("reported", Result)
def test_a_reported_result_counts_from_the_end_on(code: int, reported: Result) -> None:
    """What the source says is the result once the run has ended, and nothing before."""
    assert (reported if code in ENDS else None) is derive_result(RunStatus(code), reported)


@pytest.mark.parametrize(("current", "end"), [(-1, 4), (0, 4), (1, 4), (2, 4), (5, 6), (7, 8), (10, 11)], ids=str)
def test_how_silence_ends_a_run(current: int, end: int) -> None:
    """A silent run timed out; one that was being aborted is aborted by whoever asked."""
    assert RunStatus(end) is timeout_status(RunStatus(current))


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("current", [-1, 0, 1, 2, 5, 7, 10])
def test_where_an_abort_leads(current: int, told: bool) -> None:
    """Only a Running run whose source can be told goes to 5; others end as 6 at once; an aborting one stays."""
    expected = current if current in {5, 7, 10} else 5 if current == 2 and told else 6

    assert RunStatus(expected) is abort_status(RunStatus(current), can_abort=told)


@pytest.mark.parametrize(
    ("source", "regular"), [(Source.K6, True), (Source.WRAP, True), (Source.LOCUST, True), (Source.REST, False)]
)
def test_whose_silence_means_something(source: Source, regular: bool) -> None:
    """k6, wrap and Locust report regularly; a REST source only when it says so."""
    assert regular is source.reports_regularly


DAY = 24 * 3600 * SECOND


@pytest.mark.parametrize(
    ("ended_by", "age", "corrected", "expected"),
    [
        (EndedBy.WATCHDOG, 0, False, True),
        (EndedBy.WATCHDOG, DAY, False, True),
        (EndedBy.WATCHDOG, DAY + 1, False, False),
        (EndedBy.WATCHDOG, 0, True, False),
        (EndedBy.REPORT, 0, False, False),
        (EndedBy.ABORT, 0, False, False),
    ],
)
def test_which_end_a_late_report_corrects(
    ended_by: EndedBy,
    age: int,
    corrected: bool,
    expected: bool,
) -> None:
    """Only a watchdog's end, only once, and only for 24 hours."""
    ended_at = 1_700_000_000 * SECOND

    assert expected is may_correct(ended_by, ended_at, ended_at + age, corrected=corrected)


def test_a_run_that_goes_on_is_not_corrected() -> None:
    """There is nothing to correct before an end."""
    assert not may_correct(None, None, 1, corrected=False)
