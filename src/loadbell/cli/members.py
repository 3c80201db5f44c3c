"""``loadbell members``: the members of the token's organization, and its invitations."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from loadbell.cli.confirm import Yes, confirm
from loadbell.cli.errors import CommandError
from loadbell.cli.remote import own_organization, request, request_all
from loadbell.cli.tables import AsJson, format_time, show, show_list
from loadbell.client.api import one_line

UserArgument = Annotated[str, typer.Argument(metavar="EMAIL_OR_ID", help="The member's e-mail address or user id.")]


class GivenRole(StrEnum):
    """The roles that can be assigned; ownership is transferred with `transfer`."""

    ADMIN = "admin"
    MEMBER = "member"


ProjectIds = Annotated[
    list[int] | None,
    typer.Option("--project", metavar="ID", help="A project to assign to the member. Can be repeated.", min=1),
]


def register(app: typer.Typer) -> None:
    """Adds ``members`` with its own commands to the program."""
    group = typer.Typer(help="Manage the organization's members and invitations.", no_args_is_help=True)
    group.command("list")(list_members)
    group.command("set")(change)
    for command in (invite, invitations, revoke, transfer, remove, leave):
        group.command()(command)
    app.add_typer(group, name="members")


def list_members(as_json: AsJson = False) -> None:
    """List the organization's members."""
    items = _members(own_organization())
    rows = [
        (
            item["user_id"],
            item["email"],
            item["name"],
            item["role"],
            _projects(item),
            f"since {format_time(item['created_at'])}",
        )
        for item in items
    ]
    show_list(items, rows, as_json=as_json, empty="No members.")


def invite(
    email: Annotated[str, typer.Argument(help="The person's e-mail address.")],
    role: Annotated[GivenRole, typer.Option(help="The new member's role.")],
    projects: ProjectIds = None,
    as_json: AsJson = False,
) -> None:
    """Invite a person, and print the link. It is shown only once, and e-mailed if the server sends mail."""
    body = {"email": email, "role": role.value, "project_ids": projects or []}
    values = request("POST", f"/organizations/{own_organization()}/invitations", body)
    mailed = "The link is being e-mailed." if values["mailed"] else "No e-mail was sent. Send the link yourself."
    text = f"{one_line(values['email'])} was invited as {values['role']}. {mailed}"
    show(
        values,
        f"{text}\nLink (shown only once, works once, expires {format_time(values['expires_at'])}): {values['url']}",
        as_json=as_json,
    )


def invitations(as_json: AsJson = False) -> None:
    """List the open invitations, newest first."""
    items = request_all(f"/organizations/{own_organization()}/invitations")
    rows = [
        (item["id"], item["email"], item["role"], _projects(item), f"expires {format_time(item['expires_at'])}")
        for item in items
    ]
    show_list(items, rows, as_json=as_json, empty="No open invitations. Invite someone with: loadbell members invite")


def revoke(
    invitation_id: Annotated[
        int, typer.Argument(help="The invitation's id; `loadbell members invitations` shows it.", min=1)
    ],
) -> None:
    """Revoke an invitation. Its link stops working."""
    request("DELETE", f"/invitations/{invitation_id}")
    print(f"Invitation {invitation_id} revoked.")


def change(
    who: UserArgument,
    role: Annotated[GivenRole | None, typer.Option(help="The member's role.")] = None,
    projects: ProjectIds = None,
    no_projects: Annotated[bool, typer.Option("--no-projects", help="Assign the member to no project.")] = False,
    as_json: AsJson = False,
) -> None:
    """Change a member's role or projects. The projects you give replace the current ones."""
    if projects and no_projects:
        raise typer.BadParameter("use either --project or --no-projects", param_hint="--no-projects")
    body: dict[str, Any] = {} if role is None else {"role": role.value}
    if projects or no_projects:
        body["project_ids"] = projects or []
    if not body:
        raise typer.BadParameter("nothing to change; add --role, --project or --no-projects")
    organization_id = own_organization()
    changed = request("PATCH", _path(organization_id, find_member(organization_id, who)), body)
    text = f"{one_line(changed['email'])} now has the role {changed['role']} and can see {_projects(changed)}."
    show(changed, text, as_json=as_json)


def transfer(who: UserArgument, yes: Yes = False, as_json: AsJson = False) -> None:
    """Transfer ownership to another member. Owner only; you become an admin. Prompts for confirmation."""
    organization_id = own_organization()
    member = find_member(organization_id, who)
    confirm(member["email"], yes=yes)
    changed = request("PATCH", _path(organization_id, member), {"role": "owner"})
    text = f"{one_line(changed['email'])} now owns organization {organization_id}. You are now an admin."
    show(changed, text, as_json=as_json)


def remove(who: UserArgument, yes: Yes = False) -> None:
    """Remove a member and revoke the member's tokens for this organization. Prompts for confirmation."""
    organization_id = own_organization()
    member = find_member(organization_id, who)
    confirm(member["email"], yes=yes)
    request("DELETE", _path(organization_id, member))
    print(f"{one_line(member['email'])} was removed, and the member's tokens for this organization were revoked.")


def leave(yes: Yes = False) -> None:
    """Leave the organization; your tokens for it are revoked. The owner can't leave. Prompts for confirmation."""
    organization = request("GET", f"/organizations/{own_organization()}")
    confirm(organization["name"], yes=yes)
    request("DELETE", _path(organization["id"], organization))
    print(f"You left organization {organization['id']}. Your tokens for it no longer work.")


def find_member(organization_id: int, who: str) -> dict[str, Any]:
    """The member with this e-mail address (case-insensitive) or user id.

    Raises:
        CommandError: no such member; or as :func:`loadbell.cli.remote.request`.
    """
    for item in _members(organization_id):
        if who.strip().lower() in {item["email"], str(item["user_id"])}:
            return item
    raise CommandError(
        f"{one_line(who)} isn't a member of the organization. `loadbell members list` shows all members."
    )


def _members(organization_id: int) -> list[dict[str, Any]]:
    return request_all(f"/organizations/{organization_id}/members")


def _path(organization_id: int, member: dict[str, Any]) -> str:
    return f"/organizations/{organization_id}/members/{member['user_id']}"


def _projects(one: dict[str, Any]) -> str:
    """The projects that a member or invitee can see, as text."""
    if one["role"] != GivenRole.MEMBER:
        return "all projects"
    ids = ", ".join(map(str, one["project_ids"]))
    return f"project{'s' if ',' in ids else ''} {ids}" if ids else "no project"
