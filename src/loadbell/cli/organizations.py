"""``loadbell organizations``: the token's organization, and adding others."""

from typing import Annotated

import typer

from loadbell.cli.confirm import DryRun, Yes, delete_named
from loadbell.cli.remote import own_organization, request, request_all
from loadbell.cli.tables import AsJson, format_time, show, show_list
from loadbell.client.api import one_line

Name = Annotated[str, typer.Argument(help="The name to show.")]


def register(app: typer.Typer) -> None:
    """Adds ``organizations`` with its own commands to the program."""
    group = typer.Typer(help="Manage the token's organization, or add another.", no_args_is_help=True)
    group.command("list")(list_organizations)
    group.command("show")(show_organization)
    for command in (add, rename, delete):
        group.command()(command)
    app.add_typer(group, name="organizations")


def list_organizations(as_json: AsJson = False) -> None:
    """List the organizations that the token can see. A token can see only its own."""
    items = request_all("/organizations")
    rows = [(item["id"], item["name"], f"since {format_time(item['created_at'])}") for item in items]
    show_list(items, rows, as_json=as_json, empty="The token can't see an organization. Ask an admin for a new token.")


def show_organization(as_json: AsJson = False) -> None:
    """Show the token's organization: its id, name and default project."""
    item = request("GET", f"/organizations/{own_organization()}")
    lines = {
        "organization": item["id"],
        "name": one_line(item["name"]),
        "default project": item["default_project_id"],
        "added": format_time(item["created_at"]),
    }
    show(item, "\n".join(f"{name:<15}  {value}" for name, value in lines.items()), as_json=as_json)


def add(name: Name, as_json: AsJson = False) -> None:
    """Add an organization owned by the token's user, and print a token for it. The token is shown only once."""
    values = request("POST", "/organizations", {"name": name})
    text = f"Organization {values['id']} added, with default project {values['project_id']}."
    show(values, f"{text}\nToken (shown only once): {values['token']}", as_json=as_json)


def rename(name: Name, as_json: AsJson = False) -> None:
    """Rename the token's organization."""
    changed = request("PATCH", f"/organizations/{own_organization()}", {"name": name})
    show(changed, f"Organization {changed['id']} renamed to {one_line(changed['name'])}.", as_json=as_json)


def delete(dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete the token's organization. This can't be undone. Owner only; prompts for confirmation."""
    own = own_organization()
    path = f"/organizations/{own}"
    delete_named(path, request("GET", path)["name"], f"Organization {own}", dry_run=dry_run, yes=yes, as_json=as_json)
