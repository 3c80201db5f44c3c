"""Nothing is changed without a trace: each route that changes something, with the entries that it leaves in the log."""

from typing import Any

from loadbell.domain.orgs import Role
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement
from loadbell.store.organizations import insert_member
from loadbell.store.users import insert_user
from loadbell.testing.receiver import ScriptedReceiver
from tests.api.site import ApiSite
from tests.support.server import Client

AUDITED = {
    "POST /organizations": [
        "organization.created",
        "token.created",
        "organization.created",
    ],  # in the new one's log, too
    "PATCH /organizations/{organization_id}": ["organization.changed"],
    "POST /organizations/{organization_id}/projects": ["project.created"],
    "PATCH /projects/{project_id}": ["project.changed"],
    "POST /organizations/{organization_id}/channels": ["channel.created"],
    "PATCH /channels/{channel_id}": ["channel.changed"],
    "POST /channels/{channel_id}/test": ["channel.tested"],
    "POST /organizations/{organization_id}/channels/test": ["channel.tested"],
    "POST /channels/{channel_id}/rotate-secret": ["channel.secret_rotated"],
    "POST /channels/{channel_id}/pause": ["channel.paused"],
    "POST /runs": [],  # what sources report is no change of anybody's settings
    "PATCH /runs/{run_id}": [],
    "POST /runs/{run_id}/heartbeat": [],
    "POST /runs/{run_id}/abort": ["run.aborted"],
    "POST /deliveries/{delivery_id}/cancel": ["delivery.cancelled"],
    "POST /channels/{channel_id}/resume": ["channel.resumed"],
    "POST /deliveries/{delivery_id}/redeliver": ["delivery.redelivered"],
    "POST /channels/{channel_id}/replay": ["channel.replayed"],
    "DELETE /channels/{channel_id}": ["channel.deleted"],
    "POST /tokens": ["token.created"],
    "DELETE /tokens/{token_id}": ["token.revoked"],
    "POST /organizations/{organization_id}/invitations": ["invitation.created"],
    "DELETE /invitations/{invitation_id}": ["invitation.revoked"],
    "PATCH /organizations/{organization_id}/members/{user_id}": ["member.changed"],
    "DELETE /organizations/{organization_id}/members/{user_id}": ["member.removed"],
    "DELETE /projects/{project_id}": ["project.deleted"],
    "DELETE /organizations/{organization_id}": ["organization.deleted"],
}
"""What each route that takes an API token and changes something leaves in the log, in an order in which all can be."""


def _change(site: ApiSite) -> set[str]:
    """Those routes, as the OpenAPI document has them."""
    return {
        f"{method.upper()} {path}"
        for path, methods in site.nobody.ok("GET", "/openapi.json")["paths"].items()
        for method, operation in methods.items()
        if method != "get" and "security" not in operation
    }


def _member(site: ApiSite, organization_id: int) -> int:
    async def join(tx: Transaction) -> int:
        user_id = await insert_user(tx, email="zoe@example.org", name="Zoe", password_hash="-")
        await insert_member(tx, organization_id, user_id, Role.MEMBER)
        return user_id

    return site.do(join)


def _entries(site: ApiSite) -> list[tuple[str, int | None]]:
    async def read(tx: Transaction) -> list[tuple[str, int | None]]:
        rows = await tx.all(Statement("SELECT action, user_id FROM audit_entries ORDER BY id"))
        return [(row["action"], row["user_id"]) for row in rows]

    return site.do(read)


def test_every_change_leaves_an_entry(site: ApiSite, receiver: ScriptedReceiver) -> None:
    """Each leaves just those that stand in the table, under the asker's name; to ask for the same again leaves none."""
    url = receiver.url
    form = {"kind": "webhook", "settings": {"url": url}}
    bodies: dict[str, Any] = {
        "POST /organizations": {"name": "Audited"},
        "PATCH /organizations/{organization_id}": {"name": "Renamed"},
        "POST /organizations/{organization_id}/projects": {"name": "One"},
        "PATCH /projects/{project_id}": {"name": "Two"},
        "POST /organizations/{organization_id}/channels": {**form, "name": "receiver"},
        "PATCH /channels/{channel_id}": {"name": "other", "settings": {"url": f"{url}/other", "headers": {"X": "y"}}},
        "POST /organizations/{organization_id}/channels/test": form,
        "POST /runs": {"name": "n", "watchdog_s": 600},
        "PATCH /runs/{run_id}": {"metrics": {"vus": 1}},
        "POST /channels/{channel_id}/resume": {"held": "drop"},
        "POST /channels/{channel_id}/replay": {"since": "2020-01-01T00:00:00Z", "statuses": ["delivered"]},
        "POST /tokens": {"name": "t", "scope": "read"},
        "POST /organizations/{organization_id}/invitations": {"email": "new@example.org", "role": "member"},
        "PATCH /organizations/{organization_id}/members/{user_id}": {"role": "admin"},
    }
    ids: dict[str, Any] = {}
    client, found = site.client, {}
    for route in AUDITED:
        method, _, template = route.partition(" ")
        body = bodies.get(route, {} if method == "POST" else None)
        path = template.format(**ids)
        before = _entries(site)
        answer = client.call(method, path, body)
        assert answer.status < 300, (route, answer)
        fresh = _entries(site)[len(before) :]
        found[route] = [action for action, _ in fresh]
        assert {site.ours.user_id} >= {user for _, user in fresh}, route
        if method == "PATCH":
            assert client.call(method, path, body).status < 300
            assert len(before) + len(fresh) == len(_entries(site)), f"{route}: nothing was changed"
        made = answer.json if answer.body else {}
        if route == "POST /organizations":
            client = Client(site.url, made["token"])
            ids |= {"organization_id": made["id"], "user_id": _member(site, made["id"])}
        elif route == "POST /runs":
            deliveries = client.ok("GET", f"/runs/{made['id']}/deliveries")["items"]
            ids |= {"run_id": made["id"], "delivery_id": deliveries[0]["id"]}
        else:
            noun = template.rsplit("/", 1)[-1].removesuffix("s")
            if method == "POST" and noun in {"project", "channel", "token", "invitation"}:
                ids[f"{noun}_id"] = made["id"]

    assert AUDITED == found


def test_the_table_is_complete(site: ApiSite) -> None:
    """A new route that changes something has to say what it leaves in the log."""
    assert _change(site) == set(AUDITED)
