"""``loadbell projects``: the projects of the token's organization."""

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
    group = typer.Typer(help="Manage projects, which group runs.", no_args_is_help=True)
    group.command("list")(list_projects)
    group.command("default")(make_default)
    for command in (add, rename, archive, restore, delete):
        group.command()(command)
    app.add_typer(group, name="projects")


def list_projects(as_json: AsJson = False) -> None:
    """List the organization's projects, newest first."""
    items = request_all(f"/organizations/{own_organization()}/projects")
    rows = [(item["id"], item["name"], _state(item), f"added {format_time(item['created_at'])}") for item in items]
    show_list(items, rows, as_json=as_json, empty="No projects yet. Add one with: loadbell projects add")


def add(name: Name, as_json: AsJson = False) -> None:
    """Add a project to the organization, and print its id."""
    values = request("POST", f"/organizations/{own_organization()}/projects", {"name": name})
    show(values, f"Project {values['id']} added.", as_json=as_json)


def rename(project_id: ProjectId, name: Name, as_json: AsJson = False) -> None:
    """Rename a project."""
    changed = request("PATCH", f"/projects/{project_id}", {"name": name})
    show(changed, f"Project {project_id} renamed to {one_line(changed['name'])}.", as_json=as_json)


def archive(project_id: ProjectId, as_json: AsJson = False) -> None:
    """Archive a project: it accepts no new runs. Running tests can finish, and existing runs stay readable."""
    changed = request("PATCH", f"/projects/{project_id}", {"archived": True})
    show(changed, f"Project {project_id} archived. It accepts no new runs.", as_json=as_json)


def restore(project_id: ProjectId, as_json: AsJson = False) -> None:
    """Restore an archived project, so that it accepts runs again."""
    changed = request("PATCH", f"/projects/{project_id}", {"archived": False})
    show(changed, f"Project {project_id} restored. It accepts runs again.", as_json=as_json)


def make_default(project_id: ProjectId, as_json: AsJson = False) -> None:
    """Make this the default project, for runs that don't name one."""
    changed = request("PATCH", f"/organizations/{own_organization()}", {"default_project_id": project_id})
    show(changed, f"Project {project_id} is now the default project.", as_json=as_json)


def delete(project_id: ProjectId, dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a project with its tests and runs. This can't be undone. Prompts for confirmation."""
    path = f"/projects/{project_id}"
    delete_named(path, request("GET", path)["name"], f"Project {project_id}", dry_run=dry_run, yes=yes, as_json=as_json)


def _state(project: dict[str, Any]) -> str:
    if project["archived_at"] is not None:
        return f"archived {format_time(project['archived_at'])}"
    return "default" if project["default"] else "open"
