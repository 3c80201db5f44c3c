"""What the conformance suite tells each kind, and what it must be told of a kind: its fake and how it judges."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit
from uuid import UUID

from loadbell.channels import channel_type
from loadbell.channels.contract import Envelope
from loadbell.channels.settings import stored_settings
from loadbell.domain.channels import ChannelKind
from loadbell.domain.events import EventName, channel_paused_payload, run_payload, test_hook_payload
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.notices import Notice, pause_notice, run_notice
from loadbell.domain.notices import test_hook_notice as hook_notice
from loadbell.domain.runs import FINAL, Link, Result, Run, RunStatus, Source, Threshold, Trigger, derive_result
from loadbell.outbound.messages import Message, Reply
from loadbell.testing import FakeHipChat, FakeSlack, ScriptedReceiver

NOW: Micros = 1_795_000_000 * SECOND
URL = "https://receiver.example/services/TSENTINEL/BSENTINEL/sentinel?auth_token=sentinel"
SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",)
DELIVERY = UUID("19c5d426-3b4d-43c3-8277-37ad7d457430")

RUN = Run(
    id=7,
    organization_id=1,
    project_id=2,
    test_id=3,
    user_id=4,
    name="Checkout",
    status=RunStatus.RUNNING,
    result=None,
    trigger=Trigger.CI,
    source=Source.K6,
    created_at=NOW - 605 * SECOND,
    started_at=NOW - 600 * SECOND,
    ended_at=None,
    ended_by=None,
    corrected=False,
    last_report_at=NOW,
    watchdog=120 * SECOND,
    metrics={"http_reqs": 120_000.0, "http_req_duration p(95)": 812.25},
    thresholds=(),
    links=(Link("Build 42", "https://ci.example/build?id=42&tab=log"),),
    note=None,
)


@dataclass(frozen=True)
class Case:
    """One thing to tell."""

    notice: Notice
    envelope: Envelope


def run_case(run: Run, name: EventName, *, late: Micros = 0) -> Case:
    """What happened to ``run``, told ``late`` after it."""
    notice = run_notice(run, name, project="Shop & Co", who="ann@example.org", now=NOW)
    links = tuple(
        replace(link, url=link.url.replace("/runs/", "https://loadbell.example/runs/")) for link in notice.links
    )
    envelope = Envelope(DELIVERY, name, 1, NOW + late, run_payload(run, name), SECRETS)
    return Case(replace(notice, links=links), envelope)


def finished(status: RunStatus, result: Result | None) -> Run:
    """``RUN`` at its end."""
    crossed = result is Result.FAILED
    thresholds = (
        Threshold("http_req_duration: p(95)<500", not crossed, 812.25),
        Threshold("checks: rate>0.99", True, 1.0),
    )
    proven = thresholds if result in {Result.PASSED, Result.FAILED} else ()
    return replace(RUN, status=status, result=derive_result(status, result), ended_at=NOW, thresholds=proven)


def cases() -> dict[str, Case]:
    """Every event with every status that it can have, by a name for its file."""
    body = {"test.started running": run_case(RUN, EventName.STARTED)}
    for status in sorted(FINAL):
        for result in Result:
            if result is Result.PASSED and derive_result(status, None) is Result.FAILED:
                continue  # no report may say so
            name = f"test.finished {status.text.lower()} {result.value}"
            body[name] = run_case(finished(status, result), EventName.FINISHED)
    failed = finished(RunStatus.FINISHED, Result.FAILED)
    body["test.finished late"] = run_case(failed, EventName.FINISHED, late=7_260 * SECOND)
    body["test.notification_channel"] = Case(
        hook_notice(organization="Acme", who="ann@example.org", now=NOW),
        Envelope(DELIVERY, EventName.TEST_HOOK, 1, NOW, test_hook_payload(), SECRETS),
    )
    reason = "The receiver answered 410 Gone: this webhook no longer exists."
    body["channel.paused"] = Case(
        pause_notice(channel_id=5, channel="Team", title="WebHook", reason=reason, now=NOW),
        Envelope(
            DELIVERY,
            EventName.CHANNEL_PAUSED,
            1,
            NOW,
            channel_paused_payload(organization_id=1, channel_id=5, name="Team", reason=reason),
            SECRETS,
        ),
    )
    return body


def render(kind: ChannelKind, case: Case, url: str = URL) -> Message:
    """The request of ``kind`` for one case."""
    return channel_type(kind).render(stored_settings(kind, {"url": url}), case.notice, case.envelope)


def post(message: Message) -> Reply:
    """Sends a request as it stands, to loopback; what came back."""
    parts = urlsplit(message.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request(message.method, f"{parts.path}?{parts.query}", message.body, dict(message.headers))
        answer = connection.getresponse()
        return Reply(answer.status, tuple(answer.getheaders()), answer.read(), truncated=False, duration=1)
    finally:
        connection.close()


@contextmanager
def _webhook() -> Iterator[str]:
    with ScriptedReceiver() as fake:
        yield f"{fake.url}hook"


@contextmanager
def _slack() -> Iterator[str]:
    with FakeSlack(per_second=1000, burst=1000) as fake:
        yield fake.webhook_url


@contextmanager
def _hipchat() -> Iterator[str]:
    with FakeHipChat(per_minute=100_000) as fake:
        yield fake.notification_url


FAKES: dict[ChannelKind, Callable[[], AbstractContextManager[str]]] = {
    ChannelKind("webhook"): _webhook,
    ChannelKind("slack"): _slack,
    ChannelKind("hipchat"): _hipchat,
}
"""A server of each kind that enforces what its provider documents; gives the URL to paste."""
