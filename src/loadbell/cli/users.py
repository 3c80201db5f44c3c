"""``loadbell users``: all accounts, for the operator. Runs on the server, even while ``serve`` runs."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from loadbell.cli.local import run_with_database
from loadbell.cli.tables import AsJson, format_time, show, show_list

if TYPE_CHECKING:
    from loadbell.store.engine.db import Database


def register(app: typer.Typer) -> None:
    """Adds ``users`` with its own commands to the program."""
    group = typer.Typer(
        help="Manage user accounts: list them or reset a password. Run on the server.", no_args_is_help=True
    )
    group.command("list")(list_users)
    group.command()(reset_password)
    app.add_typer(group, name="users")


def list_users(as_json: AsJson = False) -> None:
    """List all users who can sign in, sorted by e-mail address."""
    from loadbell.domain.ids import rfc3339  # noqa: PLC0415 - server modules load only when their command runs
    from loadbell.store.users import list_users as stored_users  # noqa: PLC0415 - as above

    found = run_with_database(lambda database: database.read(stored_users))
    users = [
        {"user_id": user.id, "email": user.email, "name": user.name, "created_at": rfc3339(user.created_at)}
        for user in found
    ]
    rows = [(user.id, user.email, user.name, f"since {format_time(rfc3339(user.created_at))}") for user in found]
    show_list(users, rows, as_json=as_json, empty="No users yet. Run: loadbell setup")


def reset_password(
    email: Annotated[str, typer.Argument(help="The user's e-mail address.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the new password from stdin, one line.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Reset a user's password, and print the new one. Signs the user out everywhere; API tokens keep working."""
    from loadbell.accounts.account import reset_password as reset  # noqa: PLC0415 - server modules load only here
    from loadbell.accounts.passwords import Passwords, check_password, make_password  # noqa: PLC0415 - as above

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else make_password(os.urandom)
    check_password(password)

    async def work(database: "Database") -> int | str:
        password_hash = await Passwords().hash(password)
        return await database.write(reset, email, password_hash)

    ended = run_with_database(work)
    answer = {"email": email, "sessions_ended": ended} | ({} if password_stdin else {"password": password})
    items = [f"The password of {email} was reset, and the user was signed out everywhere. API tokens keep working."]
    if not password_stdin:
        items += [f"  password  {password}", "Pass it on now. It won't be shown again."]
    show(answer, "\n".join(items), as_json=as_json)
