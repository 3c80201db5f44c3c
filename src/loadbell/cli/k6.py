"""``loadbell k6-config``: the configuration that makes unmodified k6 report to the server."""

import os
from typing import Annotated

import typer

from loadbell.cli.errors import CommandError, ExitCode
from loadbell.client import k6
from loadbell.client.address import read_address, read_token

_ASKING = "Set it to the server's URL, for example http://127.0.0.1:8025."


def register(app: typer.Typer) -> None:
    """Adds ``k6-config`` to the program."""
    app.command("k6-config")(k6_config)


def k6_config(
    env: Annotated[bool, typer.Option("--env", help="Print only the variables, as shell exports.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print only the section for k6's config.json.")] = False,
) -> None:
    """Print the configuration that makes unmodified k6 report here: three variables, or a section of config.json.

    Reads LOADBELL_URL and LOADBELL_TOKEN; without a token, prints a placeholder. Sends nothing.
    """
    if not os.environ.get("LOADBELL_URL", "").strip():
        raise CommandError(f"LOADBELL_URL is not set. {_ASKING}", ExitCode.USAGE)
    try:
        url = read_address(os.environ["LOADBELL_URL"]).url
        token = read_token(os.environ.get("LOADBELL_TOKEN", "")) or k6.PLACEHOLDER
    except ValueError as error:
        raise CommandError(f"{error}.", ExitCode.USAGE) from None
    if env and as_json:
        raise CommandError("--env and --json print different things. Choose one.", ExitCode.USAGE)
    if env:
        print(k6.exports(url, token))
    elif as_json:
        print(k6.config(url, token))
    else:
        print("# Set these three variables. The second keeps newer k6 commands from sending the token elsewhere:")
        print(k6.exports(url, token))
        print("k6 run --out cloud script.js")
        print("\n# Or put this in a file and run `k6 run --config FILE --out cloud script.js`:")
        print(k6.config(url, token))
