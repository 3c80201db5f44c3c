"""The Test Hook of every kind, over the real API: the person sees what the provider really answered."""

from collections.abc import Iterator
from typing import Any

import pytest

from loadbell.channels import channel_types
from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Reason
from loadbell.testing import ScriptedReceiver, respond
from tests.api.site import ApiSite, served
from tests.channels.conformance import FAKES
from tests.channels.conformance_verdicts import ANSWERS


@pytest.fixture
def site(store_url: str) -> Iterator[ApiSite]:
    """The API with its worker, on each engine."""
    with served(store_url) as site:
        yield site


def pressed(site: ApiSite, kind: ChannelKind, url: str, *, saved: bool) -> dict[str, Any]:
    """The delivery that pressing Test Hook gives: of a new channel, or of a form that isn't saved."""
    channels = f"/organizations/{site.ours.organization_id}/channels"
    form = {"kind": kind, "settings": {"url": url}}
    path = f"{channels}/test"
    if saved:
        path = f"/channels/{site.client.ok('POST', channels, {**form, 'name': 'c'})['id']}/test"
    answer = site.client.call("POST", path, {} if saved else form)
    assert 200 == answer.status, answer.body
    delivery: dict[str, Any] = answer.json
    return delivery


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("kind", channel_types())
def test_a_test_hook_arrives(site: ApiSite, kind: ChannelKind, *, saved: bool) -> None:
    """The kind's own server takes it, and the answer is the delivered delivery, which stands in the log."""
    with FAKES[kind]() as url:
        delivery = pressed(site, kind, url, saved=saved)

    assert ("delivered", "ok", 1) == (delivery["status"], delivery["reason"], delivery["attempt_count"])
    assert delivery["id"] == site.client.ok("GET", f"/deliveries/{delivery['id']}")["id"]


@pytest.mark.parametrize("kind", channel_types())
def test_a_test_hook_tells_the_providers_own_answer(site: ApiSite, kind: ChannelKind) -> None:
    """Each documented answer comes back with its reason, status and body, after one attempt; nothing is paused."""
    with ScriptedReceiver() as receiver:
        for saved, (answer, expected) in ((saved, row) for saved in (True, False) for row in ANSWERS[kind]):
            before = len(receiver.requests)
            receiver.play([respond(answer.status, dict(answer.headers), answer.body.encode())])

            delivery = pressed(site, kind, f"{receiver.url}hook", saved=saved)

            (attempt,) = delivery["attempts"]
            assert expected.reason.value == delivery["reason"] == attempt["reason"], answer
            assert ("delivered" if expected.reason is Reason.OK else "failed") == delivery["status"]
            assert (answer.status, answer.body) == (attempt["status_code"], attempt["response"]["body"])
            assert before + 1 == len(receiver.requests)
            if saved:
                assert site.client.ok("GET", f"/channels/{delivery['channel_id']}")["paused_reason"] is None
