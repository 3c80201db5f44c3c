"""``loadbell backup``: copies the SQLite database, even while ``serve`` runs. Runs on the server."""

from pathlib import Path
from typing import Annotated

import typer

from loadbell.cli.errors import CommandError, ExitCode
from loadbell.cli.local import server_settings
from loadbell.cli.tables import AsJson, show


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command()(backup)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the copy. The file must not exist yet.")],
    as_json: AsJson = False,
) -> None:
    """Copy the SQLite database to FILE. Works while `loadbell serve` runs.

    Only you can read FILE (mode 0600). It doesn't contain the secret key: back that up separately.
    """
    from loadbell.store.backup import back_up  # noqa: PLC0415 - server modules load only when their command runs
    from loadbell.store.engine.open import KEY_FILE  # noqa: PLC0415 - as above
    from loadbell.store.engine.problems import Unreachable, WrongState  # noqa: PLC0415 - as above

    settings = server_settings()
    if settings.sqlite_path is None:
        raise CommandError(
            "This command backs up SQLite, but LOADBELL_DATABASE_URL names PostgreSQL. Use pg_dump instead: "
            'pg_dump --format=custom --file=FILE "$LOADBELL_DATABASE_URL"',
            ExitCode.WRONG_STATE,
        )
    try:
        size = back_up(settings.sqlite_path, file)
    except FileExistsError:
        raise CommandError(
            f"{file} already exists; nothing was written. Choose another file or move that one away."
        ) from None
    except OSError as error:
        raise CommandError(
            f"{file} can't be written: {error.strerror}. Check the folder's permissions and free space."
        ) from None
    except Unreachable as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
    except WrongState as error:
        raise CommandError(str(error), ExitCode.WRONG_STATE) from None
    key_file = None if settings.secret_key else str(settings.data_dir / KEY_FILE)
    text = f"The database was backed up to {file} ({size:,} bytes).\n"
    text += f"It doesn't contain the secret key. Back that up separately: {key_file or 'LOADBELL_SECRET_KEY'}"
    show({"file": str(file), "bytes": size, "key_file": key_file}, text, as_json=as_json)
