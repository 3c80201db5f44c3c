"""The requests behind the lines of ``matrix.py``, and the organization that each cell gets for itself."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any
from urllib.parse import urlencode

import argon2

from loadbell.accounts.credentials import Prefix, hash_credential, make_credential
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Role, Scope
from loadbell.domain.runs import Trigger
from loadbell.store.engine.db import Transaction
from loadbell.store.organizations import (
    assign_project,
    insert_member,
    insert_organization,
    insert_project,
    set_default_project,
)
from loadbell.store.sessions import insert_session
from loadbell.store.users import insert_user
from tests.api.matrix import Line
from tests.api.site import ApiSite, clock
from tests.support.server import Answer, Client
from tests.support.tokens import given_token

PASSWORD = "correct horse battery"
"""Everybody's."""

CLOSED = "http://127.0.0.1:9/"
"""Where nobody listens: what is sent there fails at once."""

SINCE = "2020-01-01T00:00:00Z"
_HOUR = 3_600 * SECOND


@cache
def _password_hash() -> str:
    return argon2.PasswordHasher().hash(PASSWORD)


@dataclass
class Company:
    """An organization with somebody of each kind, and a neighbour. Its things are made when they are asked for."""

    site: ApiSite
    name: str  #: in all its addresses
    id: int
    project_id: int  #: the default project, to which ``mem`` is assigned
    elsewhere_id: int  #: to which ``els`` is
    users: dict[str, int]  #: by column; for those who have no account, the owner
    bearers: dict[str, str | None]  #: by column
    sessions: dict[str, int]  #: the sessions' ids, by column
    reset: str  #: the token of a link by which ``mem`` sets a password
    _things: dict[str, Any] = field(default_factory=dict)

    def client(self, column: str) -> Client:
        """Somebody's requests."""
        return Client(self.site.url, self.bearers[column])

    def email(self, column: str) -> str:
        """Somebody's address."""
        return f"{column}@{self.name}"

    @cached_property
    def owner(self) -> Client:
        """The owner's requests."""
        return self.client("own")

    def get_path(self, name: str) -> Any:
        """The id of one of its things, by its name in paths: the same one each time."""
        if name not in self._things:
            self._things[name] = _THINGS[name](self)
        return self._things[name]


def find_request(site: ApiSite) -> Company:
    """A new one, its own in everything."""
    name = f"{os.urandom(6).hex()}.example.org"
    now = clock()
    bearers: dict[str, str | None] = {"nob": None, "wro": make_credential(Prefix.TOKEN, os.urandom)}
    users: dict[str, int] = {}
    sessions: dict[str, int] = {}
    reset = make_credential(Prefix.RESET, os.urandom)

    async def organization(tx: Transaction, owner: str) -> tuple[int, int]:
        users[owner] = await insert_user(tx, email=f"{owner}@{name}", name=owner, password_hash=_password_hash())
        organization_id = await insert_organization(tx, name)
        await insert_member(tx, organization_id, users[owner], Role.OWNER)
        project_id = await insert_project(tx, organization_id, "Default")
        await set_default_project(tx, organization_id, project_id)
        return organization_id, project_id

    async def person(tx: Transaction, column: str, organization_id: int, role: Role, *projects: int) -> None:
        users[column] = await insert_user(tx, email=f"{column}@{name}", name=column, password_hash=_password_hash())
        await insert_member(tx, organization_id, users[column], role)
        for project in projects:
            await assign_project(tx, project, users[column])

    async def token(  # noqa: PLR0913 - one argument for each property
        tx: Transaction,
        column: str,
        organization_id: int,
        scope: Scope,
        *,
        expires_at: int | None = None,
        project_id: int | None = None,
    ) -> None:
        bearers[column] = await given_token(
            tx,
            organization_id=organization_id,
            user_id=users.get(column, users["own"]),
            name=column,
            scope=scope,
            trigger=Trigger.UNKNOWN,
            expires_at=expires_at,
            project_id=project_id,
        )

    async def session(tx: Transaction, column: str, user: str) -> None:
        bearers[column] = bearer = make_credential(Prefix.SESSION, os.urandom)
        sessions[column] = await insert_session(
            tx,
            user_id=users[user],
            session_hash=hash_credential(bearer),
            address="127.0.0.1",
            agent="a browser",
            expires_at=now + _HOUR,
        )

    async def work(tx: Transaction) -> Company:
        organization_id, project_id = await organization(tx, "own")
        elsewhere_id = await insert_project(tx, organization_id, "Elsewhere")
        their_id, _ = await organization(tx, "oth")
        await person(tx, "mem", organization_id, Role.MEMBER, project_id)
        await person(tx, "els", organization_id, Role.MEMBER, elsewhere_id)
        await person(tx, "adm", organization_id, Role.ADMIN)
        await person(tx, "one", organization_id, Role.MEMBER, project_id)  # to whom things are done
        await token(tx, "exp", organization_id, Scope.MANAGE, expires_at=now - 1)
        await token(tx, "rep", organization_id, Scope.REPORT)
        await token(tx, "rea", organization_id, Scope.READ)
        await token(tx, "pro", organization_id, Scope.MANAGE, project_id=project_id)
        for column in ("own", "mem", "els", "adm"):
            await token(tx, column, organization_id, Scope.MANAGE)
        await token(tx, "oth", their_id, Scope.MANAGE)
        for column, user in (("ses", "own"), ("mes", "mem"), ("str", "oth")):
            await session(tx, column, user)
        everybody = {**dict.fromkeys(("nob", "wro", "exp", "rep", "rea", "pro", "ses"), users["own"]), **users}
        everybody |= {"mes": users["mem"], "str": users["oth"]}
        return Company(site, name, organization_id, project_id, elsewhere_id, everybody, bearers, sessions, reset)

    company = site.do(work)
    site.sql(
        "INSERT INTO password_resets (hash, user_id, created_at, expires_at) VALUES (:hash, :user_id, :now, :until)",
        hash=hash_credential(reset),
        user_id=users["mem"],
        now=now,
        until=now + _HOUR,
    )
    return company


def _channel(company: Company) -> int:
    body = {"kind": "webhook", "name": "n", "settings": {"url": CLOSED}}
    return int(company.owner.ok("POST", f"/organizations/{company.id}/channels", body)["id"])


def _delivery(company: Company) -> str:
    """Held by a paused channel of its own, so that it stays pending."""
    holding = company.get_path("holding channel")
    company.owner.ok("POST", f"/channels/{holding}/pause", {})
    run = company.owner.ok("POST", "/runs", {"name": "n"})
    told = company.owner.ok("GET", f"/runs/{run['id']}/deliveries")["items"]
    return next(str(delivery["id"]) for delivery in told if delivery["channel_id"] == holding)


def _invitation(company: Company) -> dict[str, Any]:
    invited = {"email": f"new@{company.name}", "role": "member", "project_ids": [company.project_id]}
    body: dict[str, Any] = company.owner.ok("POST", f"/organizations/{company.id}/invitations", invited)
    return body


_THINGS: dict[str, Callable[[Company], Any]] = {
    "organization_id": lambda company: company.id,
    "run_id": lambda company: company.owner.ok("POST", "/runs", {"name": "n", "source": "k6"})["id"],
    "channel_id": _channel,
    "replay_id": lambda company: company.owner.ok(
        "POST", f"/channels/{company.get_path('channel_id')}/replay", {"since": SINCE, "statuses": ["failed"]}
    )["id"],
    "holding channel": _channel,
    "delivery_id": _delivery,
    "user_id": lambda company: company.users["one"],
    "invitation": _invitation,
    "invitation_id": lambda company: company.get_path("invitation")["id"],
    "project_id": lambda company: company.owner.ok("POST", f"/organizations/{company.id}/projects", {"name": "n"})[
        "id"
    ],
    "token_id": lambda company: company.owner.ok("POST", "/tokens", {"name": "n", "scope": "read"})["id"],
    "session_id": lambda company: company.sessions["ses"],
    "POST /deliveries/{delivery_id}/redeliver": lambda company: (
        company.owner.ok("POST", f"/deliveries/{company.get_path('delivery_id')}/cancel", {}),
        company.owner.ok("POST", f"/channels/{company.get_path('holding channel')}/resume", {"held": "drop"}),
    ),
}
"""How to make a thing of a company, by the name of its id; and what must be done before a line can succeed."""

BODIES: dict[str, Callable[[Company], dict[str, Any]]] = {
    "POST /runs": lambda company: {"name": "n", "project_id": company.project_id},
    "PATCH /runs/{run_id}": lambda _: {"note": "seen"},
    "POST /organizations/{organization_id}/channels": lambda _: {
        "kind": "webhook",
        "name": "n",
        "settings": {"url": CLOSED},
        "subscription": {"events": ["test.finished"]},
    },
    "POST /organizations/{organization_id}/channels/test": lambda _: {"kind": "webhook", "settings": {"url": CLOSED}},
    "PATCH /channels/{channel_id}": lambda _: {"name": "m"},
    "POST /channels/{channel_id}/resume": lambda _: {"held": "drop"},
    "POST /channels/{channel_id}/replay": lambda _: {"since": SINCE, "statuses": ["failed"]},
    "POST /organizations": lambda company: {"name": company.name},
    "POST /account/organizations": lambda company: {"name": company.name},
    "PATCH /organizations/{organization_id}": lambda _: {"name": "m"},
    "PATCH /organizations/{organization_id}/members/{user_id}": lambda company: {
        "role": "member",
        "project_ids": [company.elsewhere_id],
    },
    "PATCH /organizations/{organization_id}/members/{user_id} to owner": lambda _: {"role": "owner"},
    "PATCH /organizations/{organization_id}/members/{user_id} the owner": lambda _: {"role": "member"},
    "POST /organizations/{organization_id}/invitations": lambda company: {
        "email": f"new@{company.name}",
        "role": "member",
        "project_ids": [company.project_id],
    },
    "POST /invitations/accept": lambda company: {
        "token": company.get_path("invitation")["token"],
        "name": "new",
        "password": PASSWORD,
    },
    "POST /organizations/{organization_id}/projects": lambda _: {"name": "n"},
    "PATCH /projects/{project_id}": lambda _: {"name": "m", "archived": True},
    "POST /tokens": lambda _: {"name": "n", "scope": "read"},
    "POST /tokens for it": lambda company: {"name": "n", "scope": "report", "project_id": company.project_id},
    "POST /sessions": lambda company: {"email": company.email("own"), "password": PASSWORD},
    "POST /password-resets": lambda company: {"email": company.email("own")},
    "POST /password-resets/accept": lambda company: {"token": company.reset, "password": "another " + PASSWORD},
    "PATCH /account": lambda _: {"name": "m"},
    "POST /account/password": lambda _: {"current_password": PASSWORD, "new_password": "another " + PASSWORD},
    "POST /account/tokens": lambda company: {
        "organization_id": company.id,
        "name": "n",
        "scope": "manage",
        "project_id": company.project_id,
    },
}
"""A good body for each line that sends one; a POST that is not here sends an empty one."""

_QUERIES: dict[str, Callable[[Company], dict[str, Any]]] = {
    "GET /runs of it": lambda company: {"project_id": company.project_id},
    "DELETE /organizations/{organization_id} dry run": lambda _: {"dry_run": "true"},
    "DELETE /projects/{project_id} dry run": lambda _: {"dry_run": "true"},
}


@dataclass(frozen=True)
class Parts:
    """What a request is made of."""

    ids: dict[str, Any]
    query: dict[str, Any]
    body: dict[str, Any] | None  #: None: none is sent


def parts(line: Line, company: Company, column: str) -> Parts:
    """A good request of the one in ``column``; what it needs is there."""
    if line.name in _THINGS:
        company.get_path(line.name)
    whom = {"oneself": company.users[column], "the owner": company.users["own"]}.get(line.note)
    ids = {name: company.get_path(name) if whom is None or name != "user_id" else whom for name in line.ids}
    query = _QUERIES[line.name](company) if line.name in _QUERIES else {}
    body = BODIES[line.name](company) if line.name in BODIES else {} if line.method == "POST" else None
    return Parts(ids, query, body)


def send(line: Line, company: Company, column: str, **others: Any) -> Answer:
    """What the one in ``column`` is answered; ``others`` are ids in place of those of ``company``."""
    good = parts(line, company, column)
    query = f"?{urlencode(good.query)}" if good.query else ""
    path = line.path.format(**{**good.ids, **others})
    return company.client(column).call(line.method, path + query, good.body)
