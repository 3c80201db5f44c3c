"""``loadbell organizations``: the organization that the token is for, and further ones."""

from typing import Annotated

import typer

from loadbell.cli.confirm import DryRun, Yes, delete_named
from loadbell.cli.remote import own_organization, request, request_all
from loadbell.cli.tables import AsJson, format_time, show, show_list
from loadbell.client.api import one_line

Name = Annotated[str, typer.Argument(help="What people call it.")]


def register(app: typer.Typer) -> None:
    """Adds ``organizations`` with its own commands to the program."""
    group = typer.Typer(help="The token's organization: show, rename and delete it, or add one.", no_args_is_help=True)
    group.command("list")(list_organizations)
    group.command("show")(show_organization)
    for command in (add, rename, delete):
        group.command()(command)
    app.add_typer(group, name="organizations")


def list_organizations(as_json: AsJson = False) -> None:
    """List the organizations that the token sees: the one that it is for."""
    items = request_all("/organizations")
    rows = [(item["id"], item["name"], f"since {format_time(item['created_at'])}") for item in items]
    show_list(items, rows, as_json=as_json, empty="The token sees no organization. Ask for another one.")


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
    """Add an organization that the token's user owns, and print a token for it, which is shown this once."""
    values = request("POST", "/organizations", {"name": name})
    text = f"Organization {values['id']} is added, with the default project {values['project_id']}."
    show(values, f"{text}\nToken, shown this once: {values['token']}", as_json=as_json)


def rename(name: Name, as_json: AsJson = False) -> None:
    """Give the token's organization another name."""
    changed = request("PATCH", f"/organizations/{own_organization()}", {"name": name})
    show(changed, f"Organization {changed['id']} is now called {one_line(changed['name'])}.", as_json=as_json)


def delete(dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete the token's organization, so that nobody reaches it again. Its owner may. Asks for its name before."""
    own = own_organization()
    path = f"/organizations/{own}"
    delete_named(path, request("GET", path)["name"], f"Organization {own}", dry_run=dry_run, yes=yes, as_json=as_json)
