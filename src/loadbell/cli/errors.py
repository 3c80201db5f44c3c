"""How commands end: the exit codes, and the exception that ends a command."""

import traceback
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """The exit codes of the commands."""

    DONE = 0
    FAILED = 1  #: refused or failed
    USAGE = 2
    UNREACHABLE = 3  #: the server or the database can't be reached
    WRONG_STATE = 4  #: already set up, locked, old schema, bad setting


class CommandError(Exception):
    """A command can't continue. Says what happened and what to do, and carries the exit code."""

    def __init__(self, message: str, code: int = ExitCode.FAILED) -> None:
        self.code = code
        super().__init__(message)


def explain(error: Exception) -> tuple[str, int]:
    """The message for ``error`` and the exit code; never a stack trace."""
    from loadbell.domain.errors import Refused, Unavailable  # noqa: PLC0415 - most commands need neither of these
    from loadbell.setting_texts import BadSetting  # noqa: PLC0415 - as above

    match error:
        case CommandError():
            return str(error), error.code
        case Unavailable():
            return str(error), ExitCode.UNREACHABLE
        case Refused():
            return str(error), ExitCode.FAILED
        case BadSetting():
            return str(error), ExitCode.WRONG_STATE
        case OSError() if error.strerror:
            at = f"{error.filename}: " if error.filename else ""
            return (
                f"{at}{error.strerror}. Check that it exists, is accessible, and has free space.",
                ExitCode.FAILED,
            )
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(where.filename).name}:{where.lineno}"
    return f"unexpected error. Please report it: {type(error).__name__}: {error} ({place})", ExitCode.FAILED
