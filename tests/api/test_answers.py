"""What every answer has in common: request ids, health, and how failures look from outside."""

import logging
import re
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from loadbell.domain.errors import Unavailable
from loadbell.notify import channels
from loadbell.runs import lifecycle
from tests.api.site import ApiSite
from tests.support.server import wait_until


def test_healthz_tells_that_the_process_serves(still_site: ApiSite) -> None:
    """200 without a token."""
    answer = still_site.nobody.call("GET", "//healthz")

    assert (200, {"status": "ok"}) == (answer.status, answer.json)


def test_readyz_tells_that_the_database_answers(still_site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 while it does, 503 with Retry-After while it does not; healthz stays 200."""
    ready = still_site.nobody.call("GET", "//readyz")

    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("The database does not answer.")

    monkeypatch.setattr(still_site.database, "read", away)
    unready = still_site.nobody.call("GET", "//readyz")

    assert (200, {"status": "ready"}) == (ready.status, ready.json)
    assert (503, "unavailable", "2") == (unready.status, unready.json["code"], unready.headers["retry-after"])
    assert 200 == still_site.nobody.call("GET", "//healthz").status


def test_a_database_that_is_away_is_503(still_site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that can't be saved is refused with 503 and Retry-After, as a problem."""

    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("The database can't be written.")

    monkeypatch.setattr(still_site.database, "write", away)
    answer = still_site.client.call("POST", "/runs", {"name": "n"})

    assert (503, "unavailable", "2") == (answer.status, answer.json["code"], answer.headers["retry-after"])
    assert "application/problem+json" == answer.headers["content-type"]


def test_our_own_failure_is_500_without_a_word_of_it(still_site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is a problem without detail of the failure; the log has it, under the request's id."""

    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the inside of loadbell")

    monkeypatch.setattr(lifecycle, "get_run", broken)
    with capture_logs() as logs:
        answer = still_site.client.call("GET", "/runs/1", headers={"X-Request-ID": "trace-7"})

    assert (500, "internal", []) == (answer.status, answer.json["code"], answer.json["errors"])
    assert b"inside" not in answer.body
    assert "trace-7" == answer.headers["x-request-id"]
    assert ["the inside of loadbell"] == [str(line["exc_info"]) for line in logs if "exc_info" in line]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("trace-1:a.b_c", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("caf\u00e9", False), ("", False)],
)
def test_a_request_id_is_kept_if_it_fits_a_log(still_site: ApiSite, given: str, *, kept: bool) -> None:
    """A caller's X-Request-ID comes back if it is short and plain; else there is one of ours."""
    text = still_site.client.call("GET", "/runs", headers={"X-Request-ID": given}).headers["x-request-id"]

    assert kept == (text == given)
    assert kept or re.fullmatch(r"[0-9a-f]{24}", text)


def test_answers_are_kept_by_nobody_on_the_way(still_site: ApiSite) -> None:
    """What may hold a secret says no-store, and its type is not guessed at."""
    answer = still_site.client.call("POST", "/tokens", {"name": "t", "scope": "read"})

    assert ("no-store", "nosniff") == (answer.headers["cache-control"], answer.headers["x-content-type-options"])


def test_the_access_log_has_no_secret(still_site: ApiSite) -> None:
    """A line for each request at debug has method, path, status and duration; never a header, query or body."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    with capture_logs() as logs:
        still_site.client.call("GET", "/runs?cursor=s3cret", headers={"X-Own": "s3cret"})
        wait_until(lambda: any(line.get("path") == "/api/v1/runs" for line in logs))
    line = next(line for line in logs if line.get("path") == "/api/v1/runs")

    assert ("Request", "debug", "GET", 422) == (line["event"], line["log_level"], line["method"], line["status"])
    assert {"event", "log_level", "method", "path", "status", "duration_ms", "request_id"} >= set(line)
    assert "s3cret" not in str(logs)


def test_a_failure_in_a_write_leaves_nothing(still_site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last step of a transaction fails, its first steps are undone and the answer is 500."""

    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("at the very end")

    monkeypatch.setattr(channels, "append_entry", broken)
    before = still_site.contents()
    body = {"kind": "webhook", "name": "n", "settings": {"url": "https://a.example"}}
    path = f"/organizations/{still_site.ours.organization_id}/channels"
    answer = still_site.client.call("POST", path, body, headers={"Idempotency-Key": "k"})

    assert 500 == answer.status
    assert before == still_site.contents()
