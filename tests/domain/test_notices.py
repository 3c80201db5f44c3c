"""What people are told: the headline and tone of each end, why it ended so, how long it took, how late the news is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.metrics import format_number
from loadbell.domain.notices import (
    LATE_AFTER,
    MAX_METRICS,
    Fact,
    Notice,
    Tone,
    decode_notice,
    describe_threshold,
    encode_notice,
    format_span,
    minimal_notice,
    pause_notice,
    run_notice,
)
from loadbell.domain.notices import test_hook_notice as hook_notice
from loadbell.domain.runs import FINAL, EndedBy, Link, Result, Run, RunStatus, Source, Threshold, Trigger

NOW: Micros = 1_795_000_000 * SECOND
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

RUN = Run(
    id=7,
    organization_id=1,
    project_id=2,
    test_id=3,
    user_id=4,
    name="Checkout",
    status=RunStatus.FINISHED,
    result=Result.UNKNOWN,
    trigger=Trigger.UNKNOWN,
    source=Source.REST,
    created_at=NOW - HOUR,
    started_at=NOW - 90 * SECOND,
    ended_at=NOW,
    ended_by=EndedBy.REPORT,
    corrected=False,
    last_report_at=NOW,
    watchdog=None,
    metrics={},
    thresholds=(),
    links=(),
    note=None,
)
HELD, CROSSED = Threshold("checks>0.9", ok=True, value=1.0), Threshold("p(95)<500", ok=False, value=812.0)


def make_notice(name: EventName = EventName.FINISHED, **changes: object) -> Notice:
    """What is told of the run with these changes."""
    run = replace(RUN, **changes)  # type: ignore[arg-type]  # fields of a run, by name
    return run_notice(run, name, project="Shop", who="ann@example.org", now=NOW)


def facts(notice: Notice) -> dict[str, str]:
    """The facts by their label."""
    return {fact.label: fact.value for fact in notice.facts}


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (0, "0 ms"),
        (-5 * SECOND, "0 ms"),
        (999, "0 ms"),
        (850_000, "850 ms"),
        (999_999, "999 ms"),
        (SECOND, "1 s"),
        (59 * SECOND + 999_999, "59 s"),
        (MINUTE, "1 min"),
        (200 * SECOND, "3 min 20 s"),
        (2 * HOUR, "2 h"),
        (2 * HOUR + 59 * SECOND, "2 h"),
        (2 * HOUR + MINUTE + SECOND, "2 h 1 min"),
        (DAY + 4 * HOUR + 59 * MINUTE, "1 d 4 h"),
        (400 * DAY, "400 d"),
    ],
)
def test_a_span_is_said_in_its_two_largest_units(length: Micros, said: str) -> None:
    """Whole units, rounded down; a unit of which there is none is left out; a negative span is none at all."""
    assert said == format_span(length)


@given(st.integers(0, 40_000 * DAY))
def test_a_span_is_never_longer_than_said(length: Micros) -> None:
    """What is said lies below the span, by less than the smaller unit that was said could have been."""
    sizes = {"ms": 1000, "s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY}
    words = format_span(length).split()
    said = sum(int(count) * sizes[unit] for count, unit in zip(words[::2], words[1::2], strict=True))

    assert 0 <= length - said < max(sizes[words[1]], 1000)


@pytest.mark.parametrize(
    ("after", "said"),
    [(-HOUR, None), (0, None), (LATE_AFTER, None), (LATE_AFTER + 1, "delayed 1 min"), (2 * HOUR, "delayed 2 h")],
)
def test_late_news_says_so(after: Micros, said: str | None) -> None:
    """Up to 60 s after the event a message is in time, and a clock that went back makes none late."""
    assert said == minimal_notice(EventName.STARTED, NOW).late_by(NOW + after)


NEWS, GOOD, WARNING, BAD = Tone.NEWS, Tone.GOOD, Tone.WARNING, Tone.BAD
ENDS = {
    (RunStatus.FINISHED, Result.PASSED): ("Load test passed", GOOD),
    (RunStatus.FINISHED, Result.FAILED): ("Load test failed", BAD),
    (RunStatus.FINISHED, Result.UNKNOWN): ("Load test finished", NEWS),
    **{(RunStatus.TIMED_OUT, result): ("Load test timed out", WARNING) for result in Result},
    **{(RunStatus.ABORTED_BY_USER, result): ("Load test aborted by user", WARNING) for result in Result},
    **{(RunStatus.ABORTED_BY_SYSTEM, result): ("Load test aborted by system", BAD) for result in Result},
    **{(RunStatus.ABORTED_BY_SCRIPT_ERROR, result): ("Load test aborted by script error", BAD) for result in Result},
    **{(RunStatus.ABORTED_BY_THRESHOLD, result): ("Load test aborted by threshold", BAD) for result in Result},
    **{(RunStatus.FAILED_THRESHOLD, result): ("Load test failed a threshold", BAD) for result in Result},
}


def test_every_end_has_its_headline_and_tone() -> None:
    """Each final status with each result is told in the words of the table."""
    body = {(status, result): make_notice(status=status, result=result) for status in FINAL for result in Result}

    assert {end: (notice.headline, notice.tone) for end, notice in body.items()} == ENDS


def test_nothing_is_good_without_proof() -> None:
    """The good tone, which channels show in green, is for a run that finished by itself and proved that it passed."""
    good = [end for end, (_, tone) in ENDS.items() if tone is GOOD]
    started = make_notice(EventName.STARTED, status=RunStatus.RUNNING, result=None)

    assert [(RunStatus.FINISHED, Result.PASSED)] == good
    assert Tone.NEWS is started.tone
    assert Tone.NEWS is make_notice(result=None).tone


def test_a_start_tells_what_is_known_by_then() -> None:
    """A start has no end, duration, status, result or reason, even if the run carries a note."""
    notice = make_notice(EventName.STARTED, status=RunStatus.RUNNING, result=None, note="x", trigger=Trigger.CI)

    assert ("Load test started", "Checkout", None) == (notice.headline, notice.subject, notice.why)
    assert ["Project", "Reported by", "Trigger", "Started"] == list(facts(notice))
    assert ("Shop", "ann@example.org (REST)", "CI") == tuple(facts(notice).values())[:3]


def test_an_end_tells_how_long_it_took_and_how_it_ended() -> None:
    """Start, end, the time between them, status in the legacy words, and result."""
    body = facts(make_notice(status=RunStatus.TIMED_OUT))

    assert ("1 min 30 s", "Timed out", "unknown") == (body["Duration"], body["Status"], body["Result"])
    assert body["Started"] < body["Ended"]


def test_what_is_not_known_is_left_out() -> None:
    """A run that ended before it ran has no start and no duration; an unknown trigger is not told."""
    body = facts(make_notice(status=RunStatus.ABORTED_BY_USER, started_at=None))

    assert not {"Started", "Duration", "Trigger"} & set(body)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"thresholds": (HELD,)}, None),
        ({"thresholds": (CROSSED,)}, "1 of 1 thresholds failed."),
        ({"thresholds": (HELD, CROSSED, HELD)}, "1 of 3 thresholds failed."),
        ({"thresholds": (CROSSED, CROSSED)}, "2 of 2 thresholds failed."),
        ({"note": "exit code 2"}, "exit code 2"),
        ({"thresholds": (CROSSED,), "note": "exit code 99"}, "1 of 1 thresholds failed. exit code 99"),
        (
            {"status": RunStatus.TIMED_OUT, "ended_by": EndedBy.WATCHDOG, "watchdog": 120 * SECOND},
            "No reports received for 2 min.",
        ),
        (
            {"ended_by": EndedBy.REPORT, "corrected": True, "thresholds": (CROSSED,)},
            "This corrects an earlier message, sent after reports had stopped. 1 of 1 thresholds failed.",
        ),
        ({"ended_by": EndedBy.REPORT, "watchdog": 120 * SECOND}, None),
    ],
)
def test_an_end_says_why(changes: dict[str, object], why: str | None) -> None:
    """Silence, a correction, thresholds that failed and the source's own note; nothing when nothing is known."""
    assert why == make_notice(**changes).why  # type: ignore[arg-type]  # fields of a run, by name


def test_the_first_link_leads_to_the_run() -> None:
    """Our own page comes first, without the server's address; then what the source gave."""
    notice = make_notice(links=(Link("Build", "https://ci.example/42"),))

    assert [("Open run", "/runs/7"), ("Build", "https://ci.example/42")] == [
        (link.title, link.url) for link in notice.links
    ]


def test_the_first_metrics_are_told() -> None:
    """As many metrics as a message holds, in their order, as people write numbers."""
    notice = make_notice(metrics={f"m{number}": number + 0.5 for number in range(MAX_METRICS + 5)})

    assert MAX_METRICS == len(notice.metrics)
    assert [Fact("m0", "0.5"), Fact("m1", "1.5")] == list(notice.metrics[:2])


def test_known_metrics_have_labels_and_units() -> None:
    """Whichever source reported them; others stay as they are called."""
    notice = make_notice(metrics={"p95_ms": 812.4, "failed_rate": 0.0042, "vus": 200.0, "rps": 12.5})

    assert (
        Fact("p95", "812 ms"),
        Fact("Failed requests", "0.42 %"),
        Fact("VUs", "200"),
        Fact("rps", "12.5"),
    ) == notice.metrics


def test_an_end_is_compared_with_the_run_before() -> None:
    """p95 and failed requests, better or worse in words and percent; without an earlier run nothing is said."""
    earlier = replace(RUN, id=5, metrics={"p95_ms": 725.0, "failed_rate": 0.01})
    now = replace(RUN, metrics={"p95_ms": 812.0, "failed_rate": 0.005, "vus": 10.0})
    notice = run_notice(now, EventName.FINISHED, project="Shop", who="Kim", now=NOW, earlier=earlier)

    assert (
        Fact("p95", "812 ms, 12 % worse than in run 5 (725 ms)"),
        Fact("Failed requests", "0.5 %, 50 % better than in run 5 (1 %)"),
        Fact("VUs", "10"),
    ) == notice.metrics


def test_the_tool_is_named_with_its_version() -> None:
    """Where it is known."""
    facts = {fact.label: fact.value for fact in make_notice(tool="k6 2.2.0").facts}

    assert facts["Reported by"].endswith(" (k6 2.2.0)")


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        (Threshold("d: p(95)<500", ok=False, value=812.4, unit="ms"), "812 ms"),
        (Threshold("d: p(95)<5", ok=False, value=7.129, unit="ms"), "7.13 ms"),
        (Threshold("f: rate<0.01", ok=False, value=0.032), "0.032"),
        (Threshold("f: rate<0.01", ok=False), None),
    ],
)
def test_by_what_a_threshold_was_judged(threshold: Threshold, said: str | None) -> None:
    """Its value with its unit, if it is known."""
    assert said == describe_threshold(threshold)


def test_a_test_hook_says_who_pressed_it() -> None:
    """So that a room which gets one knows whom to ask."""
    notice = hook_notice(organization="Acme", who="ann@example.org", now=NOW)

    assert ("Test Hook", Tone.NEWS) == (notice.headline, notice.tone)
    assert {"Organization": "Acme", "Sent by": "ann@example.org"} == facts(notice)


def test_a_pause_says_which_channel_why_and_what_to_do() -> None:
    """The reason, that nothing is lost, and the way to the channel."""
    notice = pause_notice(channel_id=5, channel="Team", title="Slack", reason="It is gone.", now=NOW)

    assert ("Channel paused", "Team", Tone.BAD) == (notice.headline, notice.subject, notice.tone)
    assert notice.why is not None
    assert notice.why.startswith("It is gone. ")
    assert "Resume" in notice.why
    assert {"Kind": "Slack"} == facts(notice)
    assert (Link("Open channel", "/channels/5"),) == notice.links


def test_an_event_without_a_notice_says_its_name() -> None:
    """One that was stored before notices were: no subject is made up."""
    assert Notice("test.started", "", Tone.NEWS, NOW) == minimal_notice(EventName.STARTED, NOW)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (812.25, "812.25"),
        (99_999.96, "100000"),
        (999_999.6, "1000000"),
        (1_234_567.0, "1234567"),
        (-1_234_567.8, "-1234568"),
        (0.000_001_5, "1.5e-06"),
        (1e15, "1e+15"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_a_figure_is_said_as_people_read_it(value: float, said: str) -> None:
    """Millions of requests are written out; nothing has more digits than it needs."""
    assert said == format_number(value)


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.builds(
        Notice,
        texts,
        texts,
        st.sampled_from(Tone),
        st.integers(0, 2**53),
        st.none() | texts,
        st.lists(st.builds(Fact, texts, texts)).map(tuple),
        st.lists(st.builds(Threshold, texts, st.booleans(), st.none() | st.integers(-999, 999).map(float))).map(tuple),
        st.lists(st.builds(Fact, texts, texts)).map(tuple),
        st.lists(st.builds(Link, texts, texts)).map(tuple),
    )
)  # fmt: skip
def test_a_notice_survives_storage(notice: Notice) -> None:
    """What was frozen is what is told later."""
    assert notice == decode_notice(encode_notice(notice))


def test_one_duration() -> None:
    """How long a run took is told once: what its source measured of it is the span between its start and its end."""
    metrics = {"duration_s": 90.0, "requests": 5.0}

    assert ["Requests"] == [fact.label for fact in make_notice(metrics=metrics).metrics]
    assert Fact("Duration", "1 min 30 s") in make_notice(metrics=metrics).facts
    assert "duration_s" in [fact.label for fact in make_notice(metrics=metrics, started_at=None).metrics]
