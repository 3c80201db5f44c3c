"""Access to the server's own settings and database, for the operator's commands."""

import os
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from loadbell.cli.errors import CommandError, ExitCode

if TYPE_CHECKING:
    from loadbell.store.engine.db import Database

T = TypeVar("T")


def server_settings() -> Any:
    """The server's settings from the environment. Warns on stderr about names that look misspelled.

    Raises:
        BadSetting: one is wrong.
    """
    from loadbell.setting_texts import find_misspelled  # noqa: PLC0415 - only when a server command runs
    from loadbell.settings import DEFAULTS, load_settings  # noqa: PLC0415 - as above

    for sentence in find_misspelled(os.environ, DEFAULTS):
        print(f"loadbell: {sentence}", file=sys.stderr)
    return load_settings(os.environ)


def run_local(work: Coroutine[Any, Any, T]) -> T:
    """Runs ``work`` to its end on uvloop.

    Raises:
        CommandError: the database can't be reached or used; the message says why and what to do.
    """
    import uvloop  # noqa: PLC0415 - only when a server command runs

    from loadbell.domain.errors import Unavailable  # noqa: PLC0415 - as above
    from loadbell.store.engine.problems import Unreachable, WrongState  # noqa: PLC0415 - as above

    try:
        result: T = uvloop.run(work)
    except Unreachable as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
    except Unavailable as error:
        raise CommandError(error.for_operator or str(error), ExitCode.UNREACHABLE) from None
    except WrongState as error:
        raise CommandError(str(error), ExitCode.WRONG_STATE) from None
    return result


def run_with_database(work: Callable[["Database"], Coroutine[Any, Any, T]]) -> T:
    """Runs ``work`` on the configured database, which other processes may be using.

    Raises:
        CommandError: as :func:`run_local`.
        BadSetting: a setting is wrong.
    """
    from loadbell.store.engine.open import open_existing  # noqa: PLC0415 - only when a server command runs

    async def whole() -> T:
        database = await open_existing(server_settings())
        try:
            return await work(database)
        finally:
            await database.close()

    return run_local(whole())
