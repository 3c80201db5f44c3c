"""The three legacy bodies, byte for byte: the documentation's own examples without their white space."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain import events
from loadbell.domain.events import EventName, run_payload
from loadbell.domain.ids import MAX_ID
from loadbell.domain.runs import Run, RunStatus, Source, Trigger

STARTED = """
{
    "status": 2,
    "status_text": "Running",
    "user_id": 1,
    "name": "Load test",
    "organization_id": 1,
    "load_test_id": 1,
    "load_test_run_id": 1,
    "project_id": 1,
    "event": "test.started"
}
"""
FINISHED = """
{
    "status": 3,
    "status_text": "Finished",
    "user_id": 1,
    "name": "Load test",
    "organization_id": 1,
    "load_test_id": 1,
    "load_test_run_id": 1,
    "project_id": 1,
    "event": "test.finished"
}
"""
TEST_HOOK = """
{
    "event": "test.notification_channel"
}
"""
"""As printed in the LoadImpact 3.0 documentation, page "Notifications"."""

ENDS = [
    (3, "Finished"),
    (4, "Timed out"),
    (6, "Aborted by user"),
    (8, "Aborted by system"),
    (9, "Aborted by script error"),
    (11, "Aborted by threshold"),
    (12, "Failed threshold"),
]

RUN = Run(
    id=1,
    organization_id=1,
    project_id=1,
    test_id=1,
    user_id=1,
    name="Load test",
    status=RunStatus.RUNNING,
    result=None,
    trigger=Trigger.UNKNOWN,
    source=Source.REST,
    created_at=0,
    started_at=0,
    ended_at=None,
    ended_by=None,
    corrected=False,
    last_report_at=0,
    watchdog=None,
    metrics={},
    thresholds=(),
    links=(),
    note=None,
)


def _compact(printed: str) -> bytes:
    """The documented JSON without the white space between its parts; a plain text step, no JSON library's opinion."""
    return re.sub(r'^\s+|\s+$|\n\s*|(?<=":) ', "", printed).encode()


def _pairs(body: bytes) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = json.loads(body, object_pairs_hook=list)
    return pairs


def test_the_body_of_a_start() -> None:
    """test.started is the documented example, byte for byte."""
    assert _compact(STARTED) == run_payload(RUN, EventName.STARTED)


@pytest.mark.parametrize(("code", "text"), ENDS)
def test_the_body_of_every_end(code: int, text: str) -> None:
    """test.finished is the documented example with the code and text of each of the seven ends."""
    documented = FINISHED.replace('"status": 3', f'"status": {code}').replace("Finished", text, 1)

    assert _compact(documented) == run_payload(replace(RUN, status=RunStatus(code)), EventName.FINISHED)


def test_the_body_of_a_test_hook() -> None:
    """test.notification_channel is one key and nothing else."""
    assert _compact(TEST_HOOK) == events.test_hook_payload()


@pytest.mark.parametrize("code", [status.value for status in RunStatus])
def test_order_and_types_are_the_same_for_every_status(code: int) -> None:
    """Nine keys in the documented order; ids and status are integers, the rest are texts."""
    body = run_payload(replace(RUN, status=RunStatus(code)), EventName.FINISHED)
    documented = [(key, type(value)) for key, value in _pairs(FINISHED.encode())]

    assert documented == [(key, type(value)) for key, value in _pairs(body)]


@pytest.mark.parametrize(
    "name",
    [
        'say "hello" \\ and / </script>',
        "Ünïcödé 負荷テスト 🔔 \u202e\u2028",
        "tab\tnewline\nbell\x07\x00",
        "x" * 10_000,
        "🔔" * 10_000,
        " ",
    ],
    ids=["quotes", "unicode", "controls", "long", "long-unicode", "space"],
)
def test_any_name_arrives_as_it_was_given(name: str) -> None:
    """Quotes, unicode, control characters and 10,000 characters come through; letters stay UTF-8, unescaped."""
    body = run_payload(replace(RUN, name=name), EventName.STARTED)

    assert name == json.loads(body)["name"]
    assert ("🔔" in name) == ("🔔".encode() in body)
    assert b"\n" not in body


@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
    ids=st.lists(st.integers(1, MAX_ID), min_size=5, max_size=5),
)
def test_every_payload_reads_back(name: str, ids: list[int]) -> None:
    """Whatever the name and the 64-bit ids, the body is compact JSON that gives exactly them back."""
    user, organization, test, run, project = ids
    body = run_payload(
        replace(RUN, id=run, organization_id=organization, project_id=project, test_id=test, user_id=user, name=name),
        EventName.STARTED,
    )
    expected = [
        ("status", 2),
        ("status_text", "Running"),
        ("user_id", user),
        ("name", name),
        ("organization_id", organization),
        ("load_test_id", test),
        ("load_test_run_id", run),
        ("project_id", project),
        ("event", "test.started"),
    ]

    assert expected == _pairs(body)
    assert json.dumps(dict(expected), separators=(",", ":"), ensure_ascii=False) == body.decode()
