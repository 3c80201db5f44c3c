"""A server with a team's week in it: for pictures, and for the looks of every page. All of it came in by the API."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadbell.testing import FakeHipChat, FakeSlack, ScriptedReceiver, respond
from tests.support.k6_pushes import push
from tests.support.mail import Postbox, postbox
from tests.support.server import Client, Server, run_loadbell, server_environment, wait_until

PASSWORD = "correct horse battery"
OWNER, ADMIN, MEMBER = "mara.lind@example.org", "noor.haddad@example.org", "tomasz.w@example.org"
_LONG = (
    "Checkout flow, Black Friday rehearsal with three regions and a warm cache (eu-central-1, us-east-1, ap-south-1)"
)


@dataclass
class Sample:
    """A server, and what is to be seen there, by names that an address may use: ``/runs/{failed_run}``."""

    url: str
    places: dict[str, Any] = field(default_factory=dict)


@contextmanager
def sample_server(folder: Path) -> Iterator[Sample]:
    """The server, filled, until the block is left."""
    setup = run_loadbell(
        "setup", "--organization", "Nordwind Tickets", "--email", OWNER, "--password-stdin", "--json",
        environment=server_environment(folder), stdin=PASSWORD + "\n",
    )  # fmt: skip
    assert setup.returncode == 0, setup.stderr
    with ExitStack() as stack:
        box = stack.enter_context(postbox())
        set_by_operator = {
            "LOADBELL_SMTP_URL": f"smtp://127.0.0.1:{box.settings.port}?starttls=never",
            "LOADBELL_SMTP_FROM": "bell@example.org",
            "LOADBELL_WATCHDOG": "7d",  # runs that are under way stay so, however long looking at them takes
        }
        server = stack.enter_context(Server(folder, set_by_operator))
        slack = stack.enter_context(FakeSlack(per_second=1000, burst=1000))
        hipchat = stack.enter_context(FakeHipChat(per_minute=100_000))
        receivers = {status: stack.enter_context(_receiver(status)) for status in (200, 410, 503)}
        sample = Sample(server.url)
        hooks = {code: scripted_receiver.url for code, scripted_receiver in receivers.items()}
        _fill(sample, json.loads(setup.stdout), slack.webhook_url, hipchat.notification_url, hooks)
        sample.places["reset"] = _reset_link(sample.url, box)
        yield sample


@contextmanager
def empty_server(folder: Path) -> Iterator[Sample]:
    """A server that nobody has set up."""
    with Server(folder) as server:
        yield Sample(server.url)


def _receiver(status: int) -> ScriptedReceiver:
    body = {200: b"thanks", 410: b"this hook was removed", 503: b"<h1>Service Unavailable</h1> maintenance until 14:00"}
    return ScriptedReceiver(lambda _: respond(status, {"Content-Type": "text/plain"}, body[status]))


def _reset_link(url: str, box: Postbox) -> str:
    Client(url).ok("POST", "/password-resets", {"email": ADMIN})
    while not (link := re.search(r"lbr_[\w-]+", box.arrived.get(timeout=30).text)):
        pass  # the invitations were mailed, too
    return link[0]


def _fill(sample: Sample, made: dict[str, Any], slack: str, hipchat: str, hooks: dict[int, str]) -> None:
    body = {"email": OWNER, "password": PASSWORD}
    session = Client(sample.url, Client(sample.url).ok("POST", "/sessions", body)["session"])
    session.ok("PATCH", "/account", {"name": "Mara Lind"})
    owner = Client(sample.url, made["token"])
    ours = int(made["organization_id"])
    sample.places["organization"] = ours
    projects = _people(sample, owner, ours)
    channels = _channels(owner, ours, {"slack": slack, "hipchat": hipchat}, hooks, projects[0])
    sample.places.update(channels)
    _runs(sample, owner, projects)
    _deliveries(sample, owner, ours, channels)
    quiet = session.ok("POST", "/account/organizations", {"name": "Südwind Lab"})
    sample.places["empty_organization"] = quiet["id"]


def _people(sample: Sample, owner: Client, ours: int) -> list[int]:
    projects = [
        owner.ok("POST", f"/organizations/{ours}/projects", {"name": name})["id"]
        for name in ("Ticket shop", "Seat maps", "Old shop")
    ]
    owner.ok("PATCH", f"/projects/{projects[2]}", {"archived": True})
    for email, name, role, seen in (
        (ADMIN, "Noor Haddad", "admin", []),
        (MEMBER, "Tomasz Wiśniewski-Abercrombie", "member", projects[:1]),
    ):
        link = owner.ok(
            "POST", f"/organizations/{ours}/invitations", {"email": email, "role": role, "project_ids": seen}
        )
        Client(sample.url).ok(
            "POST", "/invitations/accept", {"token": link["token"], "name": name, "password": PASSWORD}
        )
    body = {"email": "jo.invited@example.org", "role": "member", "project_ids": projects[:1]}
    sample.places["invitation"] = owner.ok("POST", f"/organizations/{ours}/invitations", body)["token"]
    people = owner.ok("GET", f"/organizations/{ours}/members")["items"]
    sample.places["member"] = next(one["user_id"] for one in people if one["email"] == MEMBER)
    sample.places["project"] = projects[0]
    for name, scope in (("nightly pipeline", "report"), ("dashboard", "read")):
        owner.ok("POST", "/tokens", {"name": name, "scope": scope})
    return projects


def _channels(owner: Client, ours: int, chats: dict[str, str], hooks: dict[int, str], project: int) -> dict[str, int]:
    def add(kind: str, name: str, url: str, **more: Any) -> int:
        settings = {"url": url, **more.pop("settings", {})}
        said = {"kind": kind, "name": name, "settings": settings, **more}
        made: dict[str, Any] = owner.ok("POST", f"/organizations/{ours}/channels", said)
        return int(made["id"])

    return {
        "slack": add("slack", "#load-tests", chats["slack"]),
        "hipchat": add("hipchat", "Operations room", chats["hipchat"], subscription={"statuses": [4, 8, 9, 11, 12]}),
        "webhook": add("webhook", "Status board", f"{hooks[200]}hook?key=s3", settings={"headers": {"X-Team": "perf"}}),
        "retrying": add("webhook", "On-call pager behind a proxy with a rather long name", f"{hooks[503]}page"),
        "paused": add("webhook", "Retired dashboard", f"{hooks[410]}old", subscription={"projects": [project]}),
        "off": add("slack", "#random", chats["slack"], enabled=False),
    }


def _runs(sample: Sample, owner: Client, projects: list[int]) -> None:
    def begin(name: str, **more: Any) -> int:
        run: dict[str, Any] = owner.ok("POST", "/runs", {"name": name, **more})
        return int(run["id"])

    proof = [
        {"expression": "http_req_duration: p(95)<400", "ok": True, "value": 312.4},
        {"expression": "http_req_failed: rate<0.01", "ok": True, "value": 0.0021},
    ]
    broken = [{"expression": "http_req_duration{region:eu-central-1}: p(99.9)<1500", "ok": False, "value": 2210.0}]
    metrics = {"http_reqs": 184_213, "http_req_duration_p95": 312.4, "error_rate": 0.0021, "vus_max": 400}
    links = [{"title": "Dashboard", "url": "https://graphs.example.org/d/checkout?from=now-1h"}]
    board: dict[str, Any] = {"project_id": projects[0], "links": links, "source": "k6", "trigger": "ci"}
    for status, result in ((3, "passed"), (3, None), (4, None), (8, None), (9, None), (11, None)):
        run = begin(f"Seat map smoke, take {status}", project_id=projects[1], trigger="scheduled")
        owner.ok("PATCH", f"/runs/{run}", {"status": status, **({"result": result} if result else {})})
    stopped = begin("Login spike", source="locust", project_id=projects[0])
    owner.ok("POST", f"/runs/{stopped}/abort")
    passed = begin("Checkout flow", **board)
    body = {"status": 3, "result": "passed", "metrics": metrics, "thresholds": proof, "note": "Baseline for 2.14."}
    owner.ok("PATCH", f"/runs/{passed}", body)
    failed = begin(_LONG, **board)
    body = {"status": 12, "result": "failed", "metrics": metrics, "thresholds": [*broken, *proof], "note": "exit 99"}
    owner.ok("PATCH", f"/runs/{failed}", body)
    for status in (-1, 0, 1):
        begin(f"Queue of the night, part {status + 2}", status=status, project_id=projects[0], trigger="scheduled")
    going = begin("Soak over the weekend", **board)
    owner.ok("POST", f"/runs/{going}/heartbeat", {"metrics": metrics})
    sample.places["k6_run_before"], sample.places["k6_run"] = _k6(owner, projects[0])
    sample.places.update(passed_run=passed, failed_run=failed, running_run=going, aborted_run=stopped)


def _k6(owner: Client, project: int) -> tuple[int, int]:
    """Runs of k6: one that has ended well, and one that has been under way for ten minutes and goes worse."""
    made = []
    thresholds = {"http_req_duration": ["p(95)<600"], "http_req_failed": ["rate<0.01"], "checks": ["rate>0.98"]}
    body = {"name": "Checkout ramp", "project_id": project, "thresholds": thresholds}
    headers = {"User-Agent": "k6cloud/2.2.0"}
    for slower in (1.0, 1.3):
        run = int(owner.ok("POST", "//v1/tests", body, headers=headers)["reference_id"])
        made.append(run)
        now = int(time.time()) // 3 * 3
        for step in range(60):
            load = min(step * 8, 200, (62 - step) * 20)
            times = [slower * (120 + load + 17 * (number % 9) + 3 * step) for number in range(load // 4 + 5)]
            data = push(
                now - 600 + step * 10, vus=load, times=times, failed=int(step > 40),
                checks={"basket is there": (len(times) - (step % 7 == 0), len(times))}, period=10,
            )  # fmt: skip
            owner.ok("POST", f"//v2/metrics/{run}", data)
        if slower == 1.0:
            verdicts = {key: dict.fromkeys(of, False) for key, of in thresholds.items()}
            owner.ok("POST", f"//v1/tests/{run}", {"run_status": 3, "result_status": 0, "thresholds": verdicts})
    return made[0], made[1]


def _deliveries(sample: Sample, owner: Client, ours: int, channels: dict[str, int]) -> None:
    def newest(channel: str, **wanted: Any) -> str | None:
        items = owner.ok("GET", f"/channels/{channels[channel]}/deliveries?limit=200")["items"]
        found = (str(one["id"]) for one in items if all(one[name] == value for name, value in wanted.items()))
        return next(found, None)

    def there() -> bool:
        found = {
            "delivered_delivery": newest("webhook", status="delivered"),
            "retrying_delivery": newest("retrying", status="pending", reason="http_5xx"),
            "failed_delivery": newest("paused", status="failed"),
            "slack_delivery": newest("slack", status="delivered", event="test.finished"),
        }
        sample.places.update(found)
        return None not in found.values()

    wait_until(there, timeout=30)
    for name in ("slack", "webhook", "retrying"):
        owner.ok("POST", f"/channels/{channels[name]}/test")
    owner.ok("POST", f"/channels/{channels['webhook']}/pause")
    owner.ok("POST", f"/channels/{channels['webhook']}/resume", {"held": "deliver"})
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
    said = {"since": since, "statuses": ["delivered"]}
    sample.places["replay"] = owner.ok("POST", f"/channels/{channels['webhook']}/replay", said)["id"]
