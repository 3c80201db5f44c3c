"""What of a delivery a member sees on the pages, and in the parts that are pushed while the page is open."""

from loadbell.domain.orgs import Role
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.support.server import wait_until
from tests.web.events import open_stream
from tests.web.team import Team


def test_a_member_sees_status_and_reason_only(working_team: Team) -> None:
    """Neither the delivery's page nor its stream nor the run's page shows a member what was sent or answered."""
    team = working_team
    team.assign(Role.MEMBER)
    body = b'{"error": {"code": 404, "type": "x", "message": "No room sentinel-theirs"}}'
    headers = {"Location": "https://sentinel-theirs.example/", "Set-Cookie": "sid=sentinel-theirs"}
    with ScriptedReceiver([respond(404, headers, body)]) as receiver:
        settings = {"url": f"{receiver.url}v2/room/1/notification?auth_token=x"}
        said = {"kind": "hipchat", "name": "Gate", "settings": settings}
        channel = team.client().ok("POST", f"/organizations/{team.organization_id}/channels", said)
        run = team.client().ok("POST", "/runs", {"name": "Checkout"})
        log = f"/channels/{channel['id']}/deliveries"
        wait_until(lambda: [one["status"] for one in team.client().ok("GET", log)["items"]] == ["failed"], timeout=15)
        path = f"/deliveries/{team.client().ok('GET', log)['items'][0]['id']}"

    page, whole = team.member.get(path), team.owner.get(path)
    assert "This webhook no longer exists." in page.words
    assert "Only the owner and admins can see the request and response." in page.words
    assert "sentinel-theirs" in whole.text
    assert "sid=" not in whole.text
    with open_stream(team.member, f"{path}/live") as stream:
        pushed = stream.next()
    assert pushed is not None
    others = [team.member.get(place).text for place in (f"/runs/{run['id']}", f"/channels/{channel['id']}")]
    for text in (page.text, pushed.data, *others):
        assert "sentinel-theirs" not in text
        assert "X-LoadImpact" not in text
        assert "127.0.0.1" not in text
