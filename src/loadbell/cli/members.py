"""``loadbell members``: who belongs to the token's organization, and who is invited."""

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
    """The roles that are given; to make somebody the owner is `transfer`."""

    ADMIN = "admin"
    MEMBER = "member"


ProjectIds = Annotated[
    list[int] | None,
    typer.Option("--project", metavar="ID", help="A project that a member is assigned to. May be repeated.", min=1),
]


def register(app: typer.Typer) -> None:
    """Adds ``members`` with its own commands to the program."""
    group = typer.Typer(help="Who belongs to the organization: invite, change and remove.", no_args_is_help=True)
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
    show_list(items, rows, as_json=as_json, empty="There are no members.")


def invite(
    email: Annotated[str, typer.Argument(help="The e-mail address of the person.")],
    role: Annotated[GivenRole, typer.Option(help="What the person will be.")],
    projects: ProjectIds = None,
    as_json: AsJson = False,
) -> None:
    """Invite somebody, and print the link to join with. It is shown this once, and mailed if the server sends mail."""
    body = {"email": email, "role": role.value, "project_ids": projects or []}
    values = request("POST", f"/organizations/{own_organization()}/invitations", body)
    mailed = "The link is being mailed." if values["mailed"] else "No mail was sent: give the link to the person."
    text = f"{one_line(values['email'])} is invited as {values['role']}. {mailed}"
    show(
        values,
        f"{text}\nLink, shown this once, for one use, expires {format_time(values['expires_at'])}: {values['url']}",
        as_json=as_json,
    )


def invitations(as_json: AsJson = False) -> None:
    """List the invitations that can still be accepted, newest first."""
    items = request_all(f"/organizations/{own_organization()}/invitations")
    rows = [
        (item["id"], item["email"], item["role"], _projects(item), f"expires {format_time(item['expires_at'])}")
        for item in items
    ]
    show_list(items, rows, as_json=as_json, empty="Nobody is invited. Invite with: loadbell members invite")


def revoke(
    invitation_id: Annotated[int, typer.Argument(help="Its id; `loadbell members invitations` shows it.", min=1)],
) -> None:
    """Take an invitation back: its link no longer works."""
    request("DELETE", f"/invitations/{invitation_id}")
    print(f"Invitation {invitation_id} is revoked.")


def change(
    who: UserArgument,
    role: Annotated[GivenRole | None, typer.Option(help="What the member shall be.")] = None,
    projects: ProjectIds = None,
    no_projects: Annotated[bool, typer.Option("--no-projects", help="Assign the member to no project.")] = False,
    as_json: AsJson = False,
) -> None:
    """Change a member's role, or the projects that the member is assigned to: those given are then all of them."""
    if projects and no_projects:
        raise typer.BadParameter("give projects or none, not both", param_hint="--no-projects")
    body: dict[str, Any] = {} if role is None else {"role": role.value}
    if projects or no_projects:
        body["project_ids"] = projects or []
    if not body:
        raise typer.BadParameter("say what to change: --role, --project or --no-projects")
    organization_id = own_organization()
    changed = request("PATCH", _path(organization_id, find_member(organization_id, who)), body)
    text = f"{one_line(changed['email'])} is {changed['role']} now and sees {_projects(changed)}."
    show(changed, text, as_json=as_json)


def transfer(who: UserArgument, yes: Yes = False, as_json: AsJson = False) -> None:
    """Make another member the owner. The owner may, and is an admin then. Asks for the e-mail address before."""
    organization_id = own_organization()
    member = find_member(organization_id, who)
    confirm(member["email"], yes=yes)
    changed = request("PATCH", _path(organization_id, member), {"role": "owner"})
    text = f"{one_line(changed['email'])} is the owner of organization {organization_id} now, and you are an admin."
    show(changed, text, as_json=as_json)


def remove(who: UserArgument, yes: Yes = False) -> None:
    """Remove a member, with all of the person's tokens of this organization. Asks for the e-mail address before."""
    organization_id = own_organization()
    member = find_member(organization_id, who)
    confirm(member["email"], yes=yes)
    request("DELETE", _path(organization_id, member))
    print(f"{one_line(member['email'])} is no longer a member, and has no tokens of this organization any more.")


def leave(yes: Yes = False) -> None:
    """Leave the organization; your tokens of it end. The owner can't. Asks for the organization's name before."""
    organization = request("GET", f"/organizations/{own_organization()}")
    confirm(organization["name"], yes=yes)
    request("DELETE", _path(organization["id"], organization))
    print(f"You have left organization {organization['id']}. The tokens that you had for it no longer work.")


def find_member(organization_id: int, who: str) -> dict[str, Any]:
    """The member with that e-mail address, in any case, or that user id.

    Raises:
        GaveUp: there is none; or as :func:`loadbell.cli.remote.request`.
    """
    for item in _members(organization_id):
        if who.strip().lower() in {item["email"], str(item["user_id"])}:
            return item
    raise CommandError(f"{one_line(who)} is no member of the organization. `loadbell members list` shows who is.")


def _members(organization_id: int) -> list[dict[str, Any]]:
    return request_all(f"/organizations/{organization_id}/members")


def _path(organization_id: int, member: dict[str, Any]) -> str:
    return f"/organizations/{organization_id}/members/{member['user_id']}"


def _projects(one: dict[str, Any]) -> str:
    """What of the organization a member, or who is invited to be one, sees."""
    if one["role"] != GivenRole.MEMBER:
        return "all projects"
    ids = ", ".join(map(str, one["project_ids"]))
    return f"project{'s' if ',' in ids else ''} {ids}" if ids else "no project"
