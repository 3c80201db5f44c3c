"""``loadbell projects``: where runs belong within the token's organization."""

from typing import Annotated, Any

import typer

from loadbell.cli.confirm import DryRun, Yes, delete_named
from loadbell.cli.organizations import Name
from loadbell.cli.remote import own_organization, request, request_all
from loadbell.cli.tables import AsJson, format_time, show, show_list
from loadbell.client.api import one_line

ProjectId = Annotated[int, typer.Argument(help="The project's id; `loadbell projects list` shows it.", min=1)]


def register(app: typer.Typer) -> None:
    """Adds ``projects`` with its own commands to the program."""
    group = typer.Typer(help="Where runs belong: list, add, change and delete projects.", no_args_is_help=True)
    group.command("list")(list_projects)
    group.command("default")(make_default)
    for command in (add, rename, archive, restore, delete):
        group.command()(command)
    app.add_typer(group, name="projects")


def list_projects(as_json: AsJson = False) -> None:
    """List the organization's projects, newest first."""
    items = request_all(f"/organizations/{own_organization()}/projects")
    rows = [(item["id"], item["name"], _state(item), f"added {format_time(item['created_at'])}") for item in items]
    show_list(items, rows, as_json=as_json, empty="There are no projects. Add one with: loadbell projects add")


def add(name: Name, as_json: AsJson = False) -> None:
    """Add a project to the organization, and print its id."""
    values = request("POST", f"/organizations/{own_organization()}/projects", {"name": name})
    show(values, f"Project {values['id']} is added.", as_json=as_json)


def rename(project_id: ProjectId, name: Name, as_json: AsJson = False) -> None:
    """Give a project another name."""
    changed = request("PATCH", f"/projects/{project_id}", {"name": name})
    show(changed, f"Project {project_id} is now called {one_line(changed['name'])}.", as_json=as_json)


def archive(project_id: ProjectId, as_json: AsJson = False) -> None:
    """Let a project take no new runs. Those under way may end, and everything stays to be read."""
    changed = request("PATCH", f"/projects/{project_id}", {"archived": True})
    show(changed, f"Project {project_id} is archived: it takes no new runs.", as_json=as_json)


def restore(project_id: ProjectId, as_json: AsJson = False) -> None:
    """Let an archived project take runs again."""
    changed = request("PATCH", f"/projects/{project_id}", {"archived": False})
    show(changed, f"Project {project_id} takes runs.", as_json=as_json)


def make_default(project_id: ProjectId, as_json: AsJson = False) -> None:
    """Let runs that name no project go to this one."""
    changed = request("PATCH", f"/organizations/{own_organization()}", {"default_project_id": project_id})
    show(changed, f"Runs that name no project go to project {project_id}.", as_json=as_json)


def delete(project_id: ProjectId, dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a project with its tests and runs, for ever. Asks for its name before."""
    path = f"/projects/{project_id}"
    delete_named(path, request("GET", path)["name"], f"Project {project_id}", dry_run=dry_run, yes=yes, as_json=as_json)


def _state(project: dict[str, Any]) -> str:
    if project["archived_at"] is not None:
        return f"archived {format_time(project['archived_at'])}"
    return "default" if project["default"] else "open"
