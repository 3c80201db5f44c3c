"""The commands that run on the server: setup, serve, worker, migrate. They read their settings from the environment."""

import json
import os
import sys
from typing import Annotated

import typer

from loadbell.cli.errors import CommandError, ExitCode
from loadbell.cli.local import run_local, server_settings

_New = Annotated[
    bool,
    typer.Option(
        "--new", help="SQLite: start a new installation even though the previous one's database is missing or empty."
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command()(setup)
    app.command()(serve)
    app.command()(worker)
    app.command()(migrate)


def setup(
    organization: Annotated[str, typer.Option(help="The name of the first organization.")],
    email: Annotated[str, typer.Option(help="The owner's e-mail address, for signing in.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the owner's password from stdin, one line.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
    new: _New = False,
) -> None:
    """Create the first owner, organization and default project, and print a token.

    SQLite: creates and migrates the database. PostgreSQL: run `loadbell migrate` first.
    """
    from loadbell.accounts.organizations import (  # noqa: PLC0415 - server modules load only when their command runs
        NewOrganization,
        check_setup,
        set_up,
    )
    from loadbell.accounts.passwords import Passwords, make_password  # noqa: PLC0415 - as above
    from loadbell.domain.errors import Conflict  # noqa: PLC0415 - as above
    from loadbell.store.engine.db import Transaction  # noqa: PLC0415 - as above
    from loadbell.store.engine.open import open_database  # noqa: PLC0415 - as above

    settings = server_settings()
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else make_password(os.urandom)
    check_setup(organization, email, password)

    async def make() -> NewOrganization:
        database = await open_database(settings, new=new)
        try:
            password_hash = await Passwords().hash(password)

            async def work(tx: Transaction) -> NewOrganization:
                return await set_up(tx, organization=organization, email=email, password_hash=password_hash)

            return await database.write(work)
        finally:
            await database.close()

    try:
        made = run_local(make())
    except Conflict as error:
        raise CommandError(str(error), ExitCode.WRONG_STATE) from None
    answer: dict[str, int | str] = {
        "organization_id": made.organization_id,
        "project_id": made.project_id,
        "user_id": made.user_id,
        "token": made.token,
    }
    if not password_stdin:
        answer["password"] = password
    if as_json:
        print(json.dumps(answer))
        return
    print(f"{organization} is set up, owned by {email}.")
    print(f"  organization  {made.organization_id}\n  project       {made.project_id}\n  token         {made.token}")
    if not password_stdin:
        print(f"  password      {password}")
    print("Save the token and password now; they won't be shown again. Next, run: loadbell serve")


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 picks a free one.", min=0, max=65535)] = 8025,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Serve HTTP only; `loadbell worker` sends the notifications elsewhere.")
    ] = False,
    new: _New = False,
) -> None:
    """Run the server: serve HTTP and send notifications, until SIGTERM or Ctrl-C.

    Set up a new server in the browser. If others can reach it (--host), enter the setup code that is printed here.
    """
    from loadbell.app import ListenError, configure_logging  # noqa: PLC0415 - server modules load only here
    from loadbell.app import serve as run_server  # noqa: PLC0415 - as above

    settings = server_settings()
    configure_logging(settings)

    def announce(address: str, code: str | None) -> None:
        print(f"loadbell is listening on {address}", flush=True)
        if code is not None:
            print(f"Setup code for the first start: {code}", flush=True)

    try:
        run_local(run_server(settings, host=host, port=port, with_worker=not no_worker, announce=announce, new=new))
    except ListenError as error:
        raise CommandError(str(error)) from None


def worker() -> None:
    """Send notifications alongside other processes on the same PostgreSQL, until SIGTERM or Ctrl-C."""
    from loadbell.app import configure_logging, work  # noqa: PLC0415 - server modules load only when needed

    settings = server_settings()
    configure_logging(settings)
    run_local(work(settings))


def migrate() -> None:
    """Migrate the database schema to this version. Safe to repeat, also from two machines at once."""
    from loadbell.store.engine.open import migrate as run_migrations  # noqa: PLC0415 - server modules load only here

    settings = server_settings()
    run_local(run_migrations(settings))
    print("The database schema is up to date.")
