"""``loadbell serve`` behind a forward proxy: what channels send goes through it, whatever sets it off."""

from pathlib import Path

from loadbell.testing import ScriptedReceiver
from tests.support.forward_proxy import ForwardProxy
from tests.support.server import Client, Server, set_up, wait_until

PASSWORD = "s3ntinel"


def test_everything_that_channels_send_goes_through_the_proxy(tmp_path: Path) -> None:
    """Deliveries, Test Hooks saved or not, and redeliveries; nothing that is logged or told shows its password."""
    body = set_up(tmp_path)
    with (
        ScriptedReceiver() as receiver,
        ForwardProxy(names={"hook.invalid": "127.0.0.1"}, only=f"kim:{PASSWORD}") as proxy,
    ):
        url = f"http://hook.invalid:{receiver.port}/"
        through = {"LOADBELL_OUTBOUND_PROXY": f"http://kim:{PASSWORD}@127.0.0.1:{proxy.port}"}
        with Server(tmp_path, through) as server:
            client = Client(server.url, body["token"])
            channels = f"/organizations/{body['organization_id']}/channels"
            form = {"kind": "webhook", "settings": {"url": url}}
            assert "ok" == client.ok("POST", f"{channels}/test", form)["reason"]
            channel = client.ok("POST", channels, {**form, "name": "Build"})
            assert "ok" == client.ok("POST", f"/channels/{channel['id']}/test", {})["reason"]
            run = client.ok("POST", "/runs", {"name": "checkout", "status": 2})
            wait_until(lambda: 3 == len(receiver.requests))
            (delivery,) = client.ok("GET", f"/runs/{run['id']}/deliveries")["items"]
            wait_until(lambda: "delivered" == client.ok("GET", f"/deliveries/{delivery['id']}")["status"])
            client.ok("POST", f"/deliveries/{delivery['id']}/redeliver", {})
            wait_until(lambda: 4 == len(receiver.requests))
            text = repr(client.ok("GET", f"/deliveries/{delivery['id']}"))

        assert {f"hook.invalid:{receiver.port}"} == set(proxy.targets)
        assert PASSWORD not in text + server.log.read_text()
