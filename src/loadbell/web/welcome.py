"""How load tests report here: commands to copy, with a fresh token in them, and a line that waits for the first run."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.response import Stream

from loadbell.accounts import projects
from loadbell.accounts.tokens import create_token
from loadbell.client import k6
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound, Refused
from loadbell.domain.orgs import Action, Principal, Scope
from loadbell.domain.runs import Run
from loadbell.entry.path_ids import parse_integer_id
from loadbell.notify.channels import list_channels
from loadbell.runs.lifecycle import list_runs
from loadbell.store.unit_of_work import UnitOfWork
from loadbell.web.form import Form
from loadbell.web.page import PageRequest
from loadbell.web.rendering import render_part

_MAX_PROJECTS = 1_000  # projects to choose from; beyond that the API does it
_MAX_NAME_LENGTH = 200


@dataclass(frozen=True)
class IssuedToken:
    """A token, shown this once, and what it opens."""

    token: str
    project: str


@dataclass(frozen=True)
class WelcomeView:
    """How far the organization has come, as far as the person may see it."""

    run: Run | None  #: the newest
    projects: Sequence[tuple[int | str, str]]  #: that a token may be made for, by id; the default one first
    has_channels: bool
    sees_projects: bool  #: so that runs can be reported


@get("/welcome")
async def show_welcome(page: NamedDependency[PageRequest]) -> Response[str]:
    """The ways to report a run to the organization, or where one gets into one."""
    await page.require_account()
    if page.query_param("organization_id"):
        return await _show(page, _id(page.query_param("organization_id")))
    organization = await page.organization()
    if organization is None:
        return page.redirect("/organizations")
    return await _show(page, organization.organization_id)


@post("/welcome/token")
async def make_token(page: NamedDependency[PageRequest]) -> Response[str]:
    """Makes a token that may report runs of one project, and shows it this once, in the commands."""
    await page.require_account()
    form = await page.form()
    organization_id = _id(form.get("organization_id", ""))
    try:
        issued_token = await page.write_in(organization_id, _make_token, form)
    except (Conflict, Invalid) as refusal:
        return await _show(page, organization_id, refusal=refusal)
    return await _show(page, organization_id, issued_token=issued_token)


@get("/welcome/live")
async def stream_welcome(page: NamedDependency[PageRequest]) -> Stream:
    """The line that waits, until the first run is there and whenever a newer one is."""
    return await page.stream("run", _id(page.query_param("organization_id")), _render_first_run)


async def _show(
    page: PageRequest, organization_id: int, *, refusal: Refused | None = None, issued_token: IssuedToken | None = None
) -> Response[str]:
    progress = await page.read_in(organization_id, _welcome_view)
    base_url = page.context.installation.base_url
    return await page.show(
        "welcome",
        refusal=refusal,
        back=f"/welcome?organization_id={organization_id}",
        progress=progress,
        run=progress.run,
        made=issued_token,
        commands=_commands(base_url, issued_token.token if issued_token else k6.PLACEHOLDER),
        base_url=base_url,
    )


async def _make_token(unit: UnitOfWork[Principal], form: Form) -> IssuedToken:
    unit.principal.require(Action.MANAGE_TOKENS)  # before what is wrong with the form
    try:
        project = await projects.get_project(unit, parse_integer_id(form.get("project_id", ""), "project"))
    except NotFound:
        raise Invalid(FieldError("project_id", "this project no longer exists; choose another")) from None
    _, value = await create_token(
        unit,
        name=f"welcome: {project.name}"[:_MAX_NAME_LENGTH],
        scope=Scope.REPORT,
        trigger=None,
        expires_at=None,
        project_id=project.id,
    )
    return IssuedToken(value, project.name)


async def _welcome_view(unit: UnitOfWork[Principal]) -> WelcomeView:
    organization_id = unit.principal.organization_id
    choice: list[tuple[int | str, str]] = []
    if unit.principal.may(Action.MANAGE_TOKENS):
        listed = await projects.list_projects(unit, organization_id, before=None, limit=_MAX_PROJECTS)
        listed.sort(key=lambda project: (not project.is_default, project.name))
        choice = [(project.id, project.name) for project in listed if project.archived_at is None]
    channels = await list_channels(unit, organization_id, before=None, limit=1)
    sees = unit.principal.projects is None or bool(unit.principal.projects)
    return WelcomeView(await _newest_run(unit), choice, bool(channels), sees)


async def _render_first_run(unit: UnitOfWork[Principal]) -> str:
    return render_part(unit, "first_run", run=await _newest_run(unit), base_url=unit.installation.base_url)


async def _newest_run(unit: UnitOfWork[Principal]) -> Run | None:
    runs, _ = await list_runs(unit, limit=1)
    return runs[0] if runs else None


def _commands(base_url: str, token: str) -> dict[str, str]:
    """By way, the commands that report a run; ready to paste into a shell."""
    address = f"export LOADBELL_URL={shlex.quote(base_url)}\nexport LOADBELL_TOKEN={token}\nloadbell wrap -- "
    return {
        "k6": f"{k6.exports(base_url, token)}\nk6 run --out cloud script.js",
        "locust": f"{address}locust --headless -u 10 -t 5m --csv out",
        "wrap": f"{address}jmeter -n -t plan.jmx",
        "rest": (
            f"curl {shlex.quote(f'{base_url}/api/v1/runs')} \\\n"
            f'  -H "Authorization: Bearer {token}" \\\n'
            '  -H "Content-Type: application/json" \\\n'
            """  -d '{"name": "Checkout peak", "status": 3, "result": "passed"}'"""
        ),
    }


def _id(text: str) -> int:
    return parse_integer_id(text, "organization")


HANDLERS: list[Any] = [show_welcome, make_token, stream_welcome]
