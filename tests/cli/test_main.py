"""The commands as a person calls them: help, version, exit codes, and how much each has to import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadbell import __version__
from loadbell.cli.errors import CommandError, ExitCode, explain
from loadbell.domain.errors import Forbidden, Unavailable
from loadbell.setting_texts import BadSetting

COMMANDS = [
    *(
        "audit",
        "channels",
        "demo",
        "listen",
        "members",
        "migrate",
        "organizations",
        "projects",
        "serve",
        "setup",
        "tokens",
    ),
    *("worker", "wrap"),
]

HEAVY = {"litestar", "sqlalchemy", "pycurl", "asyncpg", "uvicorn", "cryptography", "structlog", "locust"}


def loadbell(*arguments: str, **extra: str) -> "subprocess.CompletedProcess[str]":
    """Runs a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "loadbell", *arguments],
        env=os.environ | extra,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def imported_by(*arguments: str) -> set[str]:
    """The top-level modules that running the command imports."""
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "loadbell", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in process.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_version() -> None:
    """--version prints the version on stdout."""
    process = loadbell("--version")

    assert (0, f"loadbell {__version__}\n", "") == (process.returncode, process.stdout, process.stderr)


def test_the_installed_command() -> None:
    """The command that an installation puts beside Python is the same program."""
    process = subprocess.run(
        [Path(sys.executable).with_name("loadbell"), "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert f"loadbell {__version__}\n" == process.stdout


def test_help_lists_every_command() -> None:
    """--help lists the commands, each with a line on what it does."""
    process = loadbell("--help")

    assert (0, "") == (process.returncode, process.stderr)
    for command in COMMANDS:
        assert f" {command} " in process.stdout


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_each_command(command: str, option: str) -> None:
    """Each command explains itself on stdout."""
    process = loadbell(command, option)

    assert (0, "") == (process.returncode, process.stderr)
    assert f"loadbell {command}" in process.stdout


@pytest.mark.parametrize(
    "arguments", [["nope"], ["serve", "--nope"], ["serve", "--port", "x"], ["wrap", "--nope", "--", "x"], []]
)
def test_wrong_usage(arguments: list[str]) -> None:
    """Anything that is not understood exits with 2, says so on stderr or shows the help, and leaves no stack trace."""
    process = loadbell(*arguments)

    assert 2 == process.returncode
    assert "usage" in (process.stdout + process.stderr).lower()
    assert "Traceback" not in process.stderr


def test_a_bad_setting() -> None:
    """A setting that can't be used exits with 4, and one line names it."""
    process = loadbell("migrate", LOADBELL_WATCHDOG="never")

    assert (4, "") == (process.returncode, process.stdout)
    (line,) = process.stderr.splitlines()
    assert line.startswith("loadbell: LOADBELL_WATCHDOG: ")


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (CommandError("No.", ExitCode.UNREACHABLE), "No.", 3),
        (Unavailable("Later."), "Later.", 3),
        (Forbidden("Ask an owner."), "Ask an owner.", 1),
        (BadSetting("LOADBELL_X: no."), "LOADBELL_X: no.", 4),
    ],
)
def test_explaining_what_went_wrong(error: Exception, line: str, code: int) -> None:
    """What a command was refused is told in its own words, with the exit code for it."""
    assert (line, code) == explain(error)


def test_explaining_a_mistake_of_ours() -> None:
    """A mistake of ours is one line with its kind, words and place, and no stack trace."""
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    line, code = explain(caught.value)

    assert 1 == code
    assert line.startswith("unexpected error. Please report it: ZeroDivisionError: division by zero (test_main.py:")


def test_wrap_imports_only_what_it_needs() -> None:
    """A load generator pays for the standard library alone: no server module, no Typer, and no HTTP before the tool."""
    imported = imported_by("wrap", "--", "true")
    code = "import sys, loadbell.client.wrap; print('http' in sys.modules)"
    before = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert set() == imported & (HEAVY | {"typer", "rich", "click", "msgspec", "asyncio"})
    assert "False\n" == before


def test_help_imports_nothing_of_the_server() -> None:
    """The help is there at once: the server is imported only by the commands that run it."""
    assert set() == imported_by("--help") & HEAVY


def test_wrap_by_way_of_the_program() -> None:
    """Called through the program itself, wrap gets its words untouched, ``--`` and all."""
    code = "import sys; from loadbell.cli.program import run; sys.exit(run(sys.argv[1:]))"

    process = subprocess.run(
        [sys.executable, "-c", code, "wrap", "--test", "x", "--", "sh", "-c", "echo $1; exit 5", "sh", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (5, "--help\n") == (process.returncode, process.stdout)
