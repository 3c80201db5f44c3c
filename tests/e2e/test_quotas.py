"""Quotas that the operator has set, as REST, the command line and k6 meet them."""

from pathlib import Path

from tests.support.commands import loadbell
from tests.support.server import Client, Server, set_up

ENVIRONMENT = {"LOADBELL_MAX_CHANNELS": "1", "LOADBELL_MAX_RUN_REPORTS_PER_MINUTE": "3"}


def test_the_operators_quotas_hold(tmp_path: Path) -> None:
    """Over a count it is 409 with the setting's name; too many reports are 429 with Retry-After, heartbeats are not."""
    made = set_up(tmp_path)
    new = {"kind": "webhook", "name": "r", "settings": {"url": "https://example.org/hook"}}
    words = ("channels", "add", "--kind", "webhook", "--name", "n", "--set", "url=https://example.org/hook")
    with Server(tmp_path, ENVIRONMENT) as server:
        client = Client(server.url, made["token"])
        at = f"/organizations/{made['organization_id']}/channels"
        kept, refused = client.call("POST", at, new), client.call("POST", at, new)
        told = loadbell(*words, LOADBELL_URL=server.url, LOADBELL_TOKEN=made["token"])
        run = client.ok("POST", "/runs", {"name": "r"})
        reports = [client.call("PATCH", f"/runs/{run['id']}", {"note": "n"}) for _ in range(3)]
        alive = client.call("POST", f"/runs/{run['id']}/heartbeat", {})
        other = client.ok("POST", "/tokens", {"name": "another", "scope": "manage"})["token"]
        end = Client(server.url, other).call("PATCH", f"/runs/{run['id']}", {"status": 3})

    assert (201, 409) == (kept.status, refused.status)
    for part in ("quota of channels (1)", "LOADBELL_MAX_CHANNELS", "operator"):
        assert part in refused.json["detail"]
        assert part in told.stderr
    assert 1 == told.returncode
    assert [200, 200, 429] == [report.status for report in reports]
    assert "rate_limited" == reports[-1].json["code"]
    assert 1 <= int(reports[-1].headers["retry-after"]) <= 20
    assert (200, 200) == (alive.status, end.status), "heartbeats and other tokens go on"
