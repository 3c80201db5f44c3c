"""A provider's rate is kept from outside: a burst of news reaches Slack complete, and hardly anything is refused."""

from functools import partial
from pathlib import Path

import pytest

from loadbell.testing import FakeSlack, ScriptedReceiver
from tests.support.server import Client, Server, set_up, wait_until


def _add(client: Client, organization_id: int, kind: str, url: str) -> int:
    channel = client.ok(
        "POST",
        f"/organizations/{organization_id}/channels",
        {"kind": kind, "name": kind, "settings": {"url": url}, "subscription": {"events": ["test.started"]}},
    )
    number: int = channel["id"]
    return number


def _burst(data_dir: Path, slack: FakeSlack, count: int, patience: float) -> None:
    """Reports ``count`` runs at once and waits until Slack has them all, then checks what was promised."""
    body = set_up(data_dir)
    with Server(data_dir) as server, ScriptedReceiver() as neighbour:
        client = Client(server.url, body["token"])
        channel = _add(client, body["organization_id"], "slack", slack.webhook_url)
        _add(client, body["organization_id"], "webhook", neighbour.url)
        runs = [client.ok("POST", "/runs", {"name": f"burst {number}"})["id"] for number in range(count)]
        neighbour.wait_for(count, 30)
        told_meanwhile = len(slack.posted)
        wait_until(lambda: len(slack.posted) >= count, patience)

        assert len(slack.posted) == count
        assert told_meanwhile < count, "the other channel had everything long before Slack did"
        assert len(slack.refused) <= count * 0.05, slack.refused
        attempts: dict[str, int] = {}
        for request in slack.requests:
            key = request.header("X-LoadImpact-ID") or ""
            attempts[key] = attempts.get(key, 0) + 1
        assert len(attempts) == count
        assert max(attempts.values()) <= 2, "nothing was refused twice"
        for run in (runs[0], runs[-1]):  # Slack has the message a moment before the log says so
            wait_until(partial(_is_delivered, client, run, channel))


def _is_delivered(client: Client, run: int, channel: int) -> bool:
    deliveries = client.ok("GET", f"/runs/{run}/deliveries")["items"]
    return [delivery["status"] for delivery in deliveries if delivery["channel_id"] == channel] == ["delivered"]


def test_sixty_at_once_reach_a_slack_that_takes_five_a_second(tmp_path: Path) -> None:
    """All 60 arrive, at most 5 % were refused, none twice, and another channel did not wait for them."""
    with FakeSlack(per_second=5, burst=5) as slack:
        _burst(tmp_path, slack, 60, patience=120)


@pytest.mark.soak
def test_five_hundred_reach_a_slack_that_takes_one_a_second(tmp_path: Path) -> None:
    """The same for 500 at the rate that Slack documents, for more than eight minutes."""
    with FakeSlack(per_second=1, burst=5) as slack:
        _burst(tmp_path, slack, 500, patience=900)
